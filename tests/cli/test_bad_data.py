"""Spoiled data, typed at the command line: refused whole with one clear error, and mended without a trace."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.cli.bad import LOOP, Verb, csv, nothing_happened, refused, rides, works, write

GOOD = rides()
TEXT = csv(GOOD)
HEAD, *LINES = TEXT.splitlines(keepends=True)


def with_cell(row: int, column: str, value: str) -> str:
    """The file with one cell changed; rows count from 1, as in messages."""
    lines = [HEAD, *LINES]
    cells = lines[row].rstrip("\n").split(",")
    cells[GOOD.columns.index(column)] = value
    lines[row] = ",".join(cells) + "\n"
    return "".join(lines)


SPOILED: dict[str, tuple[str, list[str]]] = {
    "empty": ("", ["rides.csv", "is empty"]),
    "header only": (HEAD, ["rides.csv", "no rows"]),
    "semicolons": (TEXT.replace(",", ";"), ["rides.csv", "a semicolon, not by a comma", "separator=';'"]),
    "mixed types": (
        with_cell(50, "wind", "windy"),
        ["rides.csv", "'wind' mixes", "row 50 has 'windy'", "text=('wind',)"],
    ),
    "duplicate columns": (TEXT.replace("carrier,wind", "wind,wind", 1), ["rides.csv", "'wind' more than once"]),
    "no such target": (TEXT.replace("late", "delayed", 1), ["rides.csv", "'late' is missing"]),
    "one class": (csv(GOOD.with_columns(late=1)), ["'late' has one value only, 1 in all 300"]),
    "no labels": (csv(GOOD.with_columns(late=pl.lit(None, pl.Int64))), ["'late' is null in all 300 rows"]),
    "unparsable time": (
        with_cell(7, "at", "yesterday"),
        ["rides.csv", "'at': row 7 has 'yesterday'", "write times as"],
    ),
    "label before event": (
        csv(GOOD.with_columns(done=pl.col("at") - timedelta(hours=1))),
        ["rides.csv", "'done' is before event time 'at' in 300 of 300 rows", "row 1"],
    ),
    "NaN": (with_cell(6, "wind", "NaN"), ["rides.csv", "'wind' holds nan in row 6", "write null"]),
    "infinity": (with_cell(6, "wind", "inf"), ["rides.csv", "'wind' holds inf in row 6", "write null"]),
    "not text": (TEXT.replace("AA", "\x00"), ["rides.csv", "line "]),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_file_is_refused_and_a_mended_one_is_taken(case: str, homeostat: Verb, tmp_path: Path) -> None:
    text, words = SPOILED[case]
    write(tmp_path, data=text)
    refused(homeostat("run"), *words)
    nothing_happened(tmp_path)
    write(tmp_path)
    works(homeostat)
    assert homeostat("verify").code == 0


def test_rows_out_of_order_are_as_good_as_sorted_ones(homeostat: Verb, tmp_path: Path) -> None:
    write(tmp_path, data=csv(GOOD.sample(fraction=1.0, shuffle=True, seed=1)))
    works(homeostat)
    shuffled = homeostat("versions", "--json").json[0]["test_metrics"]
    (tmp_path / "sorted").mkdir()
    write(tmp_path)
    assert homeostat("run", "--store", "sorted").code == 0
    assert homeostat("versions", "--json", "--store", "sorted").json[0]["test_metrics"] == shuffled


def test_labels_from_the_future_are_told_by_their_time(homeostat: Verb, tmp_path: Path) -> None:
    write(tmp_path, data=csv(GOOD.with_columns(done=pl.col("at") + timedelta(days=40_000))))
    refused(homeostat("run"), "step `rows`", "no label was known by", "the earliest 'done' is 2135-")
    nothing_happened(tmp_path)


def test_a_window_that_holds_no_rows_names_the_newest(homeostat: Verb, tmp_path: Path) -> None:
    loop = LOOP.replace("when=", 'how=how.Refit(window="1h"),\n    when=').replace(
        "import FileSource", "import how, FileSource"
    )
    write(tmp_path, loop=loop)
    refused(homeostat("run"), "none of the 300 labelled rows", "training window", "2026-01-07", "how.Refit(window=...)")
    nothing_happened(tmp_path)


def test_a_table_with_one_column_is_not_guessed_at(homeostat: Verb, tmp_path: Path) -> None:
    write(tmp_path, loop=None, data=TEXT.replace(",", ";"))
    refused(homeostat("init", "rides.csv", "--target", "late"), "rides.csv has one column only", "--separator ';'")
    assert not (tmp_path / "loop.py").exists()


def test_a_missing_file_is_the_users_to_mend(homeostat: Verb, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "rides.csv").rename(tmp_path / "ride.csv")
    refused(homeostat("run"), "there is no file 'rides.csv'", "did you mean 'ride.csv'?")
    nothing_happened(tmp_path)


def test_a_changed_declaration_of_the_table_says_how_to_go_on(homeostat: Verb, tmp_path: Path) -> None:
    write(tmp_path)
    works(homeostat)
    write(tmp_path, loop=LOOP.replace('key="ride", ', ""))
    refused(homeostat("run"), "key=('ride',)", "key=()", "another name for the loop")
    assert len(homeostat("versions", "--json").json) == 1
