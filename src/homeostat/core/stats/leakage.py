"""Features that know too much: those that tell the target almost perfectly, all by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from homeostat.core.model.task import task_of_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

TELLING = 0.9
"""A feature that tells this share of what there is to tell is suspected."""

_ROWS = 10_000
_BINS = 64
_MOST_CLASSES = 20


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that may hold the answer.

    Attributes:
        told: Share of the target that it tells alone (0..1): for two classes the Gini coefficient 2 AUC - 1, for more
            the share of errors it removes, for numbers R².
    """

    column: str
    told: float
    reason: str


def suspicious_features(features: pl.DataFrame, target: pl.Series, *, telling: float = TELLING) -> tuple[Suspect, ...]:
    """Look for leaks of the target in each feature on its own.

    Every feature predicts the target by the mean of its group (64 quantile bins of a number, each value of a category,
    null as a group of its own), learned on the even rows and scored on the odd ones, so that identifiers with a value
    per row tell nothing. A strong honest feature can be suspected too: this is a flag for people, not a verdict.

    Args:
        features: Numbers, truth values, text or times; keys, event time and label time left out by the caller.
        target: The labels of the same rows; rows without one are ignored.
        telling: From which share on (0..1) a feature is suspected.

    Returns:
        The suspects, the most telling first. At most 10,000 rows, evenly spaced, are looked at.

    Example:
        >>> late = pl.Series("late", [0, 1, 1, 0] * 50)
        >>> rows = pl.DataFrame({"arrived": late * 30 + 2, "carrier": ["AA", "UA"] * 100})
        >>> [suspect.column for suspect in suspicious_features(rows, late)]
        ['arrived']
    """
    if not features.width:
        return ()
    known = target.is_not_null()
    features, target = features.filter(known), target.filter(known)
    step = max(1, target.len() // _ROWS)
    features, target = features.gather_every(step), target.gather_every(step)
    if target.len() < 20 or target.n_unique() < 2:
        return ()
    answer, classes = _answer(target)
    found = []
    for series in features:
        told = _told(series, answer, classes)
        if told >= telling:
            found.append(
                Suspect(column=series.name, told=round(told, 4), reason=_reason(series.name, target.name, told))
            )
    return tuple(sorted(found, key=lambda suspect: -suspect.told))


def _reason(column: str, target: str, told: float) -> str:
    return (
        f"{column!r} alone tells {told:.0%} of {target or 'the target'!r}: is it known before the label is? "
        "If not, leave it out of the features"
    )


def _answer(target: pl.Series) -> tuple[NDArray[np.float64], int]:
    """The target as one column per class, shape (n, classes), or as itself, shape (n, 1) with 0 classes."""
    values = target.n_unique()
    if values > _MOST_CLASSES or task_of_values(target)[0] == "regression":
        if not target.dtype.is_numeric():
            return target.rank("dense").to_numpy().astype(np.float64)[:, None], 0
        return target.cast(pl.Float64).to_numpy()[:, None], 0
    codes = target.rank("dense").to_numpy().astype(np.int64) - 1
    if values == 2:
        return codes.astype(np.float64)[:, None], 2
    return np.eye(values)[codes], values


def _told(series: pl.Series, answer: NDArray[np.float64], classes: int) -> float:
    groups = _groups(series)
    if groups is None:
        return 0.0
    even, odd = groups[::2], groups[1::2]
    learned, held_out = answer[::2], answer[1::2]
    size = int(groups.max()) + 1
    count = np.bincount(even, minlength=size)
    overall = learned.mean(axis=0)
    guess = np.empty((odd.size, answer.shape[1]))
    for column in range(answer.shape[1]):
        total = np.bincount(even, weights=learned[:, column], minlength=size)
        mean = np.where(count > 0, total / np.maximum(count, 1), overall[column])
        guess[:, column] = mean[odd]
    if classes == 2:
        return max(_gini(guess[:, 0], held_out[:, 0]), _raw_gini(series, answer[:, 0]))
    if classes:
        truth = held_out.argmax(axis=1)
        base = held_out.sum(axis=0).max() / odd.size
        right = float((guess.argmax(axis=1) == truth).mean())
        return (right - base) / (1 - base) if base < 1 else 0.0
    spread = float(held_out.var())
    return 1 - float(((guess - held_out) ** 2).mean()) / spread if spread else 0.0


def _groups(series: pl.Series) -> NDArray[np.int64] | None:
    """A group number for each row, null being a group."""
    if series.dtype.is_nested() or series.null_count() == series.len():
        return None
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        values = series.to_physical().cast(pl.Float64).to_numpy()
        finite = np.isfinite(values)
        if not finite.any():
            return None
        edges = np.unique(np.quantile(values[finite], np.linspace(0, 1, _BINS + 1)[1:-1]))
        # Right-open bins and the exact edge values as bins of their own: a flag of 0 and 1 keeps its two groups.
        places = np.searchsorted(edges, values, side="left") + np.searchsorted(edges, values, side="right")
        return np.where(finite, places, 2 * edges.size + 1).astype(np.int64)
    ranks = series.cast(pl.String).rank("dense").fill_null(0)
    return ranks.to_numpy().astype(np.int64)


def _raw_gini(series: pl.Series, positive: NDArray[np.float64]) -> float:
    """The same for a number as it is, which also sees a class rarer than a bin."""
    if not series.dtype.is_numeric():
        return 0.0
    values = series.cast(pl.Float64).to_numpy()
    finite = np.isfinite(values)
    return abs(_gini(values[finite], positive[finite])) * float(finite.mean())


def _gini(score: NDArray[np.float64], positive: NDArray[np.float64]) -> float:
    n = float(positive.sum())
    m = positive.size - n
    if not n or not m:
        return 0.0
    ranks = pl.Series(score).rank().to_numpy()
    auc = (float(ranks[positive == 1].sum()) - n * (n + 1) / 2) / (n * m)
    return 2 * auc - 1
