"""A stream of made-up requests written to a real prediction log: two versions, labels that come later."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from homeostat.cd.deploy import assign
from homeostat.cd.log import LabelItem, LabelRecord, LogWriter, PredictionRecord, RowRecord, ShadowRecord
from homeostat.core.events import Arm


class Stream:
    """Writes blocks of rows whose true probability is known; each version sees it with its own error."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.log = LogWriter(folder)
        self.random = np.random.default_rng(seed)
        self.count = 0

    def block(
        self,
        start: datetime,
        rows: int,
        arms: tuple[Arm, ...],
        errors: dict[int, float],
        *,
        salt: str = "s",
        label_after: timedelta = timedelta(minutes=30),
        bad_news_first: bool = False,
        good_news_first: float = 0.0,
        lost: dict[int, float] | None = None,
    ) -> dict[int, int]:
        """One hour of rows; gives how many each version answered.

        Args:
            bad_news_first: Labels that the champion got wrong come after a minute.
            good_news_first: The share (0..1) of the other labels that comes after a minute too.
            errors: By version, the share of rows (0..1) on which it says the opposite of what it should.
            lost: By version, the share of its units (0..1) that never reach the log.
        """
        answered: dict[int, int] = {}
        truth = self.random.random(rows)
        labels = self.random.random(rows) < truth
        wrong = {version: self.random.random(rows) < share for version, share in errors.items()}
        items = []
        for row in range(rows):
            moment = start + timedelta(hours=1) * row / rows
            unit = f"u{self.count}"
            self.count += 1
            chosen = assign(arms, salt, unit)
            if lost and self.random.random() < lost.get(chosen.version, 0.0):
                continue
            scores = {arm.version: float(1 - truth[row] if wrong[arm.version][row] else truth[row]) for arm in arms}
            said = {version: [score > 0.5, 1 - score, score] for version, score in scores.items()}
            own = {chosen.version: said[chosen.version]}
            others = tuple(version for version in said if version != chosen.version)
            record = RowRecord(
                id=unit, arm=chosen.version, propensity=chosen.share, features={"x": row}, predictions=own
            )
            self.log.append(PredictionRecord(request=unit, time=moment, rows=[record], awaits=others))
            for version in others:
                shadow = {"version": version, "ids": [unit], "predictions": [said[version]]}
                self.log.append(ShadowRecord(requests=[unit], time=moment, **shadow))
            label = bool(labels[row])
            right = label == said[arms[0].version][0]
            soon = row % 100 < 100 * good_news_first if right else bad_news_first
            known = moment + (timedelta(minutes=1) if soon else label_after)
            items.append(LabelItem(id=unit, label=label, time=known))
            answered[chosen.version] = answered.get(chosen.version, 0) + 1
        self.log.append(LabelRecord(time=start + timedelta(hours=1), labels=items))
        return answered
