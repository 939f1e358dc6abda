"""Measured performance: every version's score on matured labels, beside what no model at all would have made of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.cd.cohorts import Maturity, labelled_by, matured, microseconds
from homeostat.cd.scoring import greater_is_better, scored
from homeostat.core.events import Performance
from homeostat.core.profile import Profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MICROSECOND = timedelta(microseconds=1)


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted rows with what is known of their labels, in any order.

    Attributes:
        times: Time of each request, shape (n,): datetime64 or microseconds since 1970 UTC.
        label_times: When the label became known, shape (n,); NaT for never so far.
        labels: Shape (n,); whatever stands where the label is not known is not looked at.
        predictions: By version: scores of shape (n, classes), or values of shape (n,); NaN where it did not predict.
    """

    times: Any
    label_times: Any
    labels: Any
    predictions: dict[int, Any]


class Champion(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor knows of the champion, from its manifest.

    Attributes:
        version: Its number.
        task: `classification` or `regression`.
        metric: The Loop's metric.
        classes: Of a classification, in the order of the scores.
        profile: The reference block: inputs and predictions on the rows of acceptance.
        since: How old its knowledge is: the newest event time that it was trained on.
        references: By version: the metric's value when that version was accepted.
    """

    version: int
    task: str
    metric: str
    classes: tuple[Any, ...] | None = None
    profile: Profile | None = None
    since: datetime | None = None
    references: dict[int, float] = {}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which labelled rows performance is measured on.

    Attributes:
        maturity: When labels count.
        rows: The latest matured rows, this many at most.
        label_share: Cohorts of which a smaller share (0..1) was ever labelled are left out: their labels may be biased.
        confidence: Coverage (0..1) of the interval.
    """

    maturity: Maturity = Maturity()
    rows: int = 5_000
    label_share: float = 0.5
    confidence: float = 0.99


def measure(champion: Champion, outcomes: Outcomes, now: datetime, window: Window | None = None) -> list[Performance]:
    """Every version's score on the latest matured rows, with the baselines on the same rows; the champion first.

    Args:
        champion: Metric, task and references.
        outcomes: Recent requests with their labels.
        now: No label with a later `label_time` is looked at.
        window: Which of the rows count.

    Returns:
        One `Performance` for each version that predicted any of the rows. The baselines are `persistence` (the last
        label that was known when the row was asked about) and `majority` (the most frequent class, or the mean, of
        these very rows).
    """
    rule = window or Window()
    chosen = _judged(outcomes, now, rule)
    if not len(chosen):
        return []
    labels = _coded(np.asarray(outcomes.labels), champion)
    last = _last_known(outcomes, labels, chosen)
    results = []
    for version in sorted(outcomes.predictions, key=lambda number: (number != champion.version, number)):
        scores = np.asarray(outcomes.predictions[version], dtype=float)[chosen]
        usable = np.isfinite(scores if scores.ndim == 1 else scores.sum(axis=1)) & np.isfinite(labels[chosen])
        if usable.any():
            rows = labels[chosen][usable], scores[usable], last[usable]
            results.append(_performance(champion, version, *rows, confidence=rule.confidence))
    return results


def _judged(outcomes: Outcomes, now: datetime, rule: Window) -> NDArray[np.intp]:
    """Indices of the latest labelled rows of mature, sufficiently labelled cohorts, in request order."""
    times = microseconds(outcomes.times)
    if not len(times):
        return np.zeros(0, dtype=np.intp)
    known = labelled_by(outcomes.label_times, now)
    _, which = np.unique(times // (rule.maturity.every // _MICROSECOND), return_inverse=True)
    share = (np.bincount(which, weights=known) / np.bincount(which))[which]
    mature = matured(times, outcomes.label_times, now, rule.maturity)
    usable = np.flatnonzero(mature & known & (share >= rule.label_share))
    return usable[np.argsort(times[usable], kind="stable")][-rule.rows :]


def _coded(labels: NDArray[Any], champion: Champion) -> NDArray[np.float64]:
    """Labels as numbers: a class by its place among the classes, NaN for one that the model does not know."""
    if champion.classes is None:
        coded = np.full(len(labels), np.nan)
        known = np.array([isinstance(value, (int, float, np.number)) for value in labels.tolist()], dtype=bool)
        coded[known] = labels[known].astype(float)
        return coded
    place = {label: float(index) for index, label in enumerate(champion.classes)}
    return np.array([place.get(label, np.nan) for label in labels.tolist()])


def _last_known(outcomes: Outcomes, labels: NDArray[np.float64], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    """For each chosen row the label that arrived last before it was asked about; NaN before the first."""
    times, arrived = microseconds(outcomes.times), microseconds(outcomes.label_times)
    source = np.flatnonzero(np.isfinite(labels) & (arrived != np.iinfo(np.int64).min))
    usable_from = np.maximum(arrived[source], times[source] + 1)
    order = source[np.lexsort((times[source], usable_from))]
    position = np.searchsorted(np.sort(usable_from), times[chosen], side="right") - 1
    found = np.full(len(chosen), np.nan)
    found[position >= 0] = labels[order[position[position >= 0]]]
    return found


def _performance(
    champion: Champion,
    version: int,
    labels: NDArray[np.float64],
    scores: NDArray[np.float64],
    last: NDArray[np.float64],
    *,
    confidence: float,
) -> Performance:
    metric, classes = champion.metric, len(champion.classes or ())
    usual = _majority(labels, classes)
    value, low, high = scored(metric, labels, scores, confidence)
    persistence, _, _ = scored(metric, labels, _as_prediction(np.where(np.isnan(last), usual, last), classes), None)
    majority, _, _ = scored(metric, labels, _as_prediction(np.full(len(labels), usual), classes), None)
    return Performance(
        version=version,
        metric=metric,
        value=value,
        low=low,
        high=high,
        n=len(labels),
        reference=champion.references.get(version),
        persistence=persistence,
        majority=majority,
        kappa_per=_kappa(metric, value, persistence),
    )


def _majority(labels: NDArray[np.float64], classes: int) -> float:
    return float(np.bincount(labels.astype(int), minlength=classes).argmax()) if classes else float(labels.mean())


def _as_prediction(guess: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    return np.eye(classes)[guess.astype(int)] if classes else guess


def _kappa(metric: str, value: float | None, persistence: float | None) -> float | None:
    """How much of the way from persistence to perfection: (value - persistence) / (perfect - persistence)."""
    perfect = 1.0 if greater_is_better(metric) else 0.0
    if value is None or persistence is None or persistence == perfect:
        return None
    return (value - persistence) / (perfect - persistence)
