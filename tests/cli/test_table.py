"""A loop is never stopped for good by its data: what is refused can be mended, accepted, or taken out again."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from homeostat.core.ledger import Ledger
from homeostat.core.store import Store
from homeostat.loop import load_loop
from tests.cli.bad import LOOP, START, Verb, csv, rides
from tests.cli.conftest import Typed, in_a_process

ROWS = 600
FOLDER = LOOP.replace('"rides.csv"', '"data"').replace("gates=[gates.beats_champion()],", "gates=[],")
FOLDER = FOLDER.replace('return rows.drop("at")', 'return rows.select("wind", "carrier")')


def later(number: int = 1, rows: int = 4) -> pl.DataFrame:
    """Rides after the first ones, with keys of their own."""
    shift = timedelta(days=30 * number)
    names = [f"n{number}-{row}" for row in range(rows)]
    late = pl.Series([0, 1] * (rows // 2))
    return rides(rows).with_columns(pl.col("at", "done") + shift, ride=pl.Series(names), late=late)


def put(rows: pl.DataFrame, name: str) -> None:
    Path("data").mkdir(exist_ok=True)
    Path(f"data/{name}.csv").write_text(csv(rows))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion, made once."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "data").mkdir()
    (folder / "loop.py").write_text(FOLDER)
    (folder / "data" / "a.csv").write_text(csv(rides(ROWS)))
    done = in_a_process("run", cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def project(homeostat: Verb, trained: Path, tmp_path: Path) -> Verb:
    """The same in this test's folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return homeostat


def stored() -> pl.DataFrame:
    declared = load_loop("loop.py")
    return Store.open(".homeostat").table("rides", "rows", declared.source.spec).read()


def refused(typed: Typed, *words: str) -> None:
    assert typed.code == 2, typed.out
    for word in words:
        assert word in typed.err
    assert stored().height == ROWS


NULL = later().with_columns(wind=pl.Series([None, 1.0, 2.0, 3.0]))


def test_a_first_null_is_refused_before_it_is_stored_and_a_mended_file_is_taken(project: Verb) -> None:
    put(NULL, "b")
    refused(
        project("run"), "data/b.csv", "'wind' is null, and never was (first in row 1", "mend or delete", "accept-schema"
    )
    put(later(), "b")
    assert project("run").code == 0
    assert stored().height == ROWS + 4


def test_a_refused_file_may_be_deleted_or_half_written(project: Verb) -> None:
    put(NULL, "b")
    refused(project("run"), "'wind' is null")
    text = Path("data/b.csv").read_text()
    Path("data/b.csv").write_text(text[: len(text) - 30])
    refused(project("run"), "data/b.csv")
    Path("data/b.csv").unlink()
    put(later(2), "c")
    assert project("run").code == 0
    assert stored().height == ROWS + 4


def test_a_null_that_is_meant_is_accepted_with_name_and_reason(project: Verb) -> None:
    put(NULL, "b")
    dry = project("accept-schema", "--reason", "no wind known", "--dry-run")
    assert "'wind' may be null, as it is in 1 rows" in dry.out
    refused(project("run"), "'wind' is null")
    done = project("accept-schema", "--reason", "no wind known", "--user", "ann", "--json")
    assert done.json["accepted"] is True
    assert done.json["changes"] == [{"column": "wind", "kind": "number", "nullable": True}]
    assert project("run").code == 0
    assert stored()["wind"].null_count() == 1
    assert project("run").code == 0
    why = project("why", f"@{numbered('schema_accepted')}").out
    assert "ann" in why
    assert "no wind known" in why
    assert "nothing differs" in project("accept-schema", "--reason", "again").out


def numbered(kind: str) -> int:
    from homeostat.core import events as ev

    wanted = {"schema_accepted": ev.SchemaAccepted, "rows_removed": ev.RowsRemoved}[kind]
    recorded = Ledger.open(".homeostat/ledger.sqlite").last("rides", wanted)
    assert recorded is not None
    return recorded.seq


