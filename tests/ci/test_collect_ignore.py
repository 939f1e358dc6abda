"""Columns that a source ignores are not taken in, and a name that is not there is refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from homeostat import FileSource, FrameSource
from homeostat.core.errors import DataError

ROWS = pl.DataFrame({"at": ["2026-01-01", "2026-01-02"], "x": [1, 2], "consequence": [5, 6], "y": [0, 1]})


def test_ignored_columns_are_not_taken_in(tmp_path: Path) -> None:
    ROWS.write_csv(tmp_path / "rows.csv")
    source = FileSource(tmp_path / "rows.csv", time="at", target="y", ignore="consequence")
    (part,) = source.parts()
    assert part.read().columns == ["at", "x", "y"]
    (part,) = FrameSource(ROWS, time="at", target="y", ignore=["consequence"]).parts()
    assert part.read().columns == ["at", "x", "y"]


def test_an_ignored_column_that_is_not_there_is_refused_with_the_likely_name() -> None:
    with pytest.raises(DataError, match="did you mean 'consequence'"):
        list(FrameSource(ROWS, time="at", target="y", ignore=["consequenc"]).parts())


def test_a_declared_column_cannot_be_ignored() -> None:
    with pytest.raises(DataError, match="both declared and ignored: 'y'"):
        FileSource("rows.csv", time="at", target="y", ignore=["y"])
