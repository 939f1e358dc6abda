"""How a model is renewed: from scratch on a window of rows, or row by row from the state it is in.

A learner is a value. It says which rows are learned from, and makes a model of them; `ci` hands it the means to.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from homeostat.core.clock import duration, utc
from homeostat.core.errors import LoopError
from homeostat.core.open_table import OpenTable, tag_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.model import Bundle

LEARNERS: OpenTable[type[Learner]] = OpenTable("learner", name=tag_of)
"""Every class of learners by its tag; `LEARNERS.register` adds one's own."""


class Lesson(Protocol):
    """Labelled rows in order of time, and the means to make a model of them (`ci.train.TrainingLesson`)."""

    rows: Any
    now: Any
    schema: Any

    def train(self, weights: NDArray[np.float64] | None = None) -> Bundle:
        """Fit the Loop's model from scratch, with a weight for each row."""

    def train_on(self, settings: Any, parent: Bundle | None) -> Bundle:
        """Go on from the state of a parent, row by row, with the settings of `Online`."""


class Learner(msgspec.Struct, frozen=True, tag_field="how"):
    """What every learner has. One of your own has a tag and a `fit`."""

    def fit(self, lesson: Lesson, parent: Bundle | None) -> Bundle:
        """Make a model. The same lesson and parent give the same bytes.

        Args:
            lesson: The rows, and the means.
            parent: The champion, for a learner that goes on from it (`continues`); None for the others, and at first.
        """
        raise TypeError(f"{type(self).__name__} is not a learner of its own")

    @property
    def label(self) -> str:
        """A short name, for the ledger and tables."""
        return tag_of(type(self))

    @property
    def continues(self) -> bool:
        """Whether it goes on from its parent, so that a version depends on more than its rows."""
        return False

    def describe(self) -> dict[str, Any]:
        """Itself as plain values, for a version's lineage."""
        return {"label": self.label, **msgspec.to_builtins(self)}

    def bounds(self, now: datetime) -> tuple[datetime | None, datetime]:
        """First and last event time that it learns from at `now`; None has no first."""
        return None, utc(now)

    def select(self, rows: pl.DataFrame, time: str, now: datetime) -> pl.DataFrame:
        """The rows that it learns from: those whose event time is within `bounds(now)`, in their order."""
        import polars as pl

        start, end = self.bounds(now)
        inside = pl.col(time) <= end
        return rows.filter(inside if start is None else inside & (pl.col(time) >= start))

    def weights(self, rows: pl.DataFrame, time: str, now: datetime) -> NDArray[np.float64] | None:
        """Weight of each row, shape (n,); None for equal weights."""
        return None


@LEARNERS.register
class Refit(Learner, tag="refit", frozen=True, kw_only=True):
    """Fit from scratch.

    Attributes:
        window: Learn from rows of this length of time back from now, as in `"60d"` (a sliding window); None learns
            from all of them (an expanding window).
        half_life: The age at which a row counts half as much as a new one, as in `"30d"`; None counts all the same.

    Example:
        >>> Refit(window="60d").label, Refit().label, Refit(half_life="30d").label
        ('sliding 60d', 'expanding', 'expanding, half-life 30d')
    """

    window: str | None = None
    half_life: str | None = None

    def __post_init__(self) -> None:
        for text in (self.window, self.half_life):
            if text is not None:
                duration(text)

    @property
    def label(self) -> str:
        """The window policy in words."""
        window = "expanding" if self.window is None else f"sliding {self.window}"
        return window if self.half_life is None else f"{window}, half-life {self.half_life}"

    def fit(self, lesson: Lesson, parent: Bundle | None) -> Bundle:
        """The Loop's model, fitted from scratch."""
        return lesson.train(self.weights(lesson.rows, lesson.schema.spec.time, lesson.now))

    def bounds(self, now: datetime) -> tuple[datetime | None, datetime]:
        """See `Learner.bounds`."""
        end = utc(now)
        return (None if self.window is None else end - duration(self.window)), end

    def weights(self, rows: pl.DataFrame, time: str, now: datetime) -> NDArray[np.float64] | None:
        """Half for every half-life of age."""
        if self.half_life is None:
            return None
        import numpy as np

        moment = (utc(now) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)
        ages = np.maximum(moment - rows[time].dt.timestamp("us").to_numpy(), 0)
        return np.asarray(0.5 ** (ages / _microseconds(self.half_life)))


@LEARNERS.register
class Online(Learner, tag="online", frozen=True, kw_only=True):
    """Learn each labelled row once, in the order in which labels became known, after having predicted it.

    A version continues from its parent's state with the rows that came since. Without a parent, or when the features
    changed, it begins anew.

    Attributes:
        learner: `linear` is the compiled logistic or linear regression; `estimator` the Loop's own model, which then
            needs `partial_fit`.
        learning_rate: Step size of `linear`, above zero.
        l2: Shrinkage of `linear` per step, zero or more.
        batch: Rows per call of `partial_fit`; `linear` always learns row by row.

    Example:
        >>> Online().label
        'online linear'
    """

    learner: Literal["linear", "estimator"] = "linear"
    learning_rate: float = 0.05
    l2: float = 0.0
    batch: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.learning_rate < float("inf") and 0 <= self.l2 < 1 and self.batch >= 1):
            raise LoopError(
                f"Online(learning_rate={self.learning_rate}, l2={self.l2}, batch={self.batch}) is out of range",
                hint="learning_rate above 0, l2 in 0..1, batch at least 1",
            )
        if self.learner not in {"linear", "estimator"}:
            raise LoopError(f"there is no online learner {self.learner!r}", hint="choose 'linear' or 'estimator'")

    @property
    def label(self) -> str:
        """What learns."""
        return f"online {self.learner}"

    @property
    def continues(self) -> bool:
        """Yes."""
        return True

    def fit(self, lesson: Lesson, parent: Bundle | None) -> Bundle:
        """The parent's state, taught the rows whose labels came since."""
        return lesson.train_on(self, parent)


def _microseconds(text: str) -> float:
    return duration(text) / timedelta(microseconds=1)
