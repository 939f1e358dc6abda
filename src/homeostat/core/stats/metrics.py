"""Metrics with their noise: every value comes with each row's influence on it, so that intervals cost one pass.

The variance of a metric, and of the difference of two models on the same rows, follows from the influence of each row
(Hampel, "The influence curve and its role in robust estimation", 1974). For the area under the ROC curve this is the
method of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988). Neighbouring rows of a stream resemble each other, so
the variance is also taken over contiguous blocks, and the larger of the two counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.core.errors import LoopError
from homeostat.core.open_table import OpenTable
from homeostat.core.stats.losses import BRIER, Loss, label_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homeostat.core.model.signature import Predictions
    from homeostat.core.model.task import Task

    Floats = NDArray[np.float64]

BLOCKS = 50
FEWEST_BLOCKS = 10
_ROWS_PER_BLOCK = 20
_SMALLEST = 1e-7


class Estimate:
    """A metric on some rows.

    Args:
        value: The metric; None where it is undefined (for example ROC AUC with one class).
        influence: What each row adds to `value` beyond the average row; shape (n,), mean zero.
    """

    __slots__ = ("influence", "value")

    def __init__(self, value: float | None, influence: Floats) -> None:
        self.value = value
        self.influence = influence

    @property
    def error(self) -> float | None:
        """Standard error of the value; rows are taken to be in order of time."""
        return None if self.value is None else standard_error(self.influence)

    def bounds(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Two-sided interval of the value."""
        error = self.error
        if self.value is None or error is None or not np.isfinite(error):
            return None
        reach = NormalDist().inv_cdf(0.5 + confidence / 2) * error
        return self.value - reach, self.value + reach


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How two models compare on the same rows.

    Attributes:
        value, other: The metric of the first and of the second.
        gain: How much better the first is; positive is better whatever the metric's direction.
        error: Standard error of the gain; None where it is not finite.
    """

    metric: str
    rows: int
    value: float | None
    other: float | None
    gain: float | None
    error: float | None

    def lower(self, confidence: float = 0.95) -> float | None:
        """One-sided lower bound of the gain: it is larger with this confidence."""
        if self.gain is None or self.error is None:
            return None
        return self.gain - NormalDist().inv_cdf(confidence) * self.error

    def upper(self, confidence: float = 0.95) -> float | None:
        """One-sided upper bound of the gain."""
        if self.gain is None or self.error is None:
            return None
        return self.gain + NormalDist().inv_cdf(confidence) * self.error


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric: its name, the task it is for, its direction, and whether it needs probabilities."""

    name: str
    task: Task
    greater_is_better: bool
    probabilities: bool
    compute: Callable[[Any, Any, Any], Estimate]


def mean_of(loss: Loss) -> Metric:
    """A loss as a metric, so that gates and the monitor can ask it: `METRICS.register(mean_of(loss))`."""

    def compute(truth: Any, said: Any, _: Any) -> Estimate:
        return _mean(loss.rows(truth, said, 1.0))

    classes = loss.task == "classification"
    return Metric(name=loss.name, task=loss.task, greater_is_better=False, probabilities=classes, compute=compute)


def metric(name: str) -> Metric:
    """A metric by its name.

    Example:
        >>> metric("roc_auc").greater_is_better
        True
    """
    return METRICS[name]


def default_metric(task: str, classes: int = 2) -> str:
    """What a Loop is judged by unless it says otherwise: ROC AUC, log loss for more classes, mean absolute error."""
    if task == "regression":
        return "mae"
    return "roc_auc" if classes == 2 else "log_loss"


def metrics_for(task: str) -> tuple[str, ...]:
    """Every metric of a task."""
    return tuple(name for name, found in METRICS.items() if found.task == task)


def greater_is_better(name: str) -> bool:
    """The direction of a metric."""
    return metric(name).greater_is_better


