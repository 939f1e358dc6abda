"""Statistics of rows as plain JSON values: one pass over each column, all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from homeostat.core.errors import DataError
from homeostat.core.stats.leakage import Suspect, suspicious_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from homeostat.core.table.spec import TableSpec

FORMAT = 1
BARS = 24
TOP = 12
_BINS = 10
_STEPS = 48
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def describe(rows: pl.DataFrame, spec: TableSpec, previous: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything that the page shows and the next run compares itself with.

    Returns:
        `rows`, `spec`, `columns` (by name), `time`, `labels` and `suspects`.
    """
    if not rows.height:
        raise DataError("there are no rows to analyze", hint="collect some first, or widen the training window")
    before = (previous or {}).get("columns", {})
    columns = {}
    for one in rows:
        role = _role(one.name, spec)
        columns[one.name] = {"role": role, **_column(one, role, before.get(one.name))}
    suspects: tuple[Suspect, ...] = ()
    if spec.target is not None and spec.target in rows.columns:
        suspects = suspicious_features(rows.drop(set(spec.declared)), rows[spec.target])
    return {
        "format": FORMAT,
        "rows": rows.height,
        "spec": msgspec.json.decode(msgspec.json.encode(spec)),
        "columns": columns,
        "time": _over_time(rows, spec),
        "labels": _labels(rows, spec),
        "suspects": [msgspec.to_builtins(suspect) for suspect in suspects],
    }


def _role(name: str, spec: TableSpec) -> str:
    if name in spec.key:
        return "key"
    return {spec.time: "time", spec.target: "target", spec.label_time: "label time"}.get(name, "feature")


def _column(series: pl.Series, role: str, before: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"rows": series.len(), "nulls": series.null_count()}
    dtype = series.dtype
    if role == "key":
        found |= {"kind": "key", "distinct": series.drop_nulls().n_unique(), "example": str(series.min())}
    elif dtype.is_temporal():
        found |= {"kind": "time", "minimum": str(series.min()), "maximum": str(series.max())}
    elif dtype.is_numeric():
        found |= {"kind": "integer" if dtype.is_integer() else "number", **_number(series, before)}
    else:
        found |= {"kind": "boolean" if dtype == pl.Boolean else "text", **_words(series, before)}
    return found


