"""Columns that a source ignores are not taken in, and a name that is not there is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from homeostat import FileSource, FrameSource
from homeostat.ci.collect import collect
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import DataError, SchemaError
from homeostat.core.store import Store

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


def test_a_new_column_is_refused_and_can_be_left_out_or_collected_by_a_loop_of_a_new_name(tmp_path: Path) -> None:
    def collected(loop: str, **settings: str) -> int:
        source = FileSource(f"{tmp_path}/*.csv", time="at", target="y", **settings)
        table = store.table(loop, "rows", source.spec)
        return collect(source, table, store.ledger, loop, VirtualClock(datetime(2026, 2, 1, tzinfo=UTC))).total

    store = Store.open(tmp_path / "store")
    old, new = ROWS.drop("consequence"), ROWS.with_columns(at=pl.Series(["2026-01-03", "2026-01-04"]))
    old.write_csv(tmp_path / "old.csv")
    assert collected("first") == 2
    new.write_csv(tmp_path / "new.csv")
    with pytest.raises(SchemaError, match="homeostat accept-schema"):
        collected("first")
    assert collected("first", ignore="consequence") == 4
    (tmp_path / "old.csv").unlink()
    assert collected("second") == 2
