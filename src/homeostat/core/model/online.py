"""Exact online learning: logistic and linear regression by one gradient step per row, test then train, compiled.

Each row is predicted with what was learned from the rows before it, and only then learned from (the prequential order:
Dawid, "Present position and potential developments: some personal views: statistical theory: the prequential approach",
Journal of the Royal Statistical Society A 147, 1984). Numbers are standardised by running means and variances (Welford,
Technometrics 4, 1962) that are themselves updated after the prediction. The state is a few arrays.
"""

from __future__ import annotations

import io
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from homeostat.core.errors import DataError, ModelError
from homeostat.core.model.labelling import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from homeostat.core.model.encoder import Encoder

Floats = NDArray[np.float64]

FORMAT = 1
_ARRAYS = ("weights", "moments", "offset", "size")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FARTHEST = 8.0
"""Standardised values are cut here: one wild row must not throw the weights away."""


class OnlineState(msgspec.Struct, kw_only=True, eq=False):
    """Everything that a linear online learner knows. Arrays are updated in place by `learn`.

    Attributes:
        task: `classification` of two classes, or `regression`.
        learning_rate: Step size; a step is divided by the squared length of the standardised row where that is above 1.
        weights: One per number and one per category, and last the intercept.
        moments: Count, mean and sum of squared deviations of each code, and last of the target; shape (3, codes + 1).
        offset: Where each code's weights begin.
        size: Number of categories of each code; 0 for a number.
    """

    task: str
    learning_rate: float
    l2: float
    weights: Floats
    moments: Floats
    offset: NDArray[np.int64]
    size: NDArray[np.int64]

    def copy(self) -> OnlineState:
        """An independent copy."""
        return msgspec.structs.replace(self, **{name: getattr(self, name).copy() for name in _ARRAYS})

    @property
    def rows(self) -> int:
        """How many rows it has learned from."""
        return int(self.moments[0, -1])


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
    return OnlineState(
        task=task,
        learning_rate=float(learning_rate),
        l2=float(l2),
        weights=np.zeros(int(widths.sum()) + 1),
        moments=np.zeros((3, len(size) + 1)),
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
    if matrix.ndim != 2 or matrix.shape != (len(labels), len(state.size)):
        raise DataError(f"codes have the shape {matrix.shape} and should have ({len(labels)}, {len(state.size)})")
    if not np.isfinite(labels).all():
        raise DataError("labels are missing, NaN or infinite", hint="learn from labelled rows only")
    predicted = np.empty(len(labels))
    compiled()(
        matrix,
        labels,
        state.task == "classification",
        state.learning_rate,
        state.l2,
        state.weights,
        state.moments,
        state.offset,
        state.size,
        predicted,
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
        elif state.moments[0, place] > 1 and state.moments[2, place] > 0:
            count, mean, m2 = state.moments[:, place]
            scaled = np.clip((column - mean) / np.sqrt(m2 / count), -_FARTHEST, _FARTHEST)
            total[known] += state.weights[offset] * scaled[known]
    if state.task == "classification":
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * total)))
    return np.asarray(state.moments[1, -1] + total * _target_spread(state))


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
        state = OnlineState(**head, **arrays)
        _check_state(state)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, AttributeError, OSError) as error:
        raise ModelError(f"these bytes are no online learner: {error}") from error
    return state


def _check_state(state: OnlineState) -> None:
    """Make sure that no array points outside of another: compiled code looks without asking.

    Raises:
        ValueError: One does, or is of another shape or type than it has to be.
    """
    codes = len(state.size)
    kinds = {"weights": (np.float64, 1), "moments": (np.float64, 2), "offset": (np.int64, 1), "size": (np.int64, 1)}
    for name, (dtype, dimensions) in kinds.items():
        array = getattr(state, name)
        if array.dtype != dtype or array.ndim != dimensions:
            raise ValueError(f"{name} is of the type {array.dtype} and the shape {array.shape}")
    if state.task not in ("classification", "regression"):
        raise ValueError(f"its task is {state.task!r:.40}")
    if not all(isinstance(value, float) and 0 <= value < 1e6 for value in (state.learning_rate, state.l2)):
        raise ValueError("its settings are no numbers")
    if codes and (int(state.size.min()) < 0 or int(state.size.max()) > len(state.weights)):
        raise ValueError("its sizes point outside of its weights")
    widths = np.maximum(state.size, 1)
    whole = state.offset.shape == (codes,) and bool((state.offset == np.cumsum(widths) - widths).all())
    if not whole or state.weights.shape != (int(widths.sum()) + 1,) or state.moments.shape != (3, codes + 1):
        raise ValueError("its arrays do not fit together")