@pytest.mark.parametrize("kind", [pl.Float64(), pl.Int64(), pl.Boolean()])
def test_a_column_that_was_empty_at_first_takes_the_type_of_its_first_values(
    homeostat: Verb, kind: pl.DataType
) -> None:
    Path("loop.py").write_text(FOLDER)
    put(rides(ROWS).with_columns(sensor=pl.lit(None, pl.String)), "a")
    assert homeostat("run").code == 0
    values = {pl.Float64(): [1.5, 2.5, 3.5, None], pl.Int64(): [1, 2, 3, 4], pl.Boolean(): [True, False, None, True]}
    put(later().with_columns(sensor=pl.Series(values[kind], dtype=kind)), "b")
    done = homeostat("run")
    assert done.code == 0, done.err
    assert "same_schema   passed" in done.out
    assert stored()["sensor"].dtype == kind
    assert stored()["sensor"].count() >= 3
    put(later(2).with_columns(sensor=pl.lit(None, pl.String)), "c")
    assert homeostat("run").code == 0


def test_whole_numbers_may_be_followed_by_fractions(homeostat: Verb) -> None:
    Path("loop.py").write_text(FOLDER)
    put(rides(ROWS).with_columns(stops=pl.int_range(ROWS)), "a")
    assert homeostat("run").code == 0
    put(later().with_columns(stops=pl.Series([1.5, 2.0, 3.0, 4.25])), "b")
    done = homeostat("run")
    assert done.code == 0, done.err
    assert "same_schema   passed" in done.out
    assert stored()["stops"].dtype == pl.Float64
    assert "was integer, is number" in homeostat("why", f"@{numbered('schema_accepted')}").out
    put(later(2).with_columns(stops=pl.Series([1, 2, 3, 4])), "c")
    assert homeostat("run").code == 0
    assert homeostat("verify").code == 0


