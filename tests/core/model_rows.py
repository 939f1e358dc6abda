"""Small made-up tables for the tests of models: hourly rows with a signal, a category, a time, and some holes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from homeostat.ci.train import train
from homeostat.core.model import Bundle
from homeostat.core.schema import Schema, infer_schema
from homeostat.core.table.spec import TableSpec

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 1, 1, tzinfo=UTC)
SPEC = TableSpec(time="at", key=("id",), target="y", label_time="known")
CARRIERS = ("AA", "DL", "UA", "WN")


def rows(n: int = 1_200, *, seed: int = 0, target: str = "binary", noise: float = 0.7, start: int = 0) -> pl.DataFrame:
    """Hourly rows whose label comes a day later; `target` is binary, text, three or number."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    carrier = rng.choice(CARRIERS, n)
    signal = x + 0.8 * (carrier == "UA") - 0.5 * z**2 + noise * rng.normal(size=n)
    labels = {
        "binary": signal > 0,
        "text": np.where(signal > 0, "late", "on time"),
        "three": np.digitize(signal, [-0.7, 0.5]).astype(str),
        "number": 10 * signal + 50,
    }[target]
    at = [START + timedelta(hours=start + hour) for hour in range(n)]
    holes = rng.random(n) < 0.05
    return pl.DataFrame(
        {
            "id": [f"r{start + place}" for place in range(n)],
            "at": at,
            "known": [moment + timedelta(days=1) for moment in at],
            "x": np.where(holes, np.nan, x),
            "z": z,
            "carrier": carrier,
            "rush": rng.random(n) < 0.3,
            "y": labels,
        }
    ).with_columns(
        pl.col("x").fill_nan(None), carrier=pl.when(pl.Series(rng.random(n) < 0.03)).then(None).otherwise("carrier")
    )


def schema_of(table: pl.DataFrame) -> Schema:
    return infer_schema(table, SPEC)


def trained(table: pl.DataFrame, proof: pl.DataFrame | None = None, **settings: object) -> Bundle:
    """A bundle from rows as above."""
    return train(table, table if proof is None else proof, schema=schema_of(table), now=NOW, **settings)
