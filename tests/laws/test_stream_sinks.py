"""The law of whatever a stream's answers go to: held by output, files and folders, and by a list of a test's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from homeostat.connect import JsonLinesSink, OutputSink, ParquetSink, TailSource
from homeostat.core.errors import DataError
from homeostat.core.ports import DeadRow, RowAnswer, StreamSink
from tests.cd.serving import bundle, flights, promote, register
from tests.cd.streams import lines, run, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.core.store import Store

ROWS = flights(23, seed=3)
KEPT: dict[Path, dict[str, Any]] = {}
"""What each list holds, by the folder that it stands for; it outlives the sinks that write to it."""


class ListSink:
    """Answers in a list, with the position behind them."""

    def __init__(self, folder: Path) -> None:
        self.kept = KEPT.setdefault(folder, {"answers": [], "dead": [], "after": {}, "source": None})

    def begin(self, source: str) -> dict[str, Any]:
        if self.kept["source"] not in (None, source):
            raise DataError(f"the list holds the answers to {self.kept['source']}")
        self.kept["source"] = source
        return dict(self.kept["after"])

    def write(self, answers: Sequence[RowAnswer], dead: Sequence[DeadRow], after: dict[str, Any]) -> None:
        self.kept["answers"] += answers
        self.kept["dead"] += dead
        self.kept["after"] = after

    def close(self) -> None:
        pass


def parquet_ids(folder: Path) -> list[str]:
    files = sorted((folder / "out").glob("part-*.parquet"))
    return [one for file in files for one in pl.read_parquet(file)["id"].to_list()]


WAYS: dict[str, tuple[Any, Any, Any]] = {
    "lines": (
        lambda folder: JsonLinesSink(folder / "out.jsonl"),
        lambda folder: [one["id"] for one in written(folder / "out.jsonl")],
        lambda folder: [one["name"] for one in written(folder / "out.dead.jsonl")],
    ),
    "parquet": (
        lambda folder: ParquetSink(folder / "out"),
        parquet_ids,
        lambda folder: [one["name"] for one in written(folder / "out.dead.jsonl")],
    ),
    "list": (
        ListSink,
        lambda folder: [one.id for one in KEPT[folder]["answers"]],
        lambda folder: [one.name for one in KEPT[folder]["dead"]],
    ),
}
ways = pytest.mark.parametrize(("make", "ids", "dead_names"), WAYS.values(), ids=WAYS)


def answer(number: int) -> RowAnswer:
    return RowAnswer(f"row {number}", number % 2, 1, number / 100)


def dead(number: int) -> DeadRow:
    return DeadRow(f"line {number}", "is no JSON", "{")


@ways
def test_what_was_written_is_there_in_order_and_its_position_with_it(tmp_path, make, ids, dead_names) -> None:
    sink: StreamSink = make(tmp_path)
    assert sink.begin("rows") == {}
    sink.write([answer(0), answer(1)], [dead(9)], {"place": 3})
    sink.write([], [dead(10)], {"place": 4})
    sink.write([answer(2)], [], {"place": 5, "deep": {"list": [1, "x", None]}})
    sink.close()
    sink.close()
    assert ids(tmp_path) == ["row 0", "row 1", "row 2"]
    assert dead_names(tmp_path) == ["line 9", "line 10"]
    assert make(tmp_path).begin("rows") == {"place": 5, "deep": {"list": [1, "x", None]}}


@ways
def test_it_goes_on_where_it_ended_however_often(tmp_path, make, ids, dead_names) -> None:
    for number in range(5):
        sink: StreamSink = make(tmp_path)
        assert sink.begin("rows") == ({"place": number} if number else {})
        sink.write([answer(number)], [dead(number)], {"place": number + 1})
        sink.close()
    assert ids(tmp_path) == [f"row {number}" for number in range(5)]
    assert dead_names(tmp_path) == [f"line {number}" for number in range(5)]


@ways
def test_a_position_without_answers_is_kept_too(tmp_path, make, ids, dead_names) -> None:
    sink: StreamSink = make(tmp_path)
    sink.begin("rows")
    sink.write([], [], {"place": 7})
    sink.close()
    again: StreamSink = make(tmp_path)
    assert again.begin("rows") == {"place": 7}
    again.write([answer(0)], [], {"place": 8})
    again.close()
    assert ids(tmp_path) == ["row 0"]
    assert dead_names(tmp_path) == []


@ways
def test_it_does_not_go_on_from_the_position_of_another_source(tmp_path, make, ids, dead_names) -> None:
    first: StreamSink = make(tmp_path)
    first.begin("rows")
    first.write([answer(0)], [dead(0)], {"place": 1})
    first.close()
    other: StreamSink = make(tmp_path)
    with pytest.raises(DataError, match="holds the answers to rows"):
        other.begin("others")
    other.close()
    assert (ids(tmp_path), dead_names(tmp_path)) == (["row 0"], ["line 0"])


@ways
def test_a_champions_answers_are_all_there_and_said_once(store: Store, tmp_path, make, ids, dead_names) -> None:
    promote(store, register(store, bundle()))
    (tmp_path / "rows.jsonl").write_text("".join(lines(ROWS[:15])) + "no row\n")
    source = TailSource(tmp_path / "rows.jsonl")
    run(store, source, make(tmp_path), batch_rows=4)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.writelines(lines(ROWS[15:]))
    run(store, source, make(tmp_path), batch_rows=4)
    assert ids(tmp_path) == ROWS["flight_id"].to_list()
    assert len(dead_names(tmp_path)) == 1


def test_output_keeps_no_position_and_says_all_again(capsys) -> None:
    for _ in range(2):
        sink: StreamSink = OutputSink()
        assert sink.begin("rows") == {}
        sink.write([answer(0)], [dead(1)], {"place": 1})
        sink.close()
        said = capsys.readouterr()
        assert '"row 0"' in said.out
        assert '"line 1"' in said.err
