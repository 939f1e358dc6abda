"""Which rows to learn from? Play several methods over the same history, with labels only as they became known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec
import numpy as np
import polars as pl

from homeostat.ci.train.fitting import fit, limited_threads, said_by
from homeostat.core.clock import duration
from homeostat.core.errors import DataError
from homeostat.core.model.encoder import Coder, fit_encoder
from homeostat.core.model.estimator import (
    classes_of,
    default_estimator,
    prepared,
    seeded_clone,
    target_of,
    task_of,
    wants_table,
)
from homeostat.core.model.features import Features, apply_features
from homeostat.core.model.runtimes import EstimatorRuntime
from homeostat.core.model.signature import Predictions, joined
from homeostat.core.stats.prequential import StreamReport, stream_report
from homeostat.core.table.rows import known_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from homeostat.core.table.spec import TableSpec


class Windowed(Protocol):
    """A method that chooses and weighs rows; `ct.how.Refit` is one."""

    def select(self, rows: pl.DataFrame, time: str, now: datetime) -> pl.DataFrame:
        """The rows that it learns from at `now`."""

    def weights(self, rows: pl.DataFrame, time: str, now: datetime) -> NDArray[np.float64] | None:
        """Weight of each, or None."""


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """How methods did on the same rows.

    Attributes:
        start, every: When the first model was fitted, and how often after that.
    """

    metric: str
    start: datetime
    every: str
    refits: int
    reports: dict[str, StreamReport]


def backtest(
    rows: pl.DataFrame,
    spec: TableSpec,
    methods: Mapping[str, Windowed],
    *,
    start: datetime,
    every: str,
    model: Any = None,
    features: Features | None = None,
    metric: str | None = None,
    seed: int = 0,
) -> Backtest:
    """Refit periodically with each method and score it on the rows that came before the next fit.

    Args:
        rows: Labelled history in stored types.
        spec: What the columns mean.
        methods: What to compare, by name.
        start: Event time of the first fit.
        every: Time between fits, as in `"28d"`.
        model: As for a Loop; it is fitted directly, without conversion.
        features: As for a Loop.
        metric: Accuracy or mean absolute error by default.
        seed: For every random state left open.

    Raises:
        DataError: There are no rows before or after `start`.
    """
    assert spec.target is not None
    rows = rows.drop_nulls(spec.target).sort(spec.time, *spec.key, maintain_order=True)
    target, task = target_of(rows, spec.target, task_of(model), metric)
    classes = None if task == "regression" else classes_of(target)
    times, known = rows[spec.time].dt.timestamp("us").to_numpy(), known_at(rows, spec)
    cuts = _cuts(rows[spec.time], start, every)
    first = int(np.searchsorted(times, _microseconds(cuts[0])))
    if not 0 < first < rows.height:
        raise DataError(
            f"{first:,} of {rows.height:,} rows are before {start}", hint="choose a start inside the history"
        )
    made = apply_features(features, rows, labels=spec.labels)
    estimator = default_estimator(task, seed) if model is None else seeded_clone(model, seed)
    reports = {}
    for name, method in methods.items():
        found: list[Predictions] = []
        for now, end in zip(cuts, [*cuts[1:], None], strict=True):
            learned = _learned(rows, known, method, spec.time, now)
            asked = (times >= _microseconds(now)) & (True if end is None else times < _microseconds(end))
            if asked.any():
                weights = method.weights(rows[learned], spec.time, now)
                found.append(_said(estimator, made, target, learned, np.flatnonzero(asked), weights, classes, spec))
        said = joined(found)
        reports[name] = stream_report(
            target, _padded(said, first), times=times, label_times=known, classes=classes, metric=metric, since=first
        )
    judged = metric or ("mae" if classes is None else "accuracy")
    return Backtest(metric=judged, start=start, every=every, refits=len(cuts), reports=reports)


def _learned(
    rows: pl.DataFrame, known: NDArray[np.int64], method: Windowed, time: str, now: datetime
) -> NDArray[np.int64]:
    """Row numbers that the method learns from at `now`: only those whose label was known."""
    numbered = rows.select(time).with_row_index("row").filter(pl.Series(known <= _microseconds(now)))
    chosen = method.select(numbered, time, now)["row"].to_numpy().astype(np.int64)
    if not len(chosen):
        raise DataError(
            f"no labelled row to learn from at {now:%Y-%m-%d %H:%M}", hint="start later or widen the window"
        )
    return chosen


def _said(
    estimator: Any,
    made: pl.DataFrame,
    target: NDArray[Any],
    learned: NDArray[np.int64],
    asked: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    classes: Any,
    spec: TableSpec,
) -> Predictions:
    from sklearn.base import clone

    train, test = made[learned], made[asked]
    fresh = clone(estimator)
    if wants_table(estimator):
        inputs: Any = train.drop([name for name in spec.declared if name in train.columns])
        outputs: Any = test.drop([name for name in spec.declared if name in test.columns])
    else:
        encoder = fit_encoder(train, exclude=spec.key)
        fresh, coder = prepared(fresh, encoder), Coder(encoder)
        inputs, outputs = coder.frame(train), coder.frame(test)
    fit(fresh, inputs, target[learned], weights)
    with limited_threads():
        return said_by(EstimatorRuntime(fresh, classes).output(outputs), classes)


def _padded(said: Predictions, first: int) -> Predictions:
    """Predictions for the warm-up rows too, which are not looked at."""
    value = np.concatenate([np.repeat(said.value[:1], first), said.value])
    if said.score is None:
        return Predictions(value)
    return Predictions(value, np.concatenate([np.repeat(said.score[:1], first, axis=0), said.score]))


def _cuts(times: pl.Series, start: datetime, every: str) -> list[datetime]:
    step, last = duration(every), cast("datetime", times.max())
    count = max(1, int((last - start) / step) + 1)
    return [start + place * step for place in range(count)]


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)) // timedelta(microseconds=1)
