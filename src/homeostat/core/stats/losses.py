"""Losses: what one wrong row costs. The judge, replays and metrics ask the table, and anybody may add to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.core.errors import LoopError
from homeostat.core.open_table import OpenTable

if TYPE_CHECKING:
    from homeostat.core.model.signature import Predictions
    from homeostat.core.model.task import Task

Floats = NDArray[np.float64]


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What each row costs.

    Attributes:
        name: How declarations call it.
        rows: Loss of each row, shape (n,), of the truth, of what was said, and of a scale. Of a classification: the
            places of the labels among the classes (-1 for an unknown one), shape (n,), and the scores, (n, classes). Of
            a regression: the labels and the values, shapes (n,), in which `scale` counts as a large error.
        low, high: The range that it never leaves. Proofs by betting need one; margins are shares of it.
        reach: Of a regression: how far the losses of two values can be apart at most, whatever the label, as a share
            of the range, shape (n,): of the values and of the scale; None for the whole range.
    """

    name: str
    task: Task
    rows: Callable[[NDArray[Any], Floats, float], Floats]
    low: float = 0.0
    high: float = 1.0
    reach: Callable[[Floats, Floats, float], Floats] | None = None

    def of(
        self, labels: Any, predictions: Predictions, *, classes: Sequence[Any] | None = None, scale: float = 1.0
    ) -> Floats:
        """Loss of each row as a share of the range, so that betting on its mean is safe.

        Args:
            labels: True labels, shape (n,).
            predictions: Of n rows.
            classes: The labels in score order; None for regression.
            scale: The error that counts as large, for example four standard deviations of the target.

        Returns:
            Array of shape (n,), in [0, 1] where the declared range holds.
        """
        if self.task == "regression":
            lost = self.rows(np.asarray(labels, dtype=np.float64), predictions.value, scale)
        elif predictions.score is None or classes is None:
            raise ValueError("a classification loss needs scores and classes")
        else:
            lost = self.rows(label_codes(labels, classes), predictions.score, scale)
        return np.asarray((lost - self.low) / (self.high - self.low))


def loss_for(task: str, name: str | None = None) -> Loss:
    """The loss of a name, or the usual one of a task.

    Raises:
        LoopError: there is none of that name, or it is for another task.

    Example:
        >>> loss_for("classification").name, loss_for("regression", "absolute").high
        ('brier', 1.0)
    """
    found = LOSSES[name] if name is not None else ABSOLUTE if task == "regression" else BRIER
    if found.task != task:
        fit = ", ".join(one.name for one in LOSSES.values() if one.task == task)
        what = f"{name!r} is a loss for {found.task}, and the target makes this {task}"
        raise LoopError(what, hint=f"choose one of {fit}")
    return found


def label_codes(labels: Any, classes: Sequence[Any]) -> NDArray[np.int64]:
    """Place of each label in `classes` (sorted); -1 for a label that is none of them."""
    known = np.asarray(classes)
    given = np.asarray(labels)
    if known.dtype.kind == "U" and given.dtype.kind != "U":
        given = given.astype(str)
    place = np.clip(np.searchsorted(known, given), 0, len(known) - 1)
    return np.where(known[place] == given, place, -1).astype(np.int64)


def _brier(codes: NDArray[Any], scores: Floats, _scale: float) -> Floats:
    given = np.where(codes >= 0, scores[np.arange(len(codes)), codes], 0.0)
    return np.asarray(np.clip(0.5 * (np.square(scores).sum(axis=1) - 2 * given + 1), 0.0, 1.0))


def _absolute(target: NDArray[Any], value: Floats, scale: float) -> Floats:
    return np.asarray(np.minimum(np.abs(target - value) / scale, 1.0))


LOSSES: OpenTable[Loss] = OpenTable("loss")
"""What a row may cost, by name; `LOSSES.register` adds one's own."""
BRIER = LOSSES.register(Loss(name="brier", task="classification", rows=_brier))
"""Half the squared distance of the scores from the truth (Brier, Monthly Weather Review 78, 1950)."""
ABSOLUTE = LOSSES.register(Loss(name="absolute", task="regression", rows=_absolute, reach=_absolute))
"""The absolute error in units of the scale, at most 1."""
