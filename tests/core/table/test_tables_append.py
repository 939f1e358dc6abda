"""Appends: every row once, its label when it comes, and nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.errors import DataError, SchemaError, StoreError
from homeostat.core.table.table import Table, TableSpec

SPEC = TableSpec(time="at", key=("id",), target="late", label_time="landed")
START = datetime(2013, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


def flights(*numbers: int, labelled: bool = True) -> pl.DataFrame:
    at = [START + timedelta(hours=number) for number in numbers]
    return pl.DataFrame(
        {
            "id": numbers,
            "at": at,
            "delay": [number / 4 for number in numbers],
            "late": [number % 2 if labelled else None for number in numbers],
            "landed": [moment + timedelta(hours=3) if labelled else None for moment in at],
        },
        schema={
            "id": pl.Int64,
            "at": pl.Datetime("us", "UTC"),
            "delay": pl.Float64,
            "late": pl.Int64,
            "landed": pl.Datetime("us", "UTC"),
        },
    )


def test_the_same_rows_twice_are_stored_once(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", SPEC)
    first, again = table.append(flights(1, 2, 3)), table.append(flights(3, 2, 1))
    assert (first.rows, first.duplicates) == (3, 0)
    assert (again.rows, again.duplicates, again.version) == (0, 3, first.version)


def test_rows_repeated_inside_one_batch_are_stored_once(tmp_path: Path) -> None:
    done = Table(tmp_path / "t", SPEC).append(flights(1, 1, 2, 2, 2))
    assert (done.rows, done.duplicates, done.total) == (2, 3, 2)


def test_without_a_key_the_whole_row_is_its_identity(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", TableSpec(time="at"))
    rows = pl.DataFrame({"at": [START] * 3, "x": [1.0, 2.0, 1.0]})
    assert table.append(rows).rows == 2
    assert table.append(rows).rows == 0


def test_a_second_process_knows_what_the_first_stored(tmp_path: Path) -> None:
    Table(tmp_path / "t", SPEC).append(flights(1, 2))
    assert Table(tmp_path / "t", SPEC).append(flights(2, 3)).rows == 1


def test_a_label_that_comes_later_labels_the_stored_row(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", SPEC)
    table.append(flights(1, 2, 3, labelled=False))
    done = table.append(flights(2))
    assert (done.rows, done.labelled, done.duplicates, done.total) == (0, 1, 0, 3)
    assert table.read()["late"].to_list() == [None, 0, None]


def test_a_second_label_changes_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", SPEC)
    table.append(flights(2))
    assert table.append(flights(2).with_columns(late=7)).duplicates == 1
    assert table.read()["late"].to_list() == [0]


def test_a_row_and_its_label_in_one_batch_give_one_labelled_row(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", SPEC)
    table.append(pl.concat([flights(2, labelled=False), flights(2)]))
    assert table.read()["late"].to_list() == [0]


def test_rows_without_label_columns_are_unlabelled_rows(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", SPEC)
    table.append(flights(1))
    table.append(flights(2).drop("late", "landed"))
    assert table.read()["late"].to_list() == [1, None]


def test_late_rows_are_counted_against_what_was_stored_before(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", SPEC)
    assert table.append(flights(5, 1)).late == 0
    assert table.append(flights(2, 6, 3)).late == 2


def test_naive_times_are_taken_to_be_utc(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", TableSpec(time="at"))
    table.append(pl.DataFrame({"at": [START.replace(hour=5, tzinfo=None)]}))
    assert table.read()["at"].to_list() == [START.replace(hour=5)]


def test_times_of_other_zones_become_utc(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", TableSpec(time="at"))
    table.append(pl.DataFrame({"at": ["2013-01-01T05:00:00+02:00"]}))
    assert table.read()["at"].to_list() == [START.replace(hour=3)]


def test_a_whole_float_fits_an_integer_column(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", SPEC)
    table.append(flights(1))
    table.append(flights(2).with_columns(late=pl.lit(1.0)))
    assert table.read().schema["late"] == pl.Int64


def test_columns_that_do_not_fit_are_all_named_at_once(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", SPEC)
    table.append(flights(1))
    wrong = flights(2).rename({"delay": "dely"}).with_columns(late=pl.lit(0.5))
    with pytest.raises(SchemaError) as caught:
        table.append(wrong)
    for part in ("column 'delay' is missing", "did you mean 'delay'?", "column 'late' holds Int64", "0.5 in row 1"):
        assert part in str(caught.value)
    assert table.read()["id"].to_list() == [1]


@pytest.mark.parametrize(
    ("column", "value", "part"),
    [
        ("at", None, "column 'at' is null in 1 of 2 rows, first in row 2"),
        ("id", None, "column 'id' is null in 1 of 2 rows, first in row 2"),
        ("delay", float("nan"), "column 'delay' holds nan in row 2"),
        ("delay", float("inf"), "column 'delay' holds inf in row 2"),
        ("landed", START, "label time 'landed' is before event time 'at' in 1 of 2 rows, first in row 2"),
    ],
)
def test_rows_that_break_their_declaration_are_refused_whole(
    tmp_path: Path, column: str, value: object, part: str
) -> None:
    table = Table(tmp_path / "t", SPEC)
    rows = flights(1, 2)
    wrong = pl.lit(value, rows.schema[column])
    with pytest.raises(DataError) as caught:
        table.append(rows.with_columns(pl.when(pl.col("id") == 2).then(wrong).otherwise(column).alias(column)))
    assert part in str(caught.value)
    assert table.read().is_empty()


def test_a_missing_declared_column_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'landed' is missing; did you mean 'Landed_'\?"):
        Table(tmp_path / "t", SPEC).append(flights(1).rename({"landed": "Landed_"}))


def test_a_nested_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'tags' has the type List"):
        Table(tmp_path / "t", SPEC).append(flights(1).with_columns(tags=pl.Series([["a"]])))


def test_another_declaration_of_the_same_table_is_refused(tmp_path: Path) -> None:
    Table(tmp_path / "t", SPEC).append(flights(1))
    with pytest.raises(StoreError, match="was made with"):
        Table(tmp_path / "t", TableSpec(time="at", key=("id", "delay")))


def test_a_folder_that_cannot_be_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot be read or written"):
        Table(tmp_path / "file" / "t", SPEC).append(flights(1))


@settings(max_examples=15, deadline=None)
@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=6), max_size=6))
def test_any_batching_stores_each_row_once_with_its_label_if_it_ever_came(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, bool]]]
) -> None:
    table = Table(tmp_path_factory.mktemp("law") / "t", SPEC)
    frames = [pl.concat([flights(), *(flights(n, labelled=known) for n, known in batch)]) for batch in batches]
    done = [table.append(frame) for frame in frames]
    arrived = [row for batch in batches for row in batch]
    expected = {n: (n % 2 if (n, True) in arrived else None) for n, _ in arrived}
    assert sum(one.rows + one.labelled + one.duplicates for one in done) == len(arrived)
    found = table.read()
    if expected:
        assert dict(zip(found["id"], found["late"], strict=True)) == expected
        assert table.snapshot().rows == len(expected)
        table.content_digest()
    else:
        assert found.is_empty()


_WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from tests.core.table.test_tables_append import SPEC, flights
from homeostat.core.table.table import Table
table = Table(sys.argv[1], SPEC)
offset = int(sys.argv[2])
for number in range(offset, offset + 20):
    print(table.append(flights(number, number + 1)).rows, flush=True)
"""