STOPS = pl.int_range(ROWS) % 3
CHANGED = {
    "a new column": (later().with_columns(stops=pl.Series([1, 2, 0, 1]), rain=pl.lit(1.5)), "'rain' is new (number)"),
    "a column that is gone": (later(), "'stops' is gone"),
    "words for numbers": (later().with_columns(stops=pl.Series(["few", "no"] * 2)), "'stops' was integer, is text"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_change_of_columns_waits_until_a_person_accepts_and_promotes_it(homeostat: Verb, case: str) -> None:
    Path("loop.py").write_text(FOLDER.replace("    features=features,\n", ""))
    put(rides(ROWS).with_columns(stops=STOPS), "a")
    assert homeostat("run").code == 0
    rows, words = CHANGED[case]
    put(rows, "b")
    refused(homeostat("run"), "data/b.csv", "accept-schema")
    before = stored()
    assert words in homeostat("accept-schema", "--reason", "a new sensor").out
    ran = homeostat("run")
    assert ran.code == 0, ran.err
    assert stored().height == ROWS + 4
    assert "other columns than the champion, as was accepted" in ran.out
    assert homeostat("promote", "2", "--reason", "callers know").code == 0
    put(rows.with_columns(pl.col("ride") + "x"), "c")
    assert homeostat("run").code == 0
    assert homeostat("verify").code == 0
    spec = load_loop("loop.py").source.spec
    table = Store.open(".homeostat").table("rides", "rows", spec)
    assert table.read(table.snapshot(0)).equals(before)


@pytest.mark.parametrize(
    ("column", "values"), [("carrier", [1, 2, 3, 4]), ("ride", [1, 2, 3, 4]), ("carrier", [1.5] * 4)]
)
def test_typed_numbers_for_texts_are_refused_by_the_run_and_by_accepting_alike(
    project: Verb, column: str, values: list[float]
) -> None:
    rows = later().with_columns(pl.Series(column, values))
    rows.write_parquet("data/b.parquet")
    refused(project("run"), f"'{column}' holds String")
    refused(
        project("accept-schema", "--reason", "meant"), f"column '{column}' is text in the table", "write it as text"
    )
    rows.with_columns(pl.col(column).cast(pl.String)).write_parquet("data/b.parquet")
    assert project("run").code == 0
    assert stored().height == ROWS + 4


def test_rows_are_shown_and_taken_out_with_name_and_reason(project: Verb) -> None:
    put(later(), "b")
    assert project("run").code == 0
    shown = project("rows", "--source", "data/b.csv", "--json").json
    assert (shown["rows"], shown["first"][0]["ride"]) == (4, "n1-0")
    assert project("rows", "--remove", "--where", "wind > 0").code == 2
    assert project("rows", "--remove", "--reason", "all").code == 2
    assert "--dry-run" in project("rows", "--remove", "--key", "n1-0", "--reason", "typo", "--dry-run").out
    assert stored().height == ROWS + 4
    done = project("rows", "--remove", "--key", "n1-0", "--reason", "typo", "--user", "ann", "--json").json
    assert (done["rows"], done["total"], done["user"], done["reason"]) == (1, ROWS + 3, "ann", "typo")
    why = project("why", f"@{numbered('rows_removed')}").out
    assert "typo" in why
    assert "n1-0" in why
    spec = load_loop("loop.py").source.spec
    table = Store.open(".homeostat").table("rides", "rows", spec)
    assert [table.read(table.snapshot(version)).height for version in (done["before"], done["after"])] == [
        ROWS + 4,
        ROWS + 3,
    ]
    assert table.content_digest() == table.snapshot().digest
    assert project("verify").code == 0


SELECTIONS = {
    "time": (["--since", "2026-01-31", "--until", "2026-01-31 01:00"], 2),
    "file": (["--source", "data/b.csv"], 4),
    "condition": (["--where", "ride LIKE 'n1-%' AND carrier IN ('AA', 'UA')"], 4),
    "both": (["--source", "data/b.csv", "--until", "2026-01-31 00:30"], 1),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_rows_are_chosen_by_time_file_and_condition(project: Verb, case: str) -> None:
    put(later(), "b")
    assert project("run").code == 0
    words, count = SELECTIONS[case]
    assert project("rows", *words, "--json").json["rows"] == count
    assert project("rows", "--remove", *words, "--reason", "test", "--json").json["rows"] == count
    assert stored().height == ROWS + 4 - count
    assert project("rows", "--remove", *words, "--reason", "test").code == 2
    put(later().with_columns(wind=pl.lit(9.5)), "b")
    assert project("run").code == 0
    assert stored().height == ROWS + 4


@pytest.mark.parametrize(
    "words", [["--where", "wind >"], ["--where", "nothing = 1"], ["--since", "noon"], ["--key", "x"]]
)
def test_a_selection_that_is_none_is_one_clear_error(project: Verb, words: tuple[str, str]) -> None:
    typed = project("rows", *words)
    assert typed.code == 2
    assert len(typed.err.splitlines()) <= 3


def test_a_row_from_beyond_the_calendar_that_an_earlier_version_stored_is_read_and_taken_out(project: Verb) -> None:
    from homeostat.core.table.index import RowIndex
    from homeostat.core.table.table import Table

    spec = load_loop("loop.py").source.spec
    table = Table(Path(".homeostat/tables/rides/rows"), spec)
    times = {"at": pl.Series([253_402_300_800_000_000] * 2).cast(pl.Datetime("us", "UTC")), "done": None}
    bad = later(rows=2).with_columns(**times)
    bad = bad.select(list(table.columns)).cast(dict(table.columns))
    table.rewrite(lambda rows: pl.concat([rows, bad]), source="before")
    assert RowIndex.digest_of(table.read()) == table.snapshot().digest
    assert table.newest is not None
    assert project("rows", "--since", "2030-01-01", "--json").json["rows"] == 2
    assert project("rows", "--since", "2030-01-01", "--remove", "--reason", "year 10000").code == 0
    assert project("run").code == 0
    assert stored()["at"].max() == START + timedelta(minutes=30 * (ROWS - 1))