def estimate(name: str, labels: Any, predictions: Predictions, classes: Sequence[Any] | None = None) -> Estimate:
    """A metric with the influence of each row.

    Args:
        name: The metric.
        labels: True labels, shape (n,).
        predictions: Of n rows.
        classes: The labels in score order; None for regression.

    Returns:
        The estimate; its value is None where the metric is undefined or not finite.
    """
    found = metric(name)
    if classes is None:
        target: Any = np.asarray(labels, dtype=np.float64)
        with np.errstate(all="ignore"):
            made = found.compute(target, predictions.value, None)
    else:
        codes = label_codes(labels, classes)
        score = predictions.score
        if score is None:
            raise LoopError(f"{name!r} is a metric for classes, and the model predicts numbers")
        chosen = label_codes(predictions.value, classes)
        with np.errstate(all="ignore"):
            made = found.compute(codes, score, chosen)
    if made.value is None or not np.isfinite(made.value) or not np.isfinite(made.influence).all():
        return Estimate(None, np.zeros(len(labels)))
    return Estimate(float(made.value), made.influence)


def score(name: str, labels: Any, predictions: Predictions, classes: Sequence[Any] | None = None) -> float | None:
    """A metric's value; None where it is undefined."""
    return estimate(name, labels, predictions, classes).value


def difference(name: str, first: Estimate, second: Estimate) -> Difference:
    """Compare two models that were scored on the same rows, in the same order."""
    gain = error = None
    if first.value is not None and second.value is not None:
        sign = 1.0 if greater_is_better(name) else -1.0
        gain = sign * (first.value - second.value)
        spread = standard_error(first.influence - second.influence)
        error = spread if np.isfinite(spread) else None
    return Difference(
        metric=name, rows=len(first.influence), value=first.value, other=second.value, gain=gain, error=error
    )


