"""C9: idempotent collection from several sources, batch and stream, with repetitions and late events."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from homeostat.ci.collect import collect, record
from homeostat.connect import FileSource, FrameSource
from homeostat.core.clock import VirtualClock
from homeostat.core.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from homeostat.core.table.table import Snapshot, Table

START = datetime(2013, 1, 1, tzinfo=UTC)
COLUMNS = {"time": "at", "key": "id", "target": "late", "label_time": "landed"}
HISTORY, STREAM = range(400), range(400, 700)


def flights(numbers: list[int] | range, *, labelled: bool = True) -> pl.DataFrame:
    rows = pl.DataFrame({"id": numbers}, schema={"id": pl.Int64})
    return rows.with_columns(
        at=pl.lit(START) + pl.duration(minutes=pl.col("id")),
        delay=pl.col("id") * 7 % 90 / 4,
        late=pl.when(pl.lit(labelled)).then(pl.col("id") % 2),
        landed=pl.when(pl.lit(labelled)).then(pl.lit(START) + pl.duration(minutes=pl.col("id") + 180)),
    )


def play(store: Store, folder: Path, seed: int) -> Table:
    """History from CSV, Parquet and a frame; then a stream of rows, late rows, repeated rows and later labels."""
    files = FileSource([folder / "csv", folder / "parquet"], **COLUMNS)
    table = store.table("flights", "rows", files.spec)
    clock = VirtualClock(START)
    collect(files, table, store.ledger, "flights", clock)
    collect(FrameSource(flights(range(200, 400)), **COLUMNS), table, store.ledger, "flights", clock)
    shuffled = random.Random(seed)
    arrivals = [*STREAM, *shuffled.choices(STREAM, k=90)]
    shuffled.shuffle(arrivals)
    while arrivals:
        batch, arrivals = arrivals[: (size := shuffled.randint(1, 60))], arrivals[size:]
        record(flights(batch, labelled=False), table, store.ledger, "flights", clock, source="predictions")
        known = shuffled.sample(batch, len(batch) // 2)
        record(flights(known), table, store.ledger, "flights", clock, source="labels")
    record(flights(STREAM), table, store.ledger, "flights", clock, source="labels")
    return table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, numbers in (("a", range(150)), ("b", range(100, 180))):
        (tmp_path / "csv").mkdir(exist_ok=True)
        flights(numbers).write_csv(tmp_path / "csv" / f"{name}.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    (tmp_path / "parquet").mkdir()
    flights(range(170, 260)).reverse().write_parquet(tmp_path / "parquet" / "c.parquet")
    return tmp_path


def test_the_same_input_twice_gives_the_same_rows_and_hash(folder: Path, store: Store) -> None:
    first = play(store, folder, seed=1)
    once: Snapshot = first.snapshot()
    again = play(store, folder, seed=1)
    assert again.snapshot() == once
    assert again.content_digest() == once.digest
    assert again.read().equals(flights(range(700)).sort("at"))


def test_another_order_other_batches_and_another_store_give_the_same_rows_and_hash(
    folder: Path, store: Store, tmp_path: Path
) -> None:
    one = play(store, folder, seed=1)
    other = play(Store.open(tmp_path / "other"), folder, seed=2)
    assert other.content_digest() == one.content_digest()
    assert other.read().equals(one.read())


def test_duplicates_and_late_events_are_counted(folder: Path, store: Store) -> None:
    files = FileSource([folder / "csv", folder / "parquet"], **COLUMNS)
    table = store.table("flights", "rows", files.spec)
    done = collect(files, table, store.ledger, "flights", VirtualClock(START))
    assert (done.rows, done.duplicates, done.late) == (260, 60, 0)
    late = record(flights([5, 900, 350]), table, store.ledger, "flights", VirtualClock(START), source="stream")
    later = record(flights([300, 901]), table, store.ledger, "flights", VirtualClock(START), source="stream")
    assert (late.rows, late.duplicates, late.late) == (2, 1, 0)
    assert (later.rows, later.late) == (2, 1)
    assert later.newest == START + timedelta(minutes=901)
