"""The judge's pairs: both versions' losses on the same matured rows of a trial, in request order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.cd.labels.maturity import Maturity, labelled_by, matured, microseconds
from homeostat.cd.labels.values import coded_labels
from homeostat.cd.monitor.performance import Champion, Outcomes, as_predictions, finite_rows, scores_of
from homeostat.core.stats.losses import loss_for

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray


class Pairs(msgspec.Struct, frozen=True, kw_only=True):
    """What `judge` takes: losses in [0, 1], NaN where the label is missing, and what a missing label could change.

    Attributes:
        champion, challenger: Loss of each row, shape (n,).
        least, greatest: Bounds of the difference of each row, shape (n,), whatever its label.
    """

    champion: Any
    challenger: Any
    least: Any
    greatest: Any


def pairs(
    champion: Champion, challenger: int, outcomes: Outcomes, now: datetime, maturity: Maturity | None = None
) -> Pairs:
    """The matured rows that both versions were asked about.

    An answer that is NaN or infinite costs the full loss of 1: a version cannot hide from hard rows. A label that never
    came, or that the model does not know, is missing. No label with a later `label_time` than `now` is looked at.
    """
    mature = matured(outcomes.times, outcomes.label_times, now, maturity)
    versions = (champion.version, challenger)
    if any(version not in outcomes.predictions for version in versions):
        empty = np.zeros(0)
        return Pairs(champion=empty, challenger=empty, least=empty, greatest=empty)
    both = np.logical_and.reduce([mature, *(outcomes.was_asked(version) for version in versions)])
    chosen = np.flatnonzero(both)
    chosen = chosen[np.argsort(microseconds(outcomes.times)[chosen], kind="stable")]
    known = labelled_by(outcomes.label_times, now)[chosen]
    labels = np.where(known, coded_labels(np.asarray(outcomes.labels)[chosen], champion.classes), np.nan)
    scores = [scores_of(outcomes, version, champion.classes)[chosen] for version in versions]
    lost = [losses(champion, labels, score) for score in scores]
    gaps = _possible(champion, *scores)
    return Pairs(champion=lost[0], challenger=lost[1], least=gaps[0], greatest=gaps[1])


def losses(champion: Champion, labels: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Loss of each row for coded labels: NaN without a label, 1 for an answer that is no number."""
    classes = champion.classes
    unknown = np.isnan(labels)
    truth: Any = labels if classes is None else np.asarray(classes)[np.nan_to_num(labels).astype(int)]
    valid = finite_rows(scores)
    usable = np.where(valid if scores.ndim == 1 else valid[:, None], scores, 0.0)
    predictions = as_predictions(usable, classes)
    loss = loss_for(champion.task, champion.loss)
    lost = loss.of(truth, predictions, classes=classes, scale=champion.loss_scale)
    return np.where(unknown, np.nan, np.where(valid, lost, 1.0))


def _possible(
    champion: Champion, old: NDArray[np.float64], new: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest difference of each row over all labels: none where the two predictions agree."""
    if champion.classes is None:
        bound = loss_for(champion.task, champion.loss).reach
        reach = np.ones(len(old)) if bound is None else bound(old, new, champion.loss_scale)
        reach = np.where(np.isfinite(reach), reach, 1.0)
        return -reach, reach
    labels = [np.full(len(old), float(place)) for place in range(len(champion.classes))]
    gaps = np.stack([losses(champion, label, new) - losses(champion, label, old) for label in labels])
    least: NDArray[np.float64] = gaps.min(axis=0)
    return least, gaps.max(axis=0)