def _number(series: pl.Series, before: dict[str, Any] | None) -> dict[str, Any]:
    # Once sorted, every quantile, count, bin and bar is a lookup.
    values = np.asarray(series.drop_nulls().cast(pl.Float64).sort().to_numpy())
    values = values[np.isfinite(values)]
    if not values.size:
        return {"distinct": 0}
    quantiles = _lookup(values, _QUANTILES)
    edges = np.unique(_lookup(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    low, high = _view(values, quantiles)
    scale = max(abs(float(values[0])), abs(float(values[-1]))) or 1.0  # so that squares of huge values do not overflow
    found: dict[str, Any] = {
        "distinct": int(1 + np.count_nonzero(np.diff(values))),
        "minimum": float(values[0]),
        "maximum": float(values[-1]),
        "mean": float((values / scale).mean() * scale),
        "std": float((values / scale).std() * scale),
        "quantiles": [float(one) for one in quantiles],
        "edges": [float(one) for one in edges],
        "counts": _binned(values, edges),
        "low": low,
        "high": high,
        "bars": _bars(values, low, high),
    }
    if before and "edges" in before:
        found["then"] = {"counts": _binned(values, np.asarray(before["edges"]))}
    return found


def _lookup(ordered: NDArray[np.float64], shares: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of values that are sorted already."""
    return ordered[np.round(np.asarray(shares) * (ordered.size - 1)).astype(np.intp)]


def _view(values: NDArray[np.float64], quantiles: NDArray[np.float64]) -> tuple[float, float]:
    """The range that a picture shows: everything, unless some values lie far out."""
    reach = 1.5 * (quantiles[-1] - quantiles[0])
    low, high = max(values[0], quantiles[0] - reach), min(values[-1], quantiles[-1] + reach)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _bars(values: NDArray[np.float64], low: float, high: float) -> list[int]:
    """Counts in equally wide bars; what lies outside is in the first and the last one."""
    places = np.searchsorted(values, np.linspace(low, high, BARS + 1)[1:-1], side="right")
    return [int(one) for one in np.diff(places, prepend=0, append=values.size)]


def _binned(values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[int]:
    places = np.searchsorted(values, edges, side="right")
    return [int(one) for one in np.diff(places, prepend=0, append=values.size)]


def _words(series: pl.Series, before: dict[str, Any] | None) -> dict[str, Any]:
    counts = series.drop_nulls().cast(pl.String).value_counts(name="count").rename({series.name: "value"})
    top = _most_frequent(counts)
    present = series.len() - series.null_count()
    found: dict[str, Any] = {
        "distinct": counts.height,
        "top": [[str(value), int(count)] for value, count in top],
        "other": present - sum(count for _, count in top),
    }
    if before and "top" in before:
        then = [value for value, _ in before["top"]]
        known = dict(counts.filter(pl.col("value").is_in(then)).rows())
        listed = [int(known.get(value, 0)) for value in then]
        found["then"] = {"counts": [*listed, present - sum(listed)]}
    return found


def _most_frequent(counts: pl.DataFrame) -> list[tuple[str, int]]:
    """The values with the highest counts, ties in the order of their names, without sorting all of them."""
    if not counts.height:
        return []
    least = counts["count"].top_k(TOP).min()
    above = counts.filter(pl.col("count") > least)
    ties = counts.filter(pl.col("count") == least).bottom_k(TOP - above.height, by="value")
    return pl.concat([above, ties]).sort(["count", "value"], descending=[True, False]).rows()


def _over_time(rows: pl.DataFrame, spec: TableSpec) -> dict[str, Any]:
    """Rows, and the mean of the target, in up to 48 equally long stretches of event time."""
    moments = rows[spec.time].drop_nulls()
    start, end = moments.min(), moments.max()
    found: dict[str, Any] = {"start": str(start), "end": str(end), "rows": [], "target": []}
    micros = rows[spec.time].dt.timestamp("us")
    first, last = micros.min(), micros.max()
    if first is None or last is None:
        return found
    span = max(int(last) - int(first), 1)  # type: ignore[arg-type]
    step = ((micros - first) * _STEPS // (span + 1)).alias("step")
    answer = _as_number(rows[spec.target]) if spec.target in rows.columns and spec.target is not None else None
    frame = pl.DataFrame(
        [step, pl.Series("answer", answer if answer is not None else [None] * rows.height, pl.Float64)]
    )
    by_step = frame.group_by("step").agg(pl.len(), pl.col("answer").mean())
    counted = pl.DataFrame({"step": range(_STEPS)}).join(by_step, on="step", how="left").sort("step")
    found["rows"] = counted["len"].fill_null(0).to_list()
    found["target"] = counted["answer"].to_list()
    found["answer"] = _answer_name(rows[spec.target], spec.target) if answer is not None and spec.target else None
    return found


def _as_number(target: pl.Series) -> pl.Series | None:
    """What to average: a number as it is, two classes as the share of the second."""
    if target.dtype.is_numeric() or target.dtype == pl.Boolean:
        return target.cast(pl.Float64)
    if target.drop_nulls().n_unique() == 2:
        return (target == target.drop_nulls().cast(pl.String).max()).cast(pl.Float64)
    return None


def _answer_name(target: pl.Series, name: str) -> str:
    present = target.drop_nulls()
    if target.dtype.is_numeric() and present.n_unique() > 2:
        return f"mean of {name}"
    return f"share of {name} = {present.max()!s}"


def _labels(rows: pl.DataFrame, spec: TableSpec) -> dict[str, Any] | None:
    if spec.target is None or spec.target not in rows.columns:
        return None
    found: dict[str, Any] = {"labelled": rows[spec.target].count(), "delay": None}
    if spec.label_time is not None:
        delay = (rows[spec.label_time] - rows[spec.time]).dt.total_seconds().drop_nulls()
        if delay.len():
            found["delay"] = [float(np.quantile(delay.to_numpy(), q)) for q in (0.05, 0.5, 0.95)]
    return found
