"""Guesses what the columns of a table mean, and says why, so that `homeostat init` can write it down for review."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from homeostat.core.clock import utc
from homeostat.core.errors import DataError
from homeostat.core.metrics import default_metric
from homeostat.core.model.estimator import MOST_CLASSES
from homeostat.core.spec import did_you_mean
from homeostat.core.task import task_of_values

if TYPE_CHECKING:
    import polars as pl

_TIME_NAMES = ("time", "timestamp", "datetime", "date", "scheduled", "event_time", "created_at", "created", "ts", "at")
_LABEL_TIME_NAMES = (
    *("label_time", "labelled_at", "labeled_at", "landed", "resolved", "resolved_at", "closed", "closed_at"),
    *("delivered", "delivered_at", "completed", "completed_at", "ended", "ended_at", "paid", "paid_at"),
)
_KEY_NAMES = ("id", "key", "uuid", "row_id", "rowid")
_SAMPLE = 200_000
_STEPS = ((1, "1d"), (7, "7d"), (14, "14d"), (30, "30d"))


class Part(msgspec.Struct, frozen=True):
    """A guess and the reason for it."""

    value: tuple[str, ...]
    why: str


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """What the columns seem to mean.

    Attributes:
        time, key, label_time: Column names (none, one or several) with reasons.
        task: `classification` or `regression`, with the reason in `task_why`.
        metric: What to judge by.
        leaks: Columns that tell the target, with how well (0..1); they may not be features.
        window, every: Lengths of time that fit the span of the data; no window when the data end long before now.
        newest: The last event time.
    """

    target: str
    time: Part
    key: Part
    label_time: Part
    task: str
    task_why: str
    metric: str
    leaks: dict[str, float]
    rows: int
    span: str
    newest: str
    window: str | None
    every: str


def guess(
    rows: pl.DataFrame,
    target: str,
    *,
    time: str | None = None,
    key: tuple[str, ...] = (),
    label_time: str | None = None,
    now: datetime | None = None,
) -> Guess:
    """Look at the rows and guess what was not given.

    Args:
        rows: At least a few rows.
        target: The column to predict.
        time: Event time column, when it is known.
        key: Columns that identify a row, when they are known.
        label_time: Column that says when the target became known, when it is known.
        now: What time it is, to tell live data from history.

    Raises:
        DataError: A named column is missing, the target cannot be learned, or no column holds a time.
    """
    problems = [
        f"there is no column {name!r}; {did_you_mean(name, rows.columns)}"
        for name in (target, time, *key, label_time)
        if name is not None and name not in rows.columns
    ]
    if problems:
        raise DataError("; ".join(problems))
    rows = rows.head(_SAMPLE)
    task, task_why, metric = _task(rows, target)
    times = _times(rows.drop(target))
    chosen_time = Part((time,), "as you said") if time else _time(rows, times)
    chosen_key = Part(key, "as you said") if key else _key(rows, target, times)
    later = [name for name in times if name != chosen_time.value[0]]
    chosen_label = Part((label_time,), "as you said") if label_time else _label_time(later)
    known = {target, *chosen_time.value, *chosen_key.value, *chosen_label.value}
    first, last = _span(times.get(chosen_time.value[0]))
    span = last - first if first and last else None
    window = max(1, span.days // 2) if span else 60
    history = now is not None and last is not None and utc(now) - last > timedelta(days=window)
    return Guess(
        target=target,
        time=chosen_time,
        key=chosen_key,
        label_time=chosen_label,
        task=task,
        task_why=task_why,
        metric=metric,
        leaks=_leaks(rows, target, [name for name in rows.columns if name not in known and name not in times]),
        rows=rows.height,
        span=f"{span.days} days" if span else "an unknown time",
        newest=f"{last:%Y-%m-%d}" if last else "unknown",
        window=None if history else f"{window}d",
        every=next((text for days, text in reversed(_STEPS) if span and span.days >= 8 * days), "1d"),
    )


def _task(rows: pl.DataFrame, target: str) -> tuple[str, str, str]:
    series = rows[target].drop_nulls()
    distinct = series.n_unique()
    if distinct < 2:
        have = f"only the value {series[0]!r}" if series.len() else "no value at all"
        raise DataError(f"target {target!r} has {have}, so there is nothing to learn", hint="choose another --target")
    if series.dtype.is_temporal() or series.dtype.is_nested():
        raise DataError(f"target {target!r} is a {series.dtype}, which is no label", hint="choose another --target")
    if not series.dtype.is_numeric() and distinct > MOST_CLASSES:
        what = f"target {target!r} is text with {distinct:,} values, and a classifier takes at most {MOST_CLASSES}"
        hint = f"keep the {MOST_CLASSES - 1} most frequent and call the rest 'other', or choose another --target"
        raise DataError(what, hint=hint)
    task, why = task_of_values(series)
    if distinct == 2:
        why += f", {series.unique().sort().to_list()}"
    return task, why, default_metric(task, distinct)


def _times(rows: pl.DataFrame) -> dict[str, pl.Series]:
    """Columns that hold dates or times, as they are or as text."""
    import polars as pl

    found = {}
    for series in rows:
        if series.dtype in (pl.Date, pl.Datetime):
            found[series.name] = series.cast(pl.Datetime("us"))
        elif series.dtype == pl.String and series.len() and series.null_count() < series.len():
            sample = series.drop_nulls().head(100)
            if sample.str.contains(r"^\d{4}-\d{2}-\d{2}").all():
                found[series.name] = series.str.slice(0, 10).str.to_date(strict=False).cast(pl.Datetime("us"))
    return found


def _time(rows: pl.DataFrame, times: dict[str, pl.Series]) -> Part:
    whole = [name for name, series in times.items() if series.null_count() == 0]
    if not whole:
        have = ", ".join(f"{name} ({dtype})" for name, dtype in list(rows.schema.items())[:12])
        raise DataError("no column holds a date or time in every row", hint=f"name one with --time; there are {have}")
    named = [name for wish in _TIME_NAMES for name in whole if name.lower() == wish]
    if named:
        return Part((named[0],), "it is called so and holds a time in every row")
    if len(whole) == 1:
        return Part((whole[0],), "it is the only column with a time in every row")
    others = ", ".join(whole[1:])
    return Part((whole[0],), f"it is the first column with a time in every row (others: {others})")


def _key(rows: pl.DataFrame, target: str, times: dict[str, pl.Series]) -> Part:
    def likely(name: str) -> bool:
        lower = name.lower()
        return lower in _KEY_NAMES or lower.endswith(("_id", "_key", "_uuid"))

    usable = [
        s for s in rows.drop(target) if s.null_count() == 0 and not s.dtype.is_float() and not s.dtype.is_nested()
    ]
    for series in sorted(usable, key=lambda s: s.name.lower() not in _KEY_NAMES):
        if likely(series.name) and series.n_unique() == series.len():
            return Part((series.name,), "it is different in every row")
    for name, series in times.items():
        if series.null_count() == 0 and rows[name].n_unique() == rows.height:
            return Part((name,), "it is different in every row")
    return Part((), "no column is different in every row, so the whole row is its identity")


def _label_time(later: list[str]) -> Part:
    named = [name for wish in _LABEL_TIME_NAMES for name in later if name.lower() == wish]
    if named:
        return Part((named[0],), "it is called so; training uses a label only from then on")
    also = f"; if one of {', '.join(later)} says when, name it" if later else ""
    return Part((), f"no column says when the target became known, so it counts as known at the event time{also}")


def _leaks(rows: pl.DataFrame, target: str, columns: list[str]) -> dict[str, float]:
    from homeostat.core.leakage import suspicious_features

    return {one.column: one.told for one in suspicious_features(rows.select(columns), rows[target])}


def _span(series: pl.Series | None) -> tuple[datetime, datetime] | tuple[None, None]:
    if series is None or series.null_count() == series.len():
        return None, None
    seconds = series.dt.epoch("s").drop_nulls().to_numpy()
    return datetime.fromtimestamp(int(seconds.min()), UTC), datetime.fromtimestamp(int(seconds.max()), UTC)
