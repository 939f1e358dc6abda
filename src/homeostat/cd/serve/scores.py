"""What a version made of rows: one array, and the plain values that answers and records are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from homeostat.cd.log import Scored


class Scores(msgspec.Struct, frozen=True):
    """The answers to the rows of a request, which may be some of a larger call's.

    Attributes:
        whole: What the call gave: probabilities of shape (rows, classes), or values of shape (rows,).
        start: The first of these rows.
        values: The predicted value of each row.
        lists: The rows of `array` as plain numbers, where somebody wanted them already; see `rows`.
    """

    whole: NDArray[Any]
    start: int
    values: list[Any]
    lists: list[Any] | None = None

    @property
    def rows(self) -> list[Any]:
        """The rows of `array` as plain numbers."""
        return self.array.tolist() if self.lists is None else self.lists

    @property
    def array(self) -> NDArray[Any]:
        """Probabilities of shape (n, classes), or values of shape (n,)."""
        return self.whole[self.start : self.start + len(self.values)]

    def first(self) -> Scored:
        """`[value, probability, ...]` of the first row."""
        return [self.values[0]] if self.whole.ndim == 1 else [self.values[0], *self.rows[0]]

    def scored(self) -> list[Scored]:
        """`[value, probability, ...]` of each row."""
        if self.whole.ndim == 1:
            return [[value] for value in self.values]
        return [[value, *scores] for value, scores in zip(self.values, self.rows, strict=True)]


def labels(lists: Sequence[Sequence[float]], classes: Sequence[Any]) -> list[Any]:
    """The class with the highest score of each row; of equals the first."""
    if len(classes) == 2:
        first, second = classes
        return [second if row[1] > row[0] else first for row in lists]
    return [classes[row.index(max(row))] for row in lists]


def labels_of(array: NDArray[Any], classes: Sequence[Any]) -> list[Any]:
    """The same from an array of shape (n, classes), for many rows."""
    return [classes[place] for place in array.argmax(axis=1).tolist()]