class OnlineRuntime:
    """A linear online learner that answers; see `homeostat.core.model.runtimes.Runtime`."""

    name = "numpy"

    def __init__(self, state: OnlineState) -> None:
        self.state = state

    def output(self, rows: Any) -> Output:
        """Scores of shape (n, 2), or values of shape (n,)."""
        answer = predict(self.state, rows)
        return Output(answer if self.state.task == "regression" else np.stack([1.0 - answer, answer], axis=1))


def _target_spread(state: OnlineState) -> float:
    count, _, m2 = state.moments[:, -1]
    return float(np.sqrt(m2 / count)) if count > 1 and m2 > 0 else 1.0


@cache
def compiled() -> Callable[..., None]:
    """The learner in machine code; compiled once per process, in about a second."""
    from functools import partial

    from numba import njit

    jit = njit(nogil=True)
    return partial(jit(learn_rows), jit(read_row), jit(move_moments))


def interpreted() -> Callable[..., None]:
    """The same learner as plain Python: slow, and what the compiled one is tested against."""
    from functools import partial

    return partial(learn_rows, read_row, move_moments)


# The three functions below keep to the part of Python that numba compiles. They get each other as arguments, because a
# compiled function can call only compiled ones.


def learn_rows(
    read: Any,
    move: Any,
    codes: Any,
    labels: Any,
    logistic: bool,
    rate: float,
    l2: float,
    weights: Any,
    moments: Any,
    offset: Any,
    size: Any,
    predicted: Any,
) -> None:
    """Predict, then learn, row after row; `moments` holds count, mean and sum of squared deviations of each code."""
    columns = codes.shape[1]
    last = len(weights) - 1
    scaled = np.zeros(columns)
    place = np.zeros(columns, dtype=np.int64)
    for row in range(codes.shape[0]):
        read(codes[row], moments, offset, size, place, scaled)
        total = weights[last]
        length = 1.0
        for j in range(columns):
            total += weights[place[j]] * scaled[j]
            length += scaled[j] * scaled[j]
        if logistic:
            predicted[row] = 0.5 * (1.0 + np.tanh(0.5 * total))
            error = labels[row] - predicted[row]
        else:
            spread = 1.0
            if moments[0, columns] > 1 and moments[2, columns] > 0:
                spread = np.sqrt(moments[2, columns] / moments[0, columns])
            predicted[row] = moments[1, columns] + total * spread
            error = min(max((labels[row] - predicted[row]) / spread, -8.0), 8.0)
        step = rate * error / max(1.0, length * rate)
        if l2 > 0:
            weights[:last] *= 1.0 - l2
        for j in range(columns):
            weights[place[j]] += step * scaled[j]
        weights[last] += step
        move(codes[row], labels[row], size, moments)


def read_row(codes: Any, moments: Any, offset: Any, size: Any, place: Any, scaled: Any) -> None:
    """Which weight each code of a row touches, and by how much: a standardised number, one for a category, or zero."""
    for j in range(len(codes)):
        value = float(codes[j])
        place[j] = offset[j]
        scaled[j] = 0.0
        if not np.isfinite(value):
            continue
        if size[j] > 0:
            if 0 <= value < size[j]:
                place[j] = offset[j] + int(value)
                scaled[j] = 1.0
        elif moments[0, j] > 1 and moments[2, j] > 0:
            spread = np.sqrt(moments[2, j] / moments[0, j])
            scaled[j] = min(max((value - moments[1, j]) / spread, -8.0), 8.0)


def move_moments(codes: Any, label: float, size: Any, moments: Any) -> None:
    """Welford's update of the moments of every number, and last of the target."""
    columns = len(codes)
    for j in range(columns + 1):
        value = label if j == columns else float(codes[j])
        if np.isfinite(value) and (j == columns or size[j] == 0):
            moments[0, j] += 1.0
            delta = value - moments[1, j]
            moments[1, j] += delta / moments[0, j]
            moments[2, j] += delta * (value - moments[1, j])
