"""Whether a target makes classification or regression: the one rule, for `init`, for runs and so for what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

Task = Literal["classification", "regression"]

MOST_CODES = 20
"""Whole numbers with at most so many values may be classes."""

ROWS_PER_CODE = 5
"""So many rows a value, on average, whole numbers have at least that are classes."""


def task_of_values(target: pl.Series, metric: str | None = None) -> tuple[Task, str]:
    """The task that labels make, and why.

    A metric decides, because each is of one task. Without one, text and truth values are classes; so are whole numbers
    of two values, or of at most 20 values with 5 rows each on average, whether they are stored as integers or as
    fractions. Other numbers are regression.

    Example:
        >>> import polars as pl
        >>> task_of_values(pl.Series("grade", [1.0, 2.0, 3.0] * 10))
        ('classification', "'grade' holds 3 whole numbers, each in 10 rows on average")
        >>> task_of_values(pl.Series("grade", [1.0, 2.0, 3.0] * 10), "mae")[0]
        'regression'
    """
    name, known = target.name, target.drop_nulls()
    if metric is not None:
        from homeostat.core.stats.metrics import METRICS

        if metric in METRICS:
            return METRICS[metric].task, f"{metric} is a metric of it"
    if not known.dtype.is_numeric():
        distinct = known.n_unique()
        return "classification", f"{name!r} has {'two' if distinct == 2 else f'{distinct:,}'} values"
    if known.dtype.is_float() and not bool((known == known.round()).all()):
        return "regression", f"{name!r} holds fractions"
    distinct = known.n_unique()
    if distinct <= 2:
        return "classification", f"{name!r} has {'two values' if distinct == 2 else 'one value'}"
    each = known.len() // distinct
    if distinct <= MOST_CODES and each >= ROWS_PER_CODE:
        return "classification", f"{name!r} holds {distinct} whole numbers, each in {each:,} rows on average"
    return "regression", f"{name!r} is a number with {distinct:,} values"
