"""Exact online learning: logistic and linear regression by one gradient step per row, test then train, compiled.

Each row is predicted with what was learned from the rows before it, and only then learned from (the prequential order:
Dawid, "Present position and potential developments: some personal views: statistical theory: the prequential approach",
Journal of the Royal Statistical Society A 147, 1984). Numbers are standardised by running means and variances (Welford,
Technometrics 4, 1962) that are themselves updated after the prediction. The state is a few arrays.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.core.errors import DataError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homeostat.core.model.encoder import Encoder

    Floats = NDArray[np.float64]

FORMAT = 1
_ARRAYS = ("weights", "count", "mean", "m2", "offset", "size")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FARTHEST = 8.0
"""Standardised values are cut here: one wild row must not throw the weights away."""


class OnlineState(msgspec.Struct, kw_only=True, eq=False):
    """Everything that a linear online learner knows. Arrays are updated in place by `learn`.

    Attributes:
        task: `classification` of two classes, or `regression`.
        learning_rate: Step size; a step is divided by the squared length of the standardised row where that is above 1.
        l2: Shrinkage of the weights per step.
        weights: One per number and one per category, and last the intercept.
        count, mean, m2: Running moments of each code; of the target, last.
        offset: Where each code's weights begin.
        size: Number of categories of each code; 0 for a number.
    """

    task: str
    learning_rate: float
    l2: float
    weights: Floats
    count: Floats
    mean: Floats
    m2: Floats
    offset: NDArray[np.int64]
    size: NDArray[np.int64]

    def copy(self) -> OnlineState:
        """An independent copy."""
        return msgspec.structs.replace(self, **{name: getattr(self, name).copy() for name in _ARRAYS})

    @property
    def rows(self) -> int:
        """How many rows it has learned from."""
        return int(self.count[-1])


def new_state(
    sizes: Sequence[int], *, task: str = "classification", learning_rate: float = 0.05, l2: float = 0.0
) -> OnlineState:
    """A learner that has seen nothing.

    Args:
        sizes: For each code, its number of categories, or 0 for a number.
        task: `classification` of two classes, or `regression`.
        learning_rate: Step size, above zero.
        l2: Shrinkage per step, in [0, 1).
    """
    size = np.asarray(sizes, dtype=np.int64)
    widths = np.maximum(size, 1)
    offset = np.cumsum(widths) - widths
    count = len(size) + 1
    return OnlineState(
        task=task,
        learning_rate=float(learning_rate),
        l2=float(l2),
        weights=np.zeros(int(widths.sum()) + 1),
        count=np.zeros(count),
        mean=np.zeros(count),
        m2=np.zeros(count),
        offset=offset,
        size=size,
    )


def sizes_of(encoder: Encoder) -> tuple[int, ...]:
    """The sizes of an encoder's codes, for `new_state`."""
    return tuple(len(code.vocabulary) if code.kind == "category" else 0 for code in encoder.codes)


def learn(state: OnlineState, codes: NDArray[np.float32], target: NDArray[Any]) -> Floats:
    """Predict and then learn from each row, in order.

    Args:
        state: Updated in place.
        codes: Shape (n, codes); NaN is missing. Categories hold their place in the vocabulary.
        target: Shape (n,): 0 and 1, truth values, or numbers.

    Returns:
        What was predicted for each row before it was learned from: probabilities of 1, or numbers; shape (n,).

    Raises:
        DataError: Shapes differ, or labels are not finite.
        ModelError: Learning ran out of bounds.

    Example:
        >>> state = new_state([0])
        >>> learn(state, np.array([[-1.0], [1.0]], dtype=np.float32), np.array([0, 1])).tolist()
        [0.5, 0.4875026035157896]
    """
    labels = np.ascontiguousarray(target, dtype=np.float64)
    matrix = np.ascontiguousarray(codes, dtype=np.float32)
    if matrix.ndim != 2 or matrix.shape != (len(labels), len(state.size)):  # noqa: PLR2004
        raise DataError(f"codes have the shape {matrix.shape} and should have ({len(labels)}, {len(state.size)})")
    if not np.isfinite(labels).all():
        raise DataError("labels are missing, NaN or infinite", hint="learn from labelled rows only")
    predicted = np.empty(len(labels))
    compiled()(
        matrix, labels, state.task == "classification", state.learning_rate, state.l2, state.weights, state.count,
        state.mean, state.m2, state.offset, state.size, predicted,
    )
    if not (np.isfinite(state.weights).all() and np.isfinite(predicted).all()):
        raise ModelError("the online learner ran out of bounds", hint="lower learning_rate")
    return predicted


