"""The law of whatever a stream's rows come from: held by pipes, files, folders, and by a list of a test's own."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from homeostat.connect import FolderSource, InputSource, JsonLinesSink, TailSource
from homeostat.core.ports import StreamSource, Taken
from tests.cd.serving import bundle, flights, promote, raw, register
from tests.cd.streams import run, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from homeostat.core.store import Store

ROWS = flights(23, seed=3)
WANTED = ROWS["flight_id"].to_list()


class ListSource:
    """Rows of a list, by their place in it."""

    name = "list"

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def take(self, after: dict[str, Any], limit: int) -> Taken:
        place = after.get("place", 0)
        rows = self._rows[place : place + limit]
        names = [f"row {place + number}" for number in range(len(rows))]
        return Taken({"place": place + len(rows)} if rows else after, rows, names)


def jsonl(file: Path) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in raw(ROWS)))


def tail(folder: Path) -> StreamSource:
    jsonl(folder / "rows.jsonl")
    return TailSource(folder / "rows.jsonl")


def lines_folder(folder: Path) -> StreamSource:
    jsonl(folder / "rows.jsonl")
    return FolderSource(folder, bundle().manifest.schema)


def parquet_folder(folder: Path) -> StreamSource:
    for number in range(2):
        ROWS[number * 12 : (number + 1) * 12].drop("late", "landed").write_parquet(folder / f"{number}.parquet")
        os.utime(folder / f"{number}.parquet", ns=(number, number))
    return FolderSource(folder, bundle().manifest.schema)


def pipe(_: Path) -> StreamSource:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in raw(ROWS))
    return InputSource(reading)


AGAIN: dict[str, Callable[[Path], StreamSource]] = {
    "tail": tail,
    "folder of lines": lines_folder,
    "folder of parquet": parquet_folder,
    "list": lambda _: ListSource(list(raw(ROWS))),
}
ALL = AGAIN | {"pipe": pipe}


def every(source: StreamSource, after: dict[str, Any], limit: int) -> list[Taken]:
    """What is there behind a position, until nothing more comes."""
    found = []
    while True:
        taken = source.take(after, limit)
        if taken.after == after and not taken.rows and not taken.unread:
            return found
        found.append(taken)
        after = taken.after


def ids(found: list[Taken]) -> list[str]:
    return [row["flight_id"] for taken in found for row in taken.rows]


@pytest.mark.parametrize("limit", [1, 5, 1000])
@pytest.mark.parametrize("way", ALL)
def test_every_row_comes_once_in_order_with_a_name_of_its_own(tmp_path: Path, way: str, limit: int) -> None:
    found = every(ALL[way](tmp_path), {}, limit)
    assert ids(found) == WANTED
    assert all(len(taken.rows) == len(taken.names) <= limit and not taken.unread for taken in found)
    names = [name for taken in found for name in taken.names]
    assert len(set(names)) == len(WANTED)


@pytest.mark.parametrize("way", AGAIN)
def test_from_every_position_the_rest_comes_again_under_the_same_names(tmp_path: Path, way: str) -> None:
    first = every(ALL[way](tmp_path), {}, 4)
    assert first
    for place, taken in enumerate(first, start=1):
        kept = json.loads(json.dumps(taken.after))
        assert kept == taken.after
        rest = every(ALL[way](tmp_path) if way == "list" else again(way, tmp_path), kept, 4)
        assert ids(rest) == ids(first[place:])
        assert [one.names for one in rest if one.names] == [one.names for one in first[place:] if one.names]


def again(way: str, folder: Path) -> StreamSource:
    """Another source over the same files."""
    return TailSource(folder / "rows.jsonl") if way == "tail" else FolderSource(folder, bundle().manifest.schema)


@pytest.mark.parametrize("way", ALL)
def test_where_nothing_more_is_there_the_position_stays_and_nobody_waits(tmp_path: Path, way: str) -> None:
    source = ALL[way](tmp_path)
    found = every(source, {}, 1000)
    for _ in range(2):
        taken = source.take(found[-1].after, 1000)
        assert (taken.rows, taken.after, taken.lost) == ([], found[-1].after, None)


@pytest.mark.parametrize("way", ALL)
def test_its_name_stays_what_it_was(tmp_path: Path, way: str) -> None:
    source = ALL[way](tmp_path)
    before = source.name
    every(source, {}, 7)
    assert source.name == before != ""


@pytest.mark.parametrize("way", ALL)
def test_a_champion_answers_what_comes_from_it(store: Store, tmp_path: Path, way: str) -> None:
    promote(store, register(store, bundle()))
    folder = tmp_path / "in"
    folder.mkdir()
    done = run(store, ALL[way](folder), JsonLinesSink(tmp_path / "out.jsonl"), batch_rows=5)
    assert (done.rows, done.dead) == (23, 0)
    assert [answer["id"] for answer in written(tmp_path / "out.jsonl")] == WANTED
    values = bundle().model().predict(ROWS).value.tolist()
    assert [answer["value"] for answer in written(tmp_path / "out.jsonl")] == values
