"""What a version made of rows: one array, and the plain values that answers and records are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from homeostat.cd.log import Scored
    from homeostat.core.model import Labelling, Output


class Scores(msgspec.Struct, frozen=True):
    """The answers to the rows of a request, which may be some of a larger call's.

    Attributes:
        whole: What the call gave: probabilities of shape (rows, classes), or values of shape (rows,).
        start: The first of these rows.
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
        if self.whole.ndim == 1:
            return [self.values[0]]
        return [self.values[0], *(self.rows if self.lists is None else self.lists)[0]]

    def scored(self) -> list[Scored]:
        """`[value, probability, ...]` of each row."""
        if self.whole.ndim == 1:
            return [[value] for value in self.values]
        return [[value, *scores] for value, scores in zip(self.values, self.rows, strict=True)]


class Labels:
    """Which labels answers have: those that the model names, else those that follow from its scores.

    Example:
        >>> Labels(("no", "yes"), Labelling(by="threshold", at=0.2)).of_lists([[0.7, 0.3]])
        ['yes']
    """

    def __init__(self, classes: Sequence[Any], rule: Labelling) -> None:
        self._classes, self._rule = list(classes), rule
        self.of_lists = _of_lists(self._classes, rule)
        """The labels of few rows, from the plain numbers of their scores; the same as `of`, and faster."""

    def of(self, output: Output) -> list[Any]:
        """The labels of many rows."""
        classes = self._classes
        places = self._rule.places(output.scores) if output.places is None else output.places
        return [classes[place] for place in places.tolist()]


def _of_lists(classes: Sequence[Any], rule: Labelling) -> Callable[[Sequence[Sequence[float]]], list[Any]]:
    """The rule as a function of plain numbers, with everything looked up that does not change."""
    tie = rule.tie
    if rule.by == "threshold":
        place, at, reached, other = rule.place, rule.at, classes[rule.place], classes[1 - rule.place]
        return lambda lists: [reached if row[place] >= at else other for row in lists]
    if len(classes) == 2:
        first, second = classes
        return lambda lists: [second if row[1] - row[0] > tie else first for row in lists]
    return lambda lists: [classes[_first(row, max(row) - tie)] for row in lists]


def _first(row: Sequence[float], least: float) -> int:
    return next(place for place, score in enumerate(row) if score >= least)
