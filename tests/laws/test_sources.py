"""The law of whatever rows come from: held by files, frames, and one of a test's own, which trains a loop."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from homeostat.ci.collect import collect
from homeostat.connect import FileSource, FrameSource
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import DataError
from homeostat.core.ports import Part
from homeostat.core.table.form import Form
from homeostat.core.table.spec import TableSpec, table_spec
from tests.ci.small_loop import NOW, small_loop, table
from tests.laws.trained import first_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from homeostat.core.ports import Source
    from homeostat.core.store import Store

COLUMNS: dict[str, Any] = {"time": "at", "key": "id", "target": "late", "label_time": "landed"}


class GeneratedSource:
    """Rows that nobody keeps: each day's are made when they are asked for."""

    def __init__(self, days: int) -> None:
        self.days = days
        self.whole = table()

    @property
    def spec(self) -> TableSpec:
        return table_spec("at", "id", "late", "landed", None)

    def parts(self) -> Iterator[Part]:
        for day in range(self.days):
            rows = self.whole[day * 60 : (day + 1) * 60]
            yield Part(f"day {day}", hashlib.sha256(f"day {day}".encode()).hexdigest(), lambda *_, rows=rows: rows)


def csv(folder: Path) -> Source:
    for day in range(10):
        table()[day * 60 : (day + 1) * 60].write_csv(folder / f"{day}.csv")
    return FileSource(folder, **COLUMNS)


def parquet(folder: Path) -> Source:
    table().write_parquet(folder / "rows.parquet")
    return FileSource(folder / "*.parquet", **COLUMNS)


WAYS: dict[str, Any] = {
    "csv": csv,
    "parquet": parquet,
    "frame": lambda _: FrameSource(table(), **COLUMNS),
    "generated": lambda _: GeneratedSource(10),
}


@pytest.fixture(params=WAYS)
def source(request, tmp_path: Path) -> Source:
    folder = tmp_path / "in"
    folder.mkdir()
    return WAYS[request.param](folder)


def bring(source: Source, store: Store) -> Any:
    return collect(source, store.table("flights", "rows", source.spec), store.ledger, "flights", VirtualClock(NOW))


def test_parts_are_the_same_and_in_the_same_order_whenever_they_are_asked_for(source: Source) -> None:
    first, again = [[(part.name, part.digest) for part in source.parts()] for _ in range(2)]
    assert first == again
    assert len({digest for _, digest in first}) == len(first) > 0
    assert all(len(digest) == 64 and int(digest, 16) >= 0 for _, digest in first)


def test_a_part_gives_the_same_rows_each_time_and_the_declared_columns(source: Source) -> None:
    parts = list(source.parts())
    assert parts
    for part in parts:
        told: list[str] = []
        rows = part.read()
        assert rows.equals(part.read(("carrier",), told.append))
        assert set(source.spec.declared) <= set(rows.columns)
        assert rows.height
        assert told == []


def test_all_parts_together_are_all_rows(source: Source, store: Store) -> None:
    found = bring(source, store)
    assert (found.rows, found.duplicates, found.skipped) == (600, 0, 0)
    rows = store.table("flights", "rows", source.spec).read().sort("id")
    assert rows["wind"].to_list() == table().sort("id")["wind"].to_list()


def test_what_was_collected_is_known_by_its_content(source: Source, store: Store) -> None:
    first, again = bring(source, store), bring(source, store)
    assert (again.parts, again.rows, again.skipped) == (0, 0, first.parts)
    assert again.source_version == first.source_version


def test_a_loop_takes_it_trains_on_it_and_says_the_same_of_itself(source: Source, store: Store) -> None:
    loop = small_loop(source=source, gates=())
    assert loop.digest == small_loop(source=source, gates=()).digest
    assert isinstance(loop.form, Form)
    assert first_version(store, loop) == 1
    assert store.ledger.version("flights", 1).state == "champion"


def test_a_source_of_ones_own_that_grows_brings_what_is_new(store: Store) -> None:
    assert bring(GeneratedSource(3), store).rows == 180
    grown = bring(GeneratedSource(5), store)
    assert (grown.rows, grown.parts, grown.skipped, grown.total) == (120, 2, 3, 300)


@pytest.mark.parametrize("wrong", [KeyError("x"), OverflowError("big"), ConnectionError("gone")])
def test_of_a_source_with_one_part_that_fails_nothing_is_taken(store: Store, wrong: Exception) -> None:
    class Faulty(GeneratedSource):
        def parts(self) -> Iterator[Part]:
            def read(*_: object) -> pl.DataFrame:
                raise wrong

            *whole, last = super().parts()
            yield from (*whole, replace(last, read=read))

    with pytest.raises(DataError, match="day 2 cannot be read"):
        bring(Faulty(3), store)
    assert not store.table("flights", "rows", Faulty(1).spec).rows
