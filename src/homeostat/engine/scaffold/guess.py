"""Guesses what the columns of a table mean, and says why, so that `homeostat init` can write it down for review."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.ci.gates import FEWEST_TEST_ROWS
from homeostat.core.clock import utc
from homeostat.core.errors import DataError, shown
from homeostat.core.model.estimator import MOST_CLASSES
from homeostat.core.model.task import task_of_values
from homeostat.core.stats.metrics import default_metric
from homeostat.core.table.spec import did_you_mean
from homeostat.core.times.columns import read_times
from homeostat.engine.scaffold.survey import TIME_NAMES, Survey, TimeColumn
from homeostat.engine.scaffold.written import Written

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl


_LABEL_TIME_NAMES = (
    *("label_time", "labelled_at", "labeled_at", "landed", "resolved", "resolved_at", "closed", "closed_at"),
    *("delivered", "delivered_at", "completed", "completed_at", "ended", "ended_at", "paid", "paid_at"),
)
_KEY_NAMES = ("id", "key", "uuid", "row_id", "rowid")
_SAMPLE = 200_000
_ROWS_OF_A_WINDOW = 1_000
"""Fewer rows are not made fewer still by a window."""
_STEPS = ((1, "1d"), (7, "7d"), (14, "14d"), (30, "30d"))


class GuessedColumns(msgspec.Struct, frozen=True):
    """Columns that are guessed to mean something, and the reason."""

    columns: tuple[str, ...]
    why: str


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """What the columns seem to mean.

    Attributes:
        time, key, label_time: Column names (none, one or several) with reasons.
        declared: How the files are written: the source's arguments, with the reason for each.
        task: `classification` or `regression`, with the reason in `task_why`.
        leaks: Columns that tell the target, with how well (0..1); they may not be features.
        window, every: Lengths of time that fit the span of the data; no window where `window_why` says so.
        test: Share of the rows to test on, where the usual one leaves too few.
    """

    target: str
    time: GuessedColumns
    key: GuessedColumns
    label_time: GuessedColumns
    declared: dict[str, tuple[Any, str]]
    notes: tuple[str, ...]
    task: str
    task_why: str
    metric: str
    leaks: dict[str, float]
    rows: int
    span: str
    newest: str
    window: str | None
    window_why: str
    test: float | None
    every: str


def guess(
    found: Survey,
    target: str,
    *,
    time: str | None = None,
    key: tuple[str, ...] = (),
    label_time: str | None = None,
    now: datetime | None = None,
    declared: Mapping[str, Any] | None = None,
) -> Guess:
    """Look at the rows and guess what was not given.

    Raises:
        DataError: A named column is missing, the target cannot be learned, no column holds a time, or a time or a
            number can be read in two ways.
    """
    _refuse_missing(found, (target, time, *key, label_time))
    said = declared or {}
    written = Written(found, said, text={*key, time, label_time, *(said.get("text") or ())})
    rows = written.typed(found.rows.head(_SAMPLE))
    task, task_why, metric = _task(rows, target)
    times = {name: one for name, one in found.times.items() if name != target}
    chosen_time = GuessedColumns((time,), "as you said") if time else _time(rows, times)
    chosen_key = GuessedColumns(key, "as you said") if key else _key(rows, target, times)
    later = [name for name in times if name != chosen_time.columns[0]]
    chosen_label = GuessedColumns((label_time,), "as you said") if label_time else _label_time(later)
    known = {target, *chosen_time.columns, *chosen_key.columns, *chosen_label.columns}
    for name in (*chosen_time.columns, *chosen_label.columns):
        written.date(name, _form(found.rows[name], times.get(name)))
    first, last = times[chosen_time.columns[0]].span if chosen_time.columns[0] in times else (None, None)
    span = last - first if first and last else None
    window, window_why = _window(found.total, span, last, now)
    return Guess(
        target=target,
        time=chosen_time,
        key=chosen_key,
        label_time=chosen_label,
        declared=written.arguments((*chosen_time.columns, *chosen_label.columns)),
        notes=tuple(written.notes),
        task=task,
        task_why=task_why,
        metric=metric,
        leaks=_leaks(rows, target, [name for name in rows.columns if name not in known and name not in times]),
        rows=found.total,
        span=f"{span.days} days" if span else "an unknown time",
        newest=f"{last:%Y-%m-%d}" if last else "unknown",
        window=window,
        window_why=window_why,
        test=_test_share(found.total if window is None else found.total // 2),
        every=next((text for days, text in reversed(_STEPS) if span and span.days >= 8 * days), "1d"),
    )


def _refuse_missing(found: Survey, named: tuple[str | None, ...]) -> None:
    columns = found.rows.columns
    problems = [
        f"there is no column {name!r}; {did_you_mean(name, columns)}"
        for name in named
        if name is not None and name not in columns
    ]
    if problems:
        raise DataError("; ".join(problems))


def _form(series: pl.Series, found: TimeColumn | None) -> str:
    """How a declared time is written; empty where it is year first."""
    if found is None:
        read_times(series)  # says what is wrong
        return ""
    if len(found.forms) == 1:
        return found.forms[0]
    first, second = (read_times(series, form) for form in found.forms[:2])
    differ = (first != second).fill_null(value=False)
    telling = series.filter(differ if differ.any() else series.is_not_null()).head(1)
    value = telling[0]
    ways = [f"{read_times(telling, form)[0]:%-d %B %Y} ({form})" for form in found.forms[:4]]
    raise DataError(
        f"column {series.name!r} can be read in {len(found.forms)} ways: {shown(value)} is {' or '.join(ways)}",
        hint="say which it is: " + " or ".join(f"--time-format {form!r}" for form in found.forms[:4]),
    )


def _window(rows: int, span: timedelta | None, last: datetime | None, now: datetime | None) -> tuple[str | None, str]:
    """How far back to learn from, and why."""
    length = max(1, span.days // 2) if span else 60
    if span is None or last is None:
        return None, "on everything: a window could not be chosen"
    if rows < 2 * _ROWS_OF_A_WINDOW:
        return None, f"on everything: a window would leave too few of the {rows:,} rows"
    if now is not None and utc(now) - last > timedelta(days=length):
        return None, f"on everything: a window would end now, and the newest row is of {last:%Y-%m-%d}"
    return f"{length}d", f"about half of the {span.days} days seen"


def _test_share(rows: int) -> float | None:
    """The share that leaves enough rows to test on; None where the usual fifth does."""
    if rows >= 5 * FEWEST_TEST_ROWS:
        return None
    return min(0.5, math.ceil(20 * FEWEST_TEST_ROWS / rows) / 20)


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


def _time(rows: pl.DataFrame, times: dict[str, TimeColumn]) -> GuessedColumns:
    # What can be read in one way only comes first.
    whole = sorted((name for name, found in times.items() if found.whole), key=lambda name: len(times[name].forms) > 1)
    if not whole:
        have = ", ".join(f"{name} ({dtype})" for name, dtype in list(rows.schema.items())[:12])
        raise DataError("no column holds a date or time in every row", hint=f"name one with --time; there are {have}")
    named = [name for wish in TIME_NAMES for name in whole if name.lower() == wish]
    if named:
        return GuessedColumns((named[0],), "it is called so and holds a time in every row")
    if len(whole) == 1:
        return GuessedColumns((whole[0],), "it is the only column with a time in every row")
    others = ", ".join(whole[1:])
    return GuessedColumns((whole[0],), f"it is the first column with a time in every row (others: {others})")


def _key(rows: pl.DataFrame, target: str, times: dict[str, TimeColumn]) -> GuessedColumns:
    def likely(name: str) -> bool:
        lower = name.lower()
        return lower in _KEY_NAMES or lower.endswith(("_id", "_key", "_uuid"))

    usable = [
        s for s in rows.drop(target) if s.null_count() == 0 and not s.dtype.is_float() and not s.dtype.is_nested()
    ]
    for series in sorted(usable, key=lambda s: s.name.lower() not in _KEY_NAMES):
        if likely(series.name) and series.n_unique() == series.len():
            return GuessedColumns((series.name,), "it is different in every row")
    for name, found in times.items():
        if found.whole and rows[name].n_unique() == rows.height:
            return GuessedColumns((name,), "it is different in every row")
    return GuessedColumns((), "no column is different in every row, so the whole row is its identity")


def _label_time(later: list[str]) -> GuessedColumns:
    named = [name for wish in _LABEL_TIME_NAMES for name in later if name.lower() == wish]
    if named:
        return GuessedColumns((named[0],), "it is called so; training uses a label only from then on")
    also = f"; if one of {', '.join(later)} says when, name it" if later else ""
    return GuessedColumns(
        (), f"no column says when the target became known, so it counts as known at the event time{also}"
    )


def _leaks(rows: pl.DataFrame, target: str, columns: list[str]) -> dict[str, float]:
    from homeostat.core.stats.leakage import suspicious_features

    return {one.column: one.told for one in suspicious_features(rows.select(columns), rows[target])}
