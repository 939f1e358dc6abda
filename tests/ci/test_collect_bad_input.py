"""Bad input, one clear error each: it names the file and the thing, says what to do, and nothing is half-written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from homeostat.ci.collect import collect
from homeostat.connect import FileSource, FrameSource
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import DataError, HomeostatError
from homeostat.core.events import RowsAppended

if TYPE_CHECKING:
    from pathlib import Path

    from homeostat.core.store import Store

NOW = datetime(2013, 1, 2, tzinfo=UTC)
HEAD = "id,at,delay,late,landed\n"
GOOD = HEAD + "".join(f"{n},2013-01-01T{n:02}:00:00Z,{n}.5,{n % 2},2013-01-01T{n:02}:30:00Z\n" for n in range(20))
COLUMNS = {"time": "at", "key": "id", "target": "late", "label_time": "landed"}

BAD_TEXT: dict[str, tuple[str, str, list[str]]] = {
    "empty": ("a.csv", "", ["the file is empty"]),
    "blank": ("a.csv", "\n \n", ["the file is empty"]),
    "header only": ("a.csv", HEAD, ["has columns and no rows"]),
    "semicolons": ("a.csv", GOOD.replace(",", ";"), ["separated by a semicolon, not by a comma", "separator=';'"]),
    "tabs": ("a.csv", GOOD.replace(",", "\t"), ["separated by a tab", r"separator='\t'"]),
    "mixed types": (
        "a.csv",
        GOOD.replace(",3.5,1", ",soon,1"),
        ["'delay' mixes numbers and text", "row 4 has 'soon'", "text="],
    ),
    "duplicate columns": ("a.csv", GOOD.replace("delay", "late", 1), ["the header has 'late' more than once"]),
    "missing column": ("a.csv", GOOD.replace("landed", "Landed"), ["'landed' is missing; did you mean 'Landed'?"]),
    "unparsable time": ("a.csv", GOOD.replace("2013-01-01T04:00:00Z", "yesterday"), ["'at': row 5 has 'yesterday'"]),
    "numbers for times": (
        "a.csv",
        "id,at,late,landed\n1,1357000000,0,1357000001\n",
        ["'at': row 1 has '1357000000'", 'dates="s"'],
    ),
    "empty time": ("a.csv", GOOD.replace("2013-01-01T04:00:00Z", ""), ["'at' is null in 1 of 20 rows, first in row 5"]),
    "empty key": ("a.csv", GOOD.replace("\n7,", "\n,"), ["'id' is null in 1 of 20 rows, first in row 8"]),
    "label before event": (
        "a.csv",
        GOOD.replace("2013-01-01T09:30:00Z", "2012-01-01T09:30:00Z"),
        ["label time 'landed' is before event time 'at' in 1 of 20 rows, first in row 10"],
    ),
    "NaN": ("a.csv", GOOD.replace(",3.5,1", ",NaN,1"), ["'delay' holds nan in row 4", "write null"]),
    "infinity": ("a.csv", GOOD.replace(",3.5,1", ",-inf,1"), ["'delay' holds -inf in row 4"]),
    "long line": (
        "a.csv",
        GOOD + "20,2013-01-01T20:00:00Z,1.5,0,2013-01-01T20:30:00Z,9\n",
        ["line 22 has 6 fields", "has 5"],
    ),
    "cut off": ("a.csv", GOOD + "20,2013-01-01T2", ["line 22 has 2 fields where the header has 5", "cut off"]),
    "no JSON": ("a.jsonl", '{"id":1,"at":"2013-01-01"}\n{"id":2,"at"\n', ["line 2 is no JSON"]),
    "no object": ("a.jsonl", '{"id":1,"at":"2013-01-01"}\n[1]\n', ["line 2 holds [1] where an object should be"]),
    "no array": ("a.json", '{"id":1}', ["holds no array of objects", ".jsonl"]),
    "empty array": ("a.json", "[]", ["has columns and no rows"]),
    "array of numbers": ("a.json", "[1, 2]", ["the file holds 1 where an object should be"]),
    "nested": (
        "a.jsonl",
        '{"id":1,"at":"2013-01-01","late":0,"landed":"2013-01-02","tags":["x"]}',
        ["'tags' has the type List", "unnest, explode or drop"],
    ),
}
BAD_BYTES: dict[str, tuple[str, bytes, list[str]]] = {
    "no UTF-8": ("a.csv", GOOD.encode() + "é".encode("latin1"), ["line 22 holds the byte 0xe9", "iconv"]),
    "no gzip": ("a.csv.gz", b"\x1f\x8bnot so", ["no whole gzip file"]),
    "no Parquet": ("a.parquet", b"PAR1 or not", ["no readable Parquet file"]),
    "other suffix": ("a.xlsx", b"x", ["is no data file", ".parquet"]),
}


def refused(source: FileSource | FrameSource, store: Store) -> HomeostatError:
    """The error, after making sure that neither the table nor the ledger has changed."""
    table = store.table("flights", "rows", source.spec)
    before = table.rows
    recorded = len(list(store.ledger.events(kinds=(RowsAppended,))))
    with pytest.raises(HomeostatError) as caught:
        collect(source, table, store.ledger, "flights", VirtualClock(NOW))
    assert store.table("flights", "rows", source.spec).rows == before
    assert len(list(store.ledger.events(kinds=(RowsAppended,)))) == recorded
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("case", [*BAD_TEXT, *BAD_BYTES])
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, store: Store, case: str) -> None:
    name, content, parts = {**BAD_TEXT, **BAD_BYTES}[case]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = str(refused(FileSource(path, **COLUMNS), store))
    for part in (name, *parts):
        assert part in error, error


@pytest.mark.parametrize("case", ["semicolons", "mixed types", "no UTF-8", "cut off", "unparsable time"])
def test_one_bad_file_among_good_ones_keeps_all_of_them_out(tmp_path: Path, store: Store, case: str) -> None:
    name, content, parts = {**BAD_TEXT, **BAD_BYTES}[case]
    (tmp_path / f"b-{name}").write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "a-good.csv").write_text(GOOD)
    (tmp_path / "c-good.csv").write_text(GOOD.replace("2013", "2014"))
    assert parts[0] in str(refused(FileSource(tmp_path, **COLUMNS), store))


def test_several_bad_files_are_all_listed_at_once(tmp_path: Path, store: Store) -> None:
    for case in ("empty", "semicolons", "cut off"):
        (tmp_path / f"{case}.csv").write_text(BAD_TEXT[case][1])
    error = str(refused(FileSource(tmp_path, **COLUMNS), store))
    assert "3 of 3 files cannot be collected, so none was" in error
    assert all(f"{case}.csv" in error for case in ("empty", "semicolons", "cut off"))


def test_two_files_that_disagree_about_a_column_are_both_named(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "b.csv").write_text(HEAD + "99,2013-01-01T00:00:00Z,long,0,2013-01-01T00:30:00Z\n")
    error = str(refused(FileSource(tmp_path, **COLUMNS), store))
    assert "column 'delay' holds Float64 in" in error
    assert "and String in" in error


def test_a_file_that_does_not_fit_the_stored_table_is_refused(tmp_path: Path, store: Store) -> None:
    source = FileSource(tmp_path, **COLUMNS)
    (tmp_path / "a.csv").write_text(GOOD)
    collect(source, store.table("flights", "rows", source.spec), store.ledger, "flights", VirtualClock(NOW))
    (tmp_path / "b.csv").write_text(GOOD.replace("delay", "extra", 1).replace("2013", "2014"))
    error = str(refused(source, store))
    assert "column 'delay' is missing" in error
    assert "column 'extra' is not in the table" in error


def test_a_missing_file_is_named_with_the_one_that_was_meant(tmp_path: Path, store: Store) -> None:
    (tmp_path / "flights.csv").write_text(GOOD)
    error = str(refused(FileSource(tmp_path / "flight.csv", **COLUMNS), store))
    assert "there is no file" in error
    assert "did you mean 'flights.csv'?" in error


def test_a_missing_folder_is_named(tmp_path: Path, store: Store) -> None:
    assert "there is no folder" in str(refused(FileSource(tmp_path / "no" / "a.csv", **COLUMNS), store))


@pytest.mark.parametrize("pattern", ["*.csv", "**/*.parquet"])
def test_a_glob_without_a_match_says_so(tmp_path: Path, store: Store, pattern: str) -> None:
    assert "no data file matches" in str(refused(FileSource(tmp_path / pattern, **COLUMNS), store))


def test_a_folder_without_data_files_says_what_it_looks_for(tmp_path: Path, store: Store) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "in").mkdir()
    assert "holds no data files" in str(refused(FileSource(tmp_path / "in", **COLUMNS), store))


def test_an_unreadable_file_is_named(tmp_path: Path, store: Store) -> None:
    """The kernel refuses to read this file at its beginning, to any user."""
    (tmp_path / "a.csv").symlink_to("/proc/self/mem")
    assert "a.csv cannot be read: Input/output error" in str(refused(FileSource(tmp_path / "a.csv", **COLUMNS), store))


def test_times_out_of_order_are_accepted_and_read_in_order(tmp_path: Path, store: Store) -> None:
    lines = GOOD.splitlines()
    (tmp_path / "a.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    source = FileSource(tmp_path / "a.csv", **COLUMNS)
    table = store.table("flights", "rows", source.spec)
    assert collect(source, table, store.ledger, "flights", VirtualClock(NOW)).late == 0
    assert table.read()["id"].to_list() == list(range(20))


def test_a_frame_without_rows_is_refused(store: Store) -> None:
    empty = pl.DataFrame(schema={"at": pl.Datetime, "late": pl.Int64})
    assert "has no rows" in str(refused(FrameSource(empty, time="at", target="late"), store))


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"time": "at", "target": "at"}, "declared twice"),
        ({"time": "at", "target": "late", "label_time": "late"}, "declared twice"),
        ({"time": "at", "key": ("id", "id")}, "declared twice"),
        ({"time": ""}, "empty or not a string"),
        ({"time": "at", "separator": ";;"}, "not one character"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_when_it_is_made(columns: dict[str, str], part: str) -> None:
    with pytest.raises(DataError, match=part):
        FileSource("a.csv", **columns)


@pytest.mark.parametrize(
    ("labels", "said"),
    [("1", "target 'late' has one value only, 1 in all 2 labelled rows"), ("", "target 'late' is null in all 2 rows")],
)
def test_a_table_does_not_begin_with_a_target_that_is_no_use(
    labels: str, said: str, tmp_path: Path, store: Store
) -> None:
    """The first rows stay, with their labels and the target's type, so mended ones would come too late."""
    (tmp_path / "a.csv").write_text(f"id,at,late\n1,2013-01-01,{labels}\n2,2013-01-02,{labels}\n")
    source = FileSource(tmp_path / "a.csv", time="at", key="id", target="late")
    assert said in str(refused(source, store))
    (tmp_path / "a.csv").write_text("id,at,late\n1,2013-01-01,1\n2,2013-01-02,0\n")
    table = store.table("demo", "rows", source.spec)
    assert collect(source, table, store.ledger, "demo", VirtualClock(NOW)).rows == 2
