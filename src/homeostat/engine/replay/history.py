"""History for a replay: rows in the order of time, labels as late as they were, and models trained at most once."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from homeostat.cd.labels.maturity import microsecond
from homeostat.ci.preprocess import split
from homeostat.ci.train import TrainingLesson
from homeostat.core.clock import stopwatch
from homeostat.core.errors import DataError
from homeostat.core.schema import infer_schema
from homeostat.core.stats.metrics import score
from homeostat.core.table.rows import known_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homeostat.core.model import Model, Predictions
    from homeostat.loop import Loop


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it would have been trained at a moment of the past."""

    model: Model
    reference: float | None
    rows: int
    trainable: int
    seconds: float


class History:
    """Labelled rows, cut into blocks. Rows without a label are left out."""

    def __init__(self, loop: Loop, rows: pl.DataFrame) -> None:
        spec = loop.source.spec
        assert spec.target is not None
        self.loop, self.spec, self.target = loop, spec, spec.target
        self.rows = rows.drop_nulls(spec.target).sort(spec.time, *spec.key, maintain_order=True)
        if not self.rows.height:
            raise DataError("there is no labelled history to replay", hint="`homeostat run` collects some")
        self.schema = infer_schema(self.rows, spec)
        self.times: NDArray[np.int64] = self.rows[spec.time].dt.timestamp("us").to_numpy()
        self.known: NDArray[np.int64] = known_at(self.rows, spec)
        self.labels = self.rows[spec.target].to_numpy()
        self._trained: dict[datetime, Trained] = {}
        self._answers: dict[tuple[datetime, int, int], Predictions] = {}

    def trainable(self, now: datetime) -> int:
        """Labelled rows that were known by a moment."""
        return int((self.known <= microsecond(now)).sum())

    def between(self, start: datetime, end: datetime) -> tuple[int, int]:
        """First row of a stretch of event time, and the first after it."""
        first, last = np.searchsorted(self.times, [microsecond(start), microsecond(end)])
        return int(first), int(last)

    def trained(self, now: datetime) -> Trained:
        """The model that the Loop would have trained then, on labels known then; trained once, whoever asks."""
        if now not in self._trained:
            self._trained[now] = self._train(now)
        return self._trained[now]

    def answers(self, now: datetime, first: int, last: int) -> Predictions:
        """What the model of a moment says about rows; asked once, whoever asks."""
        place = (now, first, last)
        if place not in self._answers:
            self._answers[place] = self.trained(now).model.predict(self.rows[first:last])
        return self._answers[place]

    def _train(self, now: datetime) -> Trained:
        loop = self.loop
        begin = stopwatch()
        heard = self.rows.filter(pl.Series(self.known <= microsecond(now)))
        parts = split(loop.how.select(heard, self.spec.time, now), self.spec, test=loop.test)
        lesson = TrainingLesson(
            parts.train,
            parts.test,
            schema=self.schema,
            now=now,
            loop=loop.name,
            model=loop.model,
            features=loop.features,
            seed=loop.seed,
            trusted=loop.trusted_types,
        )
        bundle = loop.how.fit(lesson, None)
        model = bundle.model(loop.features, trusted=loop.trusted_types)
        metric = loop.metric_for(model.signature)
        target = parts.test[self.target].to_numpy()
        return Trained(
            model=model,
            reference=score(metric, target, model.predict(parts.test), model.signature.classes),
            rows=parts.train.height,
            trainable=heard.height,
            seconds=stopwatch() - begin,
        )
