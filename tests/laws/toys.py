"""A toy of everything that may be added from outside: each passes the laws of its table and works in a loop."""

from __future__ import annotations

import numpy as np

from homeostat import how, when
from homeostat.core.model import Bundle
from homeostat.core.stats.drift import STATISTICS, Statistic
from homeostat.core.stats.losses import LOSSES, Loss


@when.POLICIES.register
class Streak(when.Policy, tag="streak", frozen=True, kw_only=True):
    """Fires at so many observations in a row with an alarm, and then counts anew."""

    length: int

    def step(self, memory: when.Memory, seen: when.Look) -> tuple[when.Memory, when.Reading]:
        """Counts the row."""
        row = (memory or {"row": 0})["row"] + 1 if any(signal.alarmed for signal in seen.signals) else 0
        fired = row >= self.length
        reading = when.Reading(fired=fired, reason=f"{row} alarms of {self.length} in a row", evidence={"row": row})
        return {"row": 0 if fired else row}, reading


GAP = STATISTICS.register(
    Statistic(
        name="gap",
        distance=lambda before, after: float(np.abs(np.cumsum(after - before)).max()),
        noise=lambda _shares, n, m: 0.87 * float(np.sqrt(1 / n + 1 / m)),
        needs=("number",),
    )
)
"""The largest gap between the cumulated shares of ordered cells; its noise is that of Kolmogorov."""

MISSES = LOSSES.register(
    Loss(
        name="misses",
        task="classification",
        rows=lambda codes, scores, _scale: np.where(
            scores.argmax(axis=1) == codes, 0.0, np.where(codes == 0, 1.0, 5.0)
        ),
        high=5.0,
    )
)
"""In money: a false alarm costs 1, a miss 5."""
STEPS_OFF = LOSSES.register(
    Loss(
        name="steps off",
        task="regression",
        rows=lambda labels, values, scale: np.minimum(np.floor(np.abs(labels - values) / scale), 3.0) - 1.0,
        low=-1.0,
        high=2.0,
    )
)
"""Whole scales of error, at most three; a hit earns one."""


@how.LEARNERS.register
class NewestRows(how.Learner, tag="newest_rows", frozen=True, kw_only=True):
    """Fits the newest rows alone, the newer the heavier, whatever their times."""

    count: int = 200

    def fit(self, lesson: how.Lesson, parent: Bundle | None) -> Bundle:
        """The last rows, weighted from 0 to 1."""
        weights = np.zeros(lesson.rows.height)
        weights[-self.count :] = np.linspace(0.1, 1.0, min(self.count, lesson.rows.height))
        return lesson.train(weights)


@how.LEARNERS.register
class KeepsTheFirst(how.Learner, tag="keeps_the_first", frozen=True, kw_only=True):
    """Gives its parent again, for ever."""

    @property
    def continues(self) -> bool:
        """Yes."""
        return True

    def fit(self, lesson: how.Lesson, parent: Bundle | None) -> Bundle:
        """The parent, or a first model."""
        return parent or lesson.train()
