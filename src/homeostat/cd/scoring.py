"""A metric on coded labels with its interval by formula, quick enough to be measured at every observation."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOWER_IS_BETTER = frozenset({"log_loss", "brier", "mae", "rmse"})
_TINY = 1e-15


def greater_is_better(metric: str) -> bool:
    """Whether a larger value of the metric is a better one."""
    return metric not in _LOWER_IS_BETTER


def scored(
    metric: str, labels: NDArray[np.float64], scores: NDArray[np.float64], confidence: float | None
) -> tuple[float | None, float | None, float | None]:
    """The metric with its interval: DeLong for the AUC, normal for means of rows; None where it is undefined."""
    if metric == "roc_auc":
        value, error = _auc(labels > 0, scores[:, -1])
        if value is None:
            return None, None, None
        return _around(value, error, confidence, (0.0, 1.0))
    losses = _row_values(metric, labels, scores)
    mean, error = float(losses.mean()), float(losses.std() / math.sqrt(len(losses)))
    if metric == "rmse":
        return _rooted(*_around(mean, error, confidence, (0.0, math.inf)))
    return _around(mean, error, confidence, (0.0, 1.0 if metric in ("accuracy", "brier") else math.inf))


def _rooted(*values: float | None) -> tuple[float | None, ...]:
    return tuple(None if value is None else math.sqrt(value) for value in values)


def _around(value, error, confidence, limits):
    if confidence is None:
        return value, None, None
    radius = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return value, max(limits[0], value - radius), min(limits[1], value + radius)


def _row_values(metric, labels, scores):
    if metric in ("mae", "rmse"):
        return np.abs(labels - scores) if metric == "mae" else (labels - scores) ** 2
    which = labels.astype(int)
    if metric == "accuracy":
        return (scores.argmax(axis=1) == which).astype(float)
    if metric == "log_loss":
        return -np.log(np.clip(scores[np.arange(len(which)), which], _TINY, 1))
    if metric == "brier":
        return ((scores - np.eye(scores.shape[1])[which]) ** 2).sum(axis=1) / 2
    raise NotImplementedError(metric)


def _auc(positive, score):
    """AUC and its standard error by DeLong's midranks (Sun and Xu, 2014)."""
    ones, zeros = score[positive], score[~positive]
    m, n = len(ones), len(zeros)
    if not m or not n:
        return None, 0.0
    every, own1, own0 = _midranks(np.concatenate([ones, zeros])), _midranks(ones), _midranks(zeros)
    v10 = (every[:m] - own1) / n
    v01 = 1 - (every[m:] - own0) / m
    value = float(v10.mean())
    variance = (v10.var(ddof=1) / m if m > 1 else 0.25) + (v01.var(ddof=1) / n if n > 1 else 0.25)
    return value, math.sqrt(variance)


def _midranks(values):
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    return (upper - (counts - 1) / 2)[inverse]
