"""What was answered lately and what became of it: predictions and labels of the log, joined by row id in memory.

The log is the truth; this is a view of its newest part. It is rebuilt from the log at every start, so nothing of it has
to survive a crash.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from homeostat.cd.cohorts import microsecond
from homeostat.cd.log import LabelRecord, LogReader, Position, PredictionRecord, ShadowRecord
from homeostat.cd.performance import Outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from homeostat.core.model import Signature
    from homeostat.core.spec import TableSpec

_NEVER = np.iinfo(np.int64).min
_KEEP = 200_000
DROPPED = "dropped"


Labelled = tuple[dict[str, Any], Any, datetime]
"""Raw inputs of a row, its label, and when the label became known."""


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at the log brought.

    Attributes:
        answered: When newly answered rows were answered, and their raw inputs, in the order of the log.
        labelled: Raw inputs with label and label time of rows whose label came, for the training table.
        records: How many records were read.
    """

    answered: list[tuple[datetime, dict[str, Any]]] = []
    labelled: list[Labelled] = []
    records: int


class Traffic:
    """Recent rows with their predictions and labels.

    Args:
        folder: The log.
        keep: How many of the newest rows stay in memory, at least.
    """

    def __init__(self, folder: Path, *, keep: int = _KEEP) -> None:
        self._reader = LogReader(folder)
        self._position: Position | None = None
        self._keep = keep
        self._place: dict[str, int] = {}
        self._features: list[dict[str, Any] | None] = []
        self._labels: list[Any] = []
        self._times = np.empty(0, dtype=np.int64)
        self._label_times = np.empty(0, dtype=np.int64)
        self._arms = np.empty(0, dtype=np.int64)
        self._scores: dict[int, NDArray[np.float64]] = {}
        self._asked: dict[int, NDArray[np.bool_]] = {}
        self._early: dict[str, tuple[Any, datetime]] = {}
        self.counts: Counter[str] = Counter()
        self.newest: datetime | None = None

    def __len__(self) -> int:
        return len(self._labels)

    def take(self) -> Arrived:
        """Read what was appended to the log since the last look, and join it."""
        batch = self._reader.read(self._position)
        self._position = batch.position
        arrived = Arrived(records=len(batch.records))
        for record in batch.records:
            match record:
                case PredictionRecord():
                    self._take_predictions(record, arrived)
                case ShadowRecord():
                    self._take_shadow(record)
                case LabelRecord():
                    for item in record.labels:
                        self._label(item.id, item.label, item.time, arrived)
        self.counts["damaged_bytes"] += batch.damaged
        self._forget()
        return arrived

    def outcomes(self, since: datetime | None = None, *, last: int | None = None) -> Outcomes:
        """Rows with what is known of their labels.

        Args:
            since: Only rows that were answered at or after this time.
            last: Only so many of the newest rows.
        """
        total = len(self)
        chosen = np.arange(0 if last is None else max(0, total - last), total)
        if since is not None:
            chosen = chosen[self._times[chosen] >= microsecond(since)]
        asked = {version: mask[chosen] for version, mask in self._asked.items() if mask[chosen].any()}
        return Outcomes(
            times=self._times[chosen],
            label_times=self._label_times[chosen],
            labels=_objects([self._labels[place] for place in chosen]),
            predictions={version: _flat(self._scores[version][chosen]) for version in asked},
            asked=asked,
        )

    def scores(self, version: int, last: int) -> NDArray[np.float64] | None:
        """A version's scores of the newest `last` rows, NaN where it did not predict; None when it never did."""
        known = self._scores.get(version)
        return None if known is None else _flat(known[max(0, len(self) - last) : len(self)])

    def failures(self, version: int, since: datetime) -> int:
        """Rows that a version was asked about at or after a time and made nothing of."""
        if version not in self._asked:
            return 0
        recent = self._times[: len(self)] >= microsecond(since)
        empty = np.isnan(self._scores[version][: len(self)]).any(axis=1)
        return int((self._asked[version][: len(self)] & empty & recent).sum())

    def answered(self, since: datetime) -> Counter[int]:
        """How many rows each version answered at or after a time."""
        arms = self._arms[: len(self)][self._times[: len(self)] >= microsecond(since)]
        return Counter(
            {int(version): int(count) for version, count in zip(*np.unique(arms, return_counts=True), strict=True)}
        )

    def _take_predictions(self, record: PredictionRecord, arrived: Arrived) -> None:
        moment = microsecond(record.time)
        self.newest = record.time if self.newest is None else max(self.newest, record.time)
        for row in record.rows:
            if row.id in self._place:
                self.counts["repeated_rows"] += 1
                continue
            place = len(self)
            self._make_room(place + 1)
            self._place[row.id] = place
            self._labels.append(None)
            self._features.append(row.features)
            self._times[place], self._label_times[place], self._arms[place] = moment, _NEVER, row.arm
            for version, scored in row.predictions.items():
                self._score(version, place, scored)
            arrived.answered.append((record.time, row.features))
            if row.id in self._early:
                self._label(row.id, *self._early.pop(row.id), arrived)

    def _take_shadow(self, record: ShadowRecord) -> None:
        places = [self._place[one] for one in record.ids if one in self._place]
        if record.error is None:
            for one, scored in zip(record.ids, record.predictions, strict=True):
                if one in self._place:
                    self._score(record.version, self._place[one], scored)
        elif record.error == DROPPED:
            self.counts["shadow_rows_dropped"] += len(places)
        else:
            self.counts["shadow_rows_failed"] += len(places)
            self._columns(record.version, 1)
            self._asked[record.version][places] = True

    def _label(self, one: str, label: Any, moment: datetime, arrived: Arrived) -> None:
        place = self._place.get(one)
        if place is None:
            self.counts["labels_before_their_row"] += 1
            self._early[one] = (label, moment)
            return
        if self._label_times[place] != _NEVER:
            self.counts["repeated_labels" if self._labels[place] == label else "conflicting_labels"] += 1
            return
        self._labels[place], self._label_times[place] = label, microsecond(moment)
        features = self._features[place]
        if features is not None:
            arrived.labelled.append((features, label, moment))
            self._features[place] = None

    def _score(self, version: int, place: int, scored: list[Any]) -> None:
        values = scored[1:] if len(scored) > 1 else scored
        self._columns(version, len(values))
        self._scores[version][place] = [np.nan if value is None else value for value in values]
        self._asked[version][place] = True

    def _columns(self, version: int, width: int) -> None:
        """Room for a version's scores; one that only ever failed gets its width with its first score."""
        known = self._scores.get(version)
        if known is None or known.shape[1] < width:
            self._scores[version] = np.full((len(self._times), width), np.nan)
            self._asked.setdefault(version, np.zeros(len(self._times), dtype=bool))

    def _make_room(self, wanted: int) -> None:
        more = max(wanted, 2 * len(self._times), 1024) - len(self._times)
        if wanted <= len(self._times):
            return
        self._times, self._label_times, self._arms = (
            np.concatenate([column, np.zeros(more, dtype=np.int64)])
            for column in (self._times, self._label_times, self._arms)
        )
        for version, known in self._scores.items():
            self._scores[version] = np.concatenate([known, np.full((more, known.shape[1]), np.nan)])
            self._asked[version] = np.concatenate([self._asked[version], np.zeros(more, dtype=bool)])

    def _forget(self) -> None:
        """Drop the oldest rows when there are twice as many as are kept."""
        cut = len(self) - self._keep
        if cut < self._keep:
            return
        self.counts["forgotten_unlabelled"] += int((self._label_times[:cut] == _NEVER).sum())
        self._place = {one: place - cut for one, place in self._place.items() if place >= cut}
        del self._labels[:cut], self._features[:cut]
        self._times, self._label_times, self._arms = self._times[cut:], self._label_times[cut:], self._arms[cut:]
        self._asked = {version: mask[cut:] for version, mask in self._asked.items() if mask[cut:].any()}
        self._scores = {version: known[cut:] for version, known in self._scores.items() if version in self._asked}


def training_rows(labelled: list[Labelled], signature: Signature, spec: TableSpec, dtype: pl.DataType) -> pl.DataFrame:
    """Labelled rows in the types of the training table."""
    rows = signature.decode(features for features, _, _ in labelled)
    assert spec.target is not None
    rows = rows.with_columns(pl.Series(spec.target, [label for _, label, _ in labelled], strict=False).cast(dtype))
    if spec.label_time is None:
        return rows
    moments = pl.Series(spec.label_time, [moment for _, _, moment in labelled], dtype=pl.Datetime("us", "UTC"))
    return rows.with_columns(moments)


def _flat(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores[:, 0] if scores.shape[1] == 1 else scores


def _objects(values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
