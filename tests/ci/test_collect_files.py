"""Collecting from files and frames: each file once, each row once, recorded."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import polars as pl
import pytest

from homeostat.ci.collect import collect, record
from homeostat.connect import FileSource, FrameSource
from homeostat.core.clock import VirtualClock
from homeostat.core.events import RowsAppended

if TYPE_CHECKING:
    from pathlib import Path

    from homeostat.ci.collect import Collected
    from homeostat.core.ports import Source
    from homeostat.core.store import Store

START = datetime(2013, 1, 1, tzinfo=UTC)
COLUMNS = {"time": "at", "key": "id", "target": "late", "label_time": "landed"}


def flights(*numbers: int) -> pl.DataFrame:
    at = [START + timedelta(hours=number) for number in numbers]
    landed = [moment + timedelta(hours=3) for moment in at]
    delay = [number / 4 for number in numbers]
    carrier = ["AA" if number % 3 else "UA" for number in numbers]
    late = [number % 2 for number in numbers]
    return pl.DataFrame({"id": numbers, "at": at, "delay": delay, "carrier": carrier, "late": late, "landed": landed})


def write(rows: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.lower().removesuffix(".gz")
    text = rows.with_columns(pl.col("at", "landed").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    if name.endswith(".parquet"):
        rows.write_parquet(path)
        return
    if name.endswith(".csv"):
        data = text.write_csv().encode()
    elif name.endswith(".json"):
        data = msgspec.json.encode(text.to_dicts())
    else:
        data = b"\n".join(map(msgspec.json.encode, text.to_dicts()))
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)


def bring(source: Source, store: Store) -> Collected:
    return collect(source, store.table("flights", "rows", source.spec), store.ledger, "flights", VirtualClock(START))


def ids(source: Source, store: Store) -> list[int]:
    return store.table("flights", "rows", source.spec).read()["id"].to_list()


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.parquet", "a.jsonl", "a.jsonl.gz", "a.ndjson", "a.json", "a.json.gz", "A.CSV"]
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, store: Store, name: str) -> None:
    write(flights(1, 2, 3), tmp_path / name)
    source = FileSource(tmp_path / name, **COLUMNS)
    assert bring(source, store).rows == 3
    found = store.table("flights", "rows", source.spec).read()
    assert found.equals(flights(1, 2, 3))


def test_a_file_is_collected_once_whatever_it_is_called(tmp_path: Path, store: Store) -> None:
    source = FileSource(tmp_path / "in", **COLUMNS)
    write(flights(1, 2), tmp_path / "in" / "a.csv")
    bring(source, store)
    write(flights(1, 2), tmp_path / "in" / "copy.csv")
    write(flights(3), tmp_path / "in" / "b.csv")
    done = bring(source, store)
    assert (done.parts, done.skipped, done.rows, done.duplicates) == (1, 2, 1, 0)


def test_a_file_that_grew_is_collected_again_and_its_old_rows_are_duplicates(tmp_path: Path, store: Store) -> None:
    source = FileSource(tmp_path / "a.csv", **COLUMNS)
    write(flights(1, 2), tmp_path / "a.csv")
    bring(source, store)
    write(flights(1, 2, 3), tmp_path / "a.csv")
    done = bring(source, store)
    assert (done.rows, done.duplicates, done.total) == (1, 2, 3)


def test_late_rows_of_a_later_file_are_counted(tmp_path: Path, store: Store) -> None:
    source = FileSource(tmp_path / "in", **COLUMNS)
    write(flights(1, 2, 5), tmp_path / "in" / "a.csv")
    bring(source, store)
    write(flights(3, 6), tmp_path / "in" / "b.csv")
    assert bring(source, store).late == 1


def test_files_are_taken_oldest_rows_first_so_that_their_names_make_nothing_late(tmp_path: Path, store: Store) -> None:
    write(flights(5, 6), tmp_path / "in" / "a.csv")
    write(flights(1, 2), tmp_path / "in" / "b.csv")
    assert bring(FileSource(tmp_path / "in", **COLUMNS), store).late == 0


def test_globs_folders_and_files_can_be_mixed(tmp_path: Path, store: Store) -> None:
    write(flights(1), tmp_path / "one.csv")
    write(flights(2), tmp_path / "deep" / "er" / "two.parquet")
    write(flights(3), tmp_path / "folder" / "three.jsonl")
    (tmp_path / "folder" / "notes.txt").write_text("not data")
    source = FileSource([tmp_path / "one.csv", tmp_path / "deep/**/*.parquet", tmp_path / "folder"], **COLUMNS)
    bring(source, store)
    assert ids(source, store) == [1, 2, 3]


def test_a_frame_is_collected_once(store: Store) -> None:
    source = FrameSource(flights(1, 2), **COLUMNS)
    assert bring(source, store).rows == 2
    assert bring(source, store).skipped == 1


def test_each_file_is_an_event_in_the_ledger(tmp_path: Path, store: Store) -> None:
    write(flights(1, 2, 2), tmp_path / "in" / "a.csv")
    write(flights(2, 3), tmp_path / "in" / "b.csv")
    bring(FileSource(tmp_path / "in", **COLUMNS), store)
    events = [one.event for one in store.ledger.events(loop="flights", kinds=(RowsAppended,))]
    assert [(one.rows, one.duplicates, one.total) for one in events] == [(2, 1, 2), (1, 1, 3)]
    assert events[0].source.startswith(f"{tmp_path}/in/a.csv sha256:")


def test_progress_counts_from_nothing_to_everything(tmp_path: Path, store: Store) -> None:
    write(flights(1), tmp_path / "in" / "a.csv")
    write(flights(2), tmp_path / "in" / "b.csv")
    source = FileSource(tmp_path / "in", **COLUMNS)
    seen: list[tuple[int, int]] = []
    table = store.table("flights", "rows", source.spec)
    clock = VirtualClock(START)
    collect(source, table, store.ledger, "flights", clock, lambda done, of, _: seen.append((done, of)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_rows_in_hand_are_appended_and_recorded(store: Store) -> None:
    table = store.table("flights", "rows", FrameSource(flights(1), **COLUMNS).spec)
    unlabelled = flights(1, 2).with_columns(late=pl.lit(None, pl.Int64), landed=pl.lit(None, pl.Datetime("us", "UTC")))
    first = record(unlabelled, table, store.ledger, "flights", VirtualClock(START), source="predictions")
    second = record(flights(2), table, store.ledger, "flights", VirtualClock(START), source="labels")
    assert (first.rows, second.rows, second.labelled) == (2, 0, 1)


def test_whole_numbers_in_one_file_and_fractions_in_another_are_one_column(tmp_path: Path, store: Store) -> None:
    write(flights(4), tmp_path / "in" / "a.csv")
    write(flights(5).with_columns(delay=pl.lit(1, pl.Int64)), tmp_path / "in" / "b.csv")
    source = FileSource(tmp_path / "in", **COLUMNS)
    bring(source, store)
    assert store.table("flights", "rows", source.spec).read()["delay"].to_list() == [1.0, 1.0]


def test_a_column_that_is_empty_in_the_first_file_takes_the_type_of_the_second(tmp_path: Path, store: Store) -> None:
    write(flights(1).with_columns(delay=pl.lit(None, pl.Float64)), tmp_path / "in" / "a.csv")
    write(flights(2), tmp_path / "in" / "b.csv")
    source = FileSource(tmp_path / "in", **COLUMNS)
    bring(source, store)
    assert store.table("flights", "rows", source.spec).read()["delay"].to_list() == [None, 0.5]


def test_blank_lines_quotes_and_windows_endings_are_no_rows_and_no_trouble(tmp_path: Path, store: Store) -> None:
    text = 'id,at,name,late\r\n1,2013-01-01 00:00:00,"Smith, ""J""\nJr",0\r\n\r\n2,2013-01-01 01:00:00,Doe,1\r\n\r\n'
    (tmp_path / "a.csv").write_text(text, newline="")
    source = FileSource(tmp_path / "a.csv", time="at", key="id", target="late")
    bring(source, store)
    found = store.table("flights", "rows", source.spec).read()
    assert found["name"].to_list() == ['Smith, "J"\nJr', "Doe"]


def test_codes_with_leading_zeros_stay_text_and_so_does_what_is_declared_as_text(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.csv").write_text("at,zip,code,flag\n2013-01-01,01234,17,True\n2013-01-02,10001,18,False\n")
    source = FileSource(tmp_path / "a.csv", time="at", text="code")
    bring(source, store)
    assert store.table("flights", "rows", source.spec).columns == {
        "at": pl.Datetime("us", "UTC"),
        "zip": pl.String,
        "code": pl.String,
        "flag": pl.Boolean,
    }


@pytest.mark.shared_data
def test_real_data_is_collected_whole(shared_data: Path, store: Store) -> None:
    source = FileSource(shared_data / "elec2.csv.gz", time="time", target="price_up")
    done = bring(source, store)
    assert (done.rows, done.late, done.total) == (45_312, 0, 45_312)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", ""], [1, -2, None]),
        (["1", "2.5", "NA"], [1.0, 2.5, None]),
        (["0", "0.5", "-0.25"], [0.0, 0.5, -0.25]),
        ([" 1", "2.5 ", "+3"], [1.0, 2.5, 3.0]),
        (["1e3", "2", "0"], [1000.0, 2.0, 0.0]),
        (["007", "12", "3"], ["007", "12", "3"]),
        (["-05", "12", "3"], ["-05", "12", "3"]),
        (["00.5", "12", "3"], ["00.5", "12", "3"]),
        (["12345678901234567890", "1", "2"], ["12345678901234567890", "1", "2"]),
        (["9223372036854775807", "1", "2"], ["9223372036854775807", "1", "2"]),
        (["True", "false", "TRUE"], [True, False, True]),
        (["true", "maybe", "false"], ["true", "maybe", "false"]),
        (["2013-01-01", "b", "c"], ["2013-01-01", "b", "c"]),
        (["", "", ""], [None, None, None]),
    ],
)
def test_a_csv_column_is_read_as_what_all_its_cells_are(
    tmp_path: Path, store: Store, cells: list[str], expected: list[object]
) -> None:
    lines = [f"2013-01-0{day},{cell}" for day, cell in enumerate(cells, start=1)]
    (tmp_path / "a.csv").write_text("\n".join(["at,x", *lines]))
    source = FileSource(tmp_path / "a.csv", time="at")
    bring(source, store)
    found = store.table("flights", "rows", source.spec).read()["x"].to_list()
    assert found == expected
    assert [type(one) for one in found] == [type(one) for one in expected]
