"""What a stream of predictions is worth: beside repeating the last known label, and the most frequent one so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.core.model.signature import Predictions
from homeostat.core.stats.losses import label_codes
from homeostat.core.stats.metrics import estimate, greater_is_better, kappa_per

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Times = NDArray[np.int64]


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """A model on a stream, never without its baselines.

    Attributes:
        value, low, high: The model's metric and its 95 % interval.
        persistence: The metric of repeating the label that became known last.
        majority: The metric of the most frequent label so far (the mean so far, for regression).
        kappa_per: Where the model is between persistence (0) and perfection (1).
    """

    metric: str
    rows: int
    value: float | None
    low: float | None
    high: float | None
    persistence: float | None
    majority: float | None
    kappa_per: float | None
    verdict: str


def stream_report(
    labels: Any,
    predictions: Predictions,
    *,
    times: Times,
    label_times: Times | None = None,
    classes: Sequence[Any] | None = None,
    metric: str | None = None,
    since: int = 0,
) -> StreamReport:
    """Measure predictions that were made one after another.

    Args:
        labels: True labels, shape (n,).
        predictions: Of the same rows.
        times: Event time of each row in microseconds, ascending: when its prediction was asked.
        label_times: When each label became known, in microseconds; None means at the event time.
        classes: The labels in score order; None for regression.
        metric: Accuracy for classes and mean absolute error for numbers, by default.
        since: Rows before this one only inform the baselines (warm-up).

    Example:
        >>> said = Predictions(np.array([0, 0, 1, 1]), np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]))
        >>> report = stream_report(np.array([0, 1, 1, 1]), said, times=np.arange(4), classes=(0, 1), since=1)
        >>> round(report.value, 2), round(report.persistence, 2)
        (0.67, 0.67)
    """
    name = metric or ("accuracy" if classes is not None else "mae")
    truth = np.asarray(labels)
    last, majority = baseline_predictions(truth, times, label_times, classes)
    made = {
        key: estimate(name, truth[since:], _from(said, since), classes)
        for key, said in (("model", predictions), ("persistence", last), ("majority", majority))
    }
    value, persistence = made["model"].value, made["persistence"].value
    bounds: Any = made["model"].bounds() or (None, None)
    return StreamReport(
        metric=name,
        rows=len(truth) - since,
        value=value,
        low=bounds[0],
        high=bounds[1],
        persistence=persistence,
        majority=made["majority"].value,
        kappa_per=kappa_per(value, persistence, 1.0 if greater_is_better(name) else 0.0),
        verdict=_verdict(name, value, persistence),
    )


def last_known(times: Times, known: Times) -> NDArray[np.intp]:
    """Which row's label a system that repeats the last known label would give to each row.

    A label counts for a row when it was known at or before the moment at which the row is asked, and belongs to a row
    that was asked earlier: never the row's own, nor that of one asked at the same moment. Of those that count, the one
    that became known last is taken; of several, that of the row asked last.

    Args:
        times: When each row is asked, in microseconds, in any order, shape (n,).
        known: When its label became known, in microseconds, shape (n,); the largest integer for never.

    Returns:
        Places of rows, shape (n,); -1 where nothing was known.

    Example:
        >>> last_known(np.array([0, 10, 20, 30]), np.array([20, 11, 20, 90])).tolist()
        [-1, -1, 0, 2]
    """
    asked = np.asarray(times)
    counts_from = np.maximum(np.asarray(known), asked + 1)
    order = np.lexsort((asked, counts_from))
    heard = np.searchsorted(counts_from[order], asked, side="right")
    return np.where(heard > 0, order[np.maximum(heard - 1, 0)], -1) if len(order) else order


def baseline_predictions(
    labels: Any, times: Times, label_times: Times | None, classes: Sequence[Any] | None
) -> tuple[Predictions, Predictions]:
    """Persistence, and majority or mean, from the labels that were known before each row was asked.

    Returns:
        Two sets of predictions of n rows. Where nothing was known yet they know as little as a model that has learned
        nothing: every class with the same score, of which the first is named, or 0 for numbers.
    """
    truth = np.asarray(labels)
    asked = np.asarray(times)
    counts_from = np.maximum(np.asarray(times if label_times is None else label_times), asked + 1)
    order = np.lexsort((asked, counts_from))
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    last = last_known(asked, counts_from)
    heard = np.where(last >= 0, place[last] + 1, 0)  # how many labels, in the order in which they became known
    told = truth[order]
    if classes is None:
        numbers = np.concatenate([[0.0], told.astype(np.float64)])
        running = np.cumsum(numbers) / np.maximum(np.arange(len(numbers)), 1)
        return Predictions(numbers[heard]), Predictions(running[heard])
    each = label_codes(told, classes)[:, None] == np.arange(len(classes))
    nothing = np.ones((1, len(classes)))
    certain = np.concatenate([nothing / len(classes), each])[heard]
    counts = np.concatenate([nothing, np.cumsum(each, axis=0)])[heard]
    named = np.array(classes)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return Predictions(named[certain.argmax(axis=1)], certain), Predictions(named[shares.argmax(axis=1)], shares)


def _from(said: Predictions, since: int) -> Predictions:
    return Predictions(said.value[since:], None if said.score is None else said.score[since:])


def _verdict(name: str, value: float | None, persistence: float | None) -> str:
    if value is None or persistence is None:
        return f"{name} is undefined on these rows"
    better = value > persistence if greater_is_better(name) else value < persistence
    if better:
        return f"the model's {name} of {value:.3f} beats repeating the last label ({persistence:.3f})"
    return f"repeating the last label ({persistence:.3f}) is as good as or beats the model's {name} of {value:.3f}"
