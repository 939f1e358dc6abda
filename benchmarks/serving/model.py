"""What is served: one table, one model, and the requests and right answers that follow from them.

The row is an ordinary one: a key, a time, a category and eight numbers. Homeostat gets it as it is. Peers get the
eleven numbers that the model takes, so that they have nothing to look up; they run the very same file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from homeostat.ci.train import train
from homeostat.core.model.encoder import Coder
from homeostat.core.schema import infer_schema
from homeostat.core.table.spec import table_spec

LOOP = "bench"
NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
SENTINEL = 9.0
"""In the column `x7` of every request, and of no training row: what misbehaves, misbehaves from here on."""

_TRAINED = 2_000


def table(n: int) -> pl.DataFrame:
    """Eight numbers, a category, a key, a time and a label."""
    draw = np.random.default_rng(0)
    numbers = {f"x{place}": draw.normal(size=n).round(3) for place in range(8)}
    return pl.DataFrame(
        {
            "id": [f"r{row}" for row in range(n)],
            "at": [NOON + timedelta(minutes=row) for row in range(n)],
            "carrier": draw.choice(["UA", "AA", "B6", "DL"], n),
            **numbers,
            "late": numbers["x0"] + draw.normal(size=n) > 0,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def linear() -> Any:
    """A small model, so that everything around it is what is measured."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def centroids() -> Any:
    """A model without an ONNX form, so that scikit-learn itself answers; a cheap one, which favours peers."""
    from sklearn.impute import SimpleImputer
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(), NearestCentroid())


def trained(estimator: Any, *, seed: int = 0) -> Any:
    """The bundle of a model; another seed gives another one with the same contract."""
    frame = table(_TRAINED)
    schema = infer_schema(frame, table_spec("at", "id", target="late"))
    return train(frame, frame[-200:], model=estimator, schema=schema, now=NOON, loop=LOOP, seed=seed)


@dataclass(frozen=True)
class Questions:
    """Rows to ask about, and what the model says.

    Args:
        bundle: The model.
        count: How many rows.
        x7: A value for the last number of every row; as it is when None.
    """

    bundle: Any
    count: int = 256
    x7: float | None = None

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The rows, as the table has them."""
        rows = table(_TRAINED).head(self.count).drop("late")
        return rows if self.x7 is None else rows.with_columns(x7=pl.lit(self.x7))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as JSON has them."""
        return [{**row, "at": row["at"].isoformat()} for row in self.frame.to_dicts()]

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """The numbers that the model takes; shape (count, 11)."""
        return Coder(self.bundle.manifest.encoder).frame(self.frame)

    @cached_property
    def labels(self) -> list[bool]:
        """The right answers."""
        return [bool(label) for label in self.bundle.model().predict(self.frame).value]