def _writer(folder: Path, offset: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(folder), str(offset), str(ROOT)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_neither_lose_nor_repeat_rows(tmp_path: Path) -> None:
    writers = [_writer(tmp_path / "t", 0), _writer(tmp_path / "t", 8)]
    stored = [sum(int(line) for line in one.communicate(timeout=60)[0].split()) for one in writers]
    table = Table(tmp_path / "t", SPEC)
    assert table.read()["id"].to_list() == list(range(29))
    assert sum(stored) == 29
    table.content_digest()


@pytest.mark.crash
def test_a_killed_writer_leaves_a_whole_table_that_the_next_one_completes(tmp_path: Path) -> None:
    for appends in (1, 2, 7):
        with _writer(tmp_path / "t", 0) as writer:
            assert writer.stdout is not None
            for _ in range(appends):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
    table = Table(tmp_path / "t", SPEC)
    table.append(flights(*range(31)))
    assert table.read()["id"].to_list() == list(range(31))
    table.content_digest()


_FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from tests.core.table.test_tables_append import SPEC, flights
from homeostat.core.errors import StoreError
from homeostat.core.table.table import Table
table = Table(sys.argv[1], SPEC)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))
try:
    table.append(flights(*range(5_000)))
except StoreError as error:
    print("refused", error.what)
"""


def test_a_full_disk_is_reported_and_changes_nothing(tmp_path: Path) -> None:
    Table(tmp_path / "t", SPEC).append(flights(1))
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path / "t"), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("refused the table 't' cannot be read or written"), done.stderr
    assert Table(tmp_path / "t", SPEC).read()["id"].to_list() == [1]


def test_rows_without_room_are_refused_before_the_writer_meets_the_end_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(tmp_path / "t", SPEC)
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: type("Usage", (), {"free": 10}))
    with pytest.raises(StoreError, match="has 10 bytes left, and 2 rows"):
        table.append(flights(1, 2))
    monkeypatch.undo()
    assert table.append(flights(1, 2)).rows == 2
