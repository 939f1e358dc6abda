"""Measured performance: each version's score on matured labels, beside what no model at all would make of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.cd.labels.maturity import Maturity, labelled_by, matured, microseconds
from homeostat.cd.labels.values import coded_labels
from homeostat.core.events import Performance
from homeostat.core.model.signature import Predictions
from homeostat.core.stats.metrics import estimate, greater_is_better, kappa_per
from homeostat.core.stats.prequential import last_known
from homeostat.core.stats.profile import Profile
from homeostat.core.table.rows import NEVER

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_MICROSECOND = timedelta(microseconds=1)


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted rows with what is known of their labels, in any order.

    Attributes:
        times: Time of each request, shape (n,): datetime64 or microseconds since 1970 UTC.
        label_times: When the label became known, shape (n,); NaT for never so far.
        labels: Shape (n,); whatever stands where the label is not known is not looked at.
        predictions: By version: scores of shape (n, classes), or values of shape (n,).
        values: By version: the label that it gave each row, shape (n,); None, and a version that is not named, stand
            for the class that scores highest.
        asked: By version: which rows it had to answer, shape (n,); a version that is not named was asked about the rows
            where its prediction is not NaN.
        arms: The version that answered each row, shape (n,).
        propensities: The probability (0..1) with which that version was chosen, shape (n,).
        leads: Whether the row is the first of its request, shape (n,).
    """

    times: Any
    label_times: Any
    labels: Any
    predictions: dict[int, Any]
    values: dict[int, Any] = {}
    asked: dict[int, Any] = {}
    arms: Any = None
    propensities: Any = None
    leads: Any = None

    def was_asked(self, version: int) -> NDArray[np.bool_]:
        """Which rows a version had to answer, shape (n,)."""
        if version in self.asked:
            return np.asarray(self.asked[version], dtype=bool)
        scores = np.asarray(self.predictions[version], dtype=float)
        return np.asarray(~np.isnan(scores).any(axis=tuple(range(1, scores.ndim))), dtype=np.bool_)


class Champion(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor knows of the champion, from its manifest.

    Attributes:
        classes: Of a classification, in the order of the scores.
        profile: The reference block: inputs and predictions on the rows of acceptance.
        since: How old its knowledge is: the newest event time that it was trained on.
        references: By version: the metric's value when that version was accepted.
        loss: What a row costs the judge, by its name in `homeostat.core.stats.losses`; None for the task's usual one.
        scale: Of a regression: the absolute error that counts as a loss of 1; by default four standard deviations of
            the predictions in `profile`.
    """

    version: int
    task: str
    metric: str
    classes: tuple[Any, ...] | None = None
    profile: Profile | None = None
    since: datetime | None = None
    references: dict[int, float] = {}
    loss: str | None = None
    scale: float | None = None

    @property
    def loss_scale(self) -> float:
        """Of a regression: the absolute error that counts as a loss of 1."""
        if self.scale is not None:
            return self.scale
        output = None if self.profile is None else self.profile.prediction
        return 4 * (output.std or 0.0) or 1.0 if output is not None else 1.0


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which labelled rows performance is measured on.

    Attributes:
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

    No label with a later `label_time` than `now` is looked at.

    Returns:
        One `Performance` for each version that predicted any of the rows. The baselines are `persistence` (the label
        that was known last when the row was asked about; see `homeostat.core.stats.prequential`) and `majority` (the
        most frequent class, or the mean, of these very rows).
    """
    rule = window or Window()
    chosen = _judged(outcomes, now, rule)
    if not len(chosen):
        return []
    labels = coded_labels(outcomes.labels, champion.classes)
    last = _last_known(outcomes, labels, chosen)
    results = []
    for version in sorted(outcomes.predictions, key=lambda number: (number != champion.version, number)):
        scores = scores_of(outcomes, version, champion.classes)[chosen]
        usable = finite_rows(scores) & np.isfinite(labels[chosen])
        if usable.any():
            values = outcomes.values.get(version)
            said = as_predictions(
                scores[usable], champion.classes, None if values is None else np.asarray(values)[chosen][usable]
            )
            results.append(_performance(champion, version, labels[chosen][usable], said, last[usable], rule.confidence))
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


def as_predictions(
    scores: NDArray[np.float64], classes: tuple[Any, ...] | None, values: ArrayLike | None = None
) -> Predictions:
    """Finite scores or values of rows as the metrics take them."""
    if classes is None:
        return Predictions(value=scores)
    places = scores.argmax(axis=1)
    if values is not None:
        given = coded_labels(values, classes)
        places = np.where(np.isnan(given), places, np.nan_to_num(given)).astype(np.intp)
    return Predictions(value=np.asarray(classes)[places], score=scores)


def scores_of(outcomes: Outcomes, version: int, classes: tuple[Any, ...] | None) -> NDArray[np.float64]:
    """A version's scores (n, classes) or values (n,); all NaN where it never gave an answer of that shape."""
    scores = np.asarray(outcomes.predictions[version], dtype=float)
    shape = (len(scores),) if classes is None else (len(scores), len(classes))
    return scores if scores.shape == shape else np.full(shape, np.nan)


def finite_rows(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows of which every score is finite, shape (n,)."""
    return np.asarray(np.isfinite(scores).all(axis=tuple(range(1, scores.ndim))), dtype=np.bool_)


def _last_known(outcomes: Outcomes, labels: NDArray[np.float64], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    """For each chosen row the label that was known last when it was asked about; NaN before the first."""
    arrived = microseconds(outcomes.label_times)
    there = np.isfinite(labels) & (arrived != np.iinfo(np.int64).min)
    last = last_known(microseconds(outcomes.times), np.where(there, arrived, NEVER))[chosen]
    return np.where(last >= 0, labels[last], np.nan)


def _performance(
    champion: Champion,
    version: int,
    labels: NDArray[np.float64],
    said: Predictions,
    last: NDArray[np.float64],
    confidence: float,
) -> Performance:
    metric, classes = champion.metric, champion.classes
    truth = labels if classes is None else np.asarray(classes)[labels.astype(int)]
    usual = _majority(labels, len(classes or ()))
    guesses = np.where(np.isnan(last), usual, last), np.full(len(labels), usual)
    persistence, majority = (estimate(metric, truth, _certain(guess, classes), classes).value for guess in guesses)
    measured = estimate(metric, truth, said, classes)
    low, high = measured.bounds(confidence) or (None, None)
    greater = greater_is_better(metric)
    return Performance(
        version=version,
        metric=metric,
        value=measured.value,
        low=low,
        high=high,
        n=len(labels),
        reference=champion.references.get(version),
        persistence=persistence,
        majority=majority,
        kappa_per=kappa_per(measured.value, persistence, 1.0 if greater else 0.0),
        greater_is_better=greater,
    )


def _majority(labels: NDArray[np.float64], classes: int) -> float:
    return float(np.bincount(labels.astype(int), minlength=classes).argmax()) if classes else float(labels.mean())


def _certain(guess: NDArray[np.float64], classes: tuple[Any, ...] | None) -> Predictions:
    scores = guess if classes is None else np.eye(len(classes))[guess.astype(int)]
    return as_predictions(scores, classes)