def predict(state: OnlineState, codes: NDArray[np.float32]) -> Floats:
    """Predict without learning: probabilities of 1, or numbers; shape (n,)."""
    total = np.full(len(codes), state.weights[-1])
    for place in range(codes.shape[1]):
        column, size, offset = codes[:, place].astype(np.float64), int(state.size[place]), int(state.offset[place])
        known = np.isfinite(column)
        if size:
            here = known & (column >= 0) & (column < size)
            total[here] += state.weights[offset + column[here].astype(np.int64)]
        elif state.count[place] > 1 and state.m2[place] > 0:
            spread = np.sqrt(state.m2[place] / state.count[place])
            scaled = np.clip((column - state.mean[place]) / spread, -_FARTHEST, _FARTHEST)
            total[known] += state.weights[offset] * scaled[known]
    if state.task == "classification":
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * total)))
    return np.asarray(state.mean[-1] + total * _target_spread(state))


def dump_state(state: OnlineState) -> bytes:
    """A learner as bytes: a zip of npy arrays and one JSON member. Equal states give equal bytes."""
    out = io.BytesIO()
    head = {"format": FORMAT, "task": state.task, "learning_rate": state.learning_rate, "l2": state.l2}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("state.json", _EPOCH), msgspec.json.encode(head, order="sorted"))
        for name in _ARRAYS:
            part = io.BytesIO()
            np.save(part, getattr(state, name), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), part.getvalue())
    return out.getvalue()


def load_state(data: bytes) -> OnlineState:
    """The inverse of `dump_state`.

    Raises:
        ModelError: The bytes are no learner, or from a newer Homeostat.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            head = msgspec.json.decode(archive.read("state.json"))
            if head.pop("format") > FORMAT:
                raise ModelError("a newer Homeostat wrote this online learner", hint="upgrade homeostat")
            arrays = {name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False) for name in _ARRAYS}
        return OnlineState(**head, **arrays)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, msgspec.DecodeError) as error:
        raise ModelError(f"these bytes are no online learner: {error}") from error


class OnlineRuntime:
    """A linear online learner that answers; see `homeostat.core.model.runtimes.Runtime`."""

    name = "numpy"

    def __init__(self, state: OnlineState) -> None:
        self.state = state

    def scores(self, rows: Any) -> Floats:
        """Scores of shape (n, 2), or values of shape (n,)."""
        answer = predict(self.state, rows)
        return answer if self.state.task == "regression" else np.stack([1.0 - answer, answer], axis=1)


def _target_spread(state: OnlineState) -> float:
    count, m2 = state.count[-1], state.m2[-1]
    return float(np.sqrt(m2 / count)) if count > 1 and m2 > 0 else 1.0


@cache
def compiled() -> Callable[..., None]:
    """`learn_rows` in machine code; compiled once per process, in about a second."""
    from numba import njit

    return njit(nogil=True)(learn_rows)  # type: ignore[no-any-return]


def learn_rows(  # noqa: C901, PLR0912, PLR0915 - one loop, because a compiled one must not call back
    codes: Any, labels: Any, logistic: bool, rate: float, l2: float, weights: Any, count: Any, mean: Any, m2: Any,
    offset: Any, size: Any, predicted: Any,
) -> None:
    """The learner itself, in the subset of Python that numba compiles; the tests also run it uncompiled."""
    rows, columns = codes.shape
    last = len(weights) - 1
    scaled = np.empty(columns)
    place = np.empty(columns, dtype=np.int64)
    for row in range(rows):
        total = weights[last]
        length = 1.0
        for j in range(columns):
            value = float(codes[row, j])
            place[j] = -1
            scaled[j] = 0.0
            if not np.isfinite(value):
                continue
            if size[j] > 0:
                if 0 <= value < size[j]:
                    place[j] = offset[j] + int(value)
                    scaled[j] = 1.0
            elif count[j] > 1 and m2[j] > 0:
                place[j] = offset[j]
                scaled[j] = (value - mean[j]) / np.sqrt(m2[j] / count[j])
                scaled[j] = min(max(scaled[j], -8.0), 8.0)
            if place[j] >= 0:
                total += weights[place[j]] * scaled[j]
                length += scaled[j] * scaled[j]
        target = labels[row]
        spread = 1.0
        if not logistic and count[columns] > 1 and m2[columns] > 0:
            spread = np.sqrt(m2[columns] / count[columns])
        if logistic:
            answer = 0.5 * (1.0 + np.tanh(0.5 * total))
            predicted[row] = answer
            error = target - answer
        else:
            predicted[row] = mean[columns] + total * spread
            error = (target - predicted[row]) / spread
            error = min(max(error, -8.0), 8.0)
        step = rate * error / max(1.0, length * rate)
        if l2 > 0:
            for j in range(last):
                weights[j] *= 1.0 - l2
        for j in range(columns):
            if place[j] >= 0:
                weights[place[j]] += step * scaled[j]
            value = float(codes[row, j])
            if size[j] == 0 and np.isfinite(value):
                count[j] += 1.0
                delta = value - mean[j]
                mean[j] += delta / count[j]
                m2[j] += delta * (value - mean[j])
        weights[last] += step
        count[columns] += 1.0
        delta = target - mean[columns]
        mean[columns] += delta / count[columns]
        m2[columns] += delta * (target - mean[columns])