def standard_error(influence: Floats) -> float:
    """Standard error of a metric from its rows' influence, over rows or over contiguous blocks: the larger one."""
    rows = len(influence)
    if rows < 2:
        return float("inf")
    blocks = min(BLOCKS, rows // _ROWS_PER_BLOCK)
    with np.errstate(over="ignore"):
        alone = float(np.sqrt(np.square(influence).sum())) / rows
        if blocks < FEWEST_BLOCKS:
            return alone
        sums = np.add.reduceat(influence, np.linspace(0, rows, blocks, endpoint=False).astype(int))
        together = float(np.sqrt(blocks / (blocks - 1) * np.square(sums - sums.mean()).sum())) / rows
    return max(alone, together)


def kappa_per(value: float | None, persistence: float | None, perfect: float = 1.0) -> float | None:
    """How much of the way from the persistence forecast to perfection a model goes; below zero, it is worse.

    Source: Zliobaite, Bifet, Read, Pfahringer and Holmes, "Evaluation methods and decision theory for classification of
    streaming data with temporal dependence", Machine Learning 98, 2015 (kappa per).

    Example:
        >>> round(kappa_per(0.776, 0.853), 3)
        -0.524
    """
    if value is None or persistence is None or perfect == persistence:
        return None
    return (value - persistence) / (perfect - persistence)


def _mean(rows: Floats) -> Estimate:
    if not len(rows):
        return Estimate(None, rows)
    value = float(rows.mean())
    return Estimate(value, rows - value)


def _ratio(top: Floats, bottom: Floats) -> Estimate:
    base = float(bottom.mean()) if len(bottom) else 0.0
    if base == 0:
        return Estimate(None, np.zeros(len(top)))
    value = float(top.mean()) / base
    return Estimate(value, (top - value * bottom) / base)


def _average(parts: list[Estimate], rows: int) -> Estimate:
    known = [part for part in parts if part.value is not None]
    if not known:
        return Estimate(None, np.zeros(rows))
    return Estimate(
        sum(part.value or 0.0 for part in known) / len(known),
        np.sum([part.influence for part in known], axis=0) / len(known),
    )


def _auc(positive: NDArray[np.bool_], ranked: Floats) -> Estimate:
    ones, zeros = ranked[positive], ranked[~positive]
    if not (len(ones) and len(zeros)):
        return Estimate(None, np.zeros(len(ranked)))
    sorted_ones, sorted_zeros = np.sort(ones), np.sort(zeros)
    beaten = (np.searchsorted(sorted_zeros, ones, "left") + np.searchsorted(sorted_zeros, ones, "right")) / 2
    below = (np.searchsorted(sorted_ones, zeros, "left") + np.searchsorted(sorted_ones, zeros, "right")) / 2
    value = float(beaten.mean()) / len(zeros)
    influence = np.empty(len(ranked))
    influence[positive] = (beaten / len(zeros) - value) * (len(ranked) / len(ones))
    influence[~positive] = (1 - below / len(ones) - value) * (len(ranked) / len(zeros))
    return Estimate(value, influence)


def _roc_auc(codes: NDArray[np.int64], scores: Floats, _: Any) -> Estimate:
    if scores.shape[1] == 2:
        return _auc(codes == 1, scores[:, 1])
    return _average([_auc(codes == place, scores[:, place]) for place in range(scores.shape[1])], len(codes))


def _log_loss(codes: NDArray[np.int64], scores: Floats, _: Any) -> Estimate:
    given = np.where(codes >= 0, scores[np.arange(len(codes)), codes], 0.0)
    return _mean(-np.log(np.clip(given, _SMALLEST, 1.0)))


def _accuracy(codes: NDArray[np.int64], _: Any, chosen: NDArray[np.int64]) -> Estimate:
    return _mean((codes == chosen).astype(np.float64))


def _per_class(codes: NDArray[np.int64], scores: Floats, part: Callable[[int], Estimate], *, binary: bool) -> Estimate:
    places = [1] if binary and scores.shape[1] == 2 else range(scores.shape[1])
    return _average([part(place) for place in places], len(codes))


def _recall_of(codes: NDArray[np.int64], chosen: NDArray[np.int64], place: int) -> Estimate:
    return _ratio(((codes == place) & (chosen == place)).astype(float), (codes == place).astype(float))


def _balanced_accuracy(codes: NDArray[np.int64], scores: Floats, chosen: NDArray[np.int64]) -> Estimate:
    return _per_class(codes, scores, lambda place: _recall_of(codes, chosen, place), binary=False)


def _recall(codes: NDArray[np.int64], scores: Floats, chosen: NDArray[np.int64]) -> Estimate:
    return _per_class(codes, scores, lambda place: _recall_of(codes, chosen, place), binary=True)


def _precision(codes: NDArray[np.int64], scores: Floats, chosen: NDArray[np.int64]) -> Estimate:
    return _per_class(codes, scores, lambda place: _recall_of(chosen, codes, place), binary=True)


def _f1(codes: NDArray[np.int64], scores: Floats, chosen: NDArray[np.int64]) -> Estimate:
    def part(place: int) -> Estimate:
        truth, said = (codes == place).astype(float), (chosen == place).astype(float)
        return _ratio(2 * truth * said, truth + said)

    return _per_class(codes, scores, part, binary=True)


def _mae(target: Floats, value: Floats, _: Any) -> Estimate:
    return _mean(np.abs(target - value))


def _mse(target: Floats, value: Floats, _: Any) -> Estimate:
    return _mean(np.square(target - value))


def _rmse(target: Floats, value: Floats, _: Any) -> Estimate:
    squared = _mse(target, value, None)
    if not squared.value:
        return squared
    root = float(np.sqrt(squared.value))
    return Estimate(root, squared.influence / (2 * root))


def _r2(target: Floats, value: Floats, _: Any) -> Estimate:
    around = np.square(target - target.mean()) if len(target) else target
    unexplained = _ratio(np.square(target - value), around)
    return unexplained if unexplained.value is None else Estimate(1 - unexplained.value, -unexplained.influence)


def _make(name: str, task: Any, compute: Any, *, greater: bool, probabilities: bool = False) -> Metric:
    return Metric(name=name, task=task, greater_is_better=greater, probabilities=probabilities, compute=compute)


METRICS: OpenTable[Metric] = OpenTable(
    "metric",
    (
        _make("roc_auc", "classification", _roc_auc, greater=True),
        _make("log_loss", "classification", _log_loss, greater=False, probabilities=True),
        mean_of(BRIER),
        _make("accuracy", "classification", _accuracy, greater=True),
        _make("balanced_accuracy", "classification", _balanced_accuracy, greater=True),
        _make("precision", "classification", _precision, greater=True),
        _make("recall", "classification", _recall, greater=True),
        _make("f1", "classification", _f1, greater=True),
        _make("mae", "regression", _mae, greater=False),
        _make("mse", "regression", _mse, greater=False),
        _make("rmse", "regression", _rmse, greater=False),
        _make("r2", "regression", _r2, greater=True),
    ),
)
