"""A small world: forty days of rows whose label follows from one of two columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from homeostat import FrameSource, Loop
from homeostat.core.table.rows import prepare

START = datetime(2026, 1, 1, tzinfo=UTC)


def table(rows: int = 960) -> pl.DataFrame:
    """One row an hour."""
    random = np.random.default_rng(1)
    x = random.normal(size=(rows, 2))
    at = [START + timedelta(hours=place) for place in range(rows)]
    late = x[:, 0] + random.normal(size=rows) > 0
    return pl.DataFrame({"id": range(rows), "at": at, "x": x[:, 0], "z": x[:, 1], "late": late})


TABLE = table()


def loop_of(rows: pl.DataFrame = TABLE, **declared: Any) -> Loop:
    """A loop over rows of the world."""
    source = FrameSource(rows, time="at", key="id", target="late")
    return Loop(name="world", source=source, **{"model": LogisticRegression(), **declared})


def history(**declared: Any) -> tuple[Loop, pl.DataFrame]:
    """A loop with its rows in stored types."""
    loop = loop_of(**declared)
    return loop, prepare(TABLE, loop.source.spec)
