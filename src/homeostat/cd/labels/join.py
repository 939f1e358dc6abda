"""What was answered lately and what became of it: predictions and labels of the log, joined by row id in memory.

The log is the truth; this is a view of its newest part. Folding the log again gives the same view, so nothing of it has
to survive a crash.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from homeostat.cd.labels.maturity import microsecond, moment
from homeostat.cd.log import (
    LabelItem,
    LabelRecord,
    LogReader,
    Position,
    PredictionRecord,
    Record,
    Scored,
    ShadowRecord,
    UnrecordedRecord,
)
from homeostat.cd.log.retention import Needed
from homeostat.cd.monitor.performance import Outcomes
from homeostat.core.files import read_regular, write_whole
from homeostat.core.model.signature import Label

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray


_NEVER = np.iinfo(np.int64).min
_KEEP = 200_000
_READ = 100_000
DROPPED = "dropped"
_COUNTS = "joined.json"

Labelled = tuple[dict[str, Any], Label, datetime]
"""Raw inputs of a row, its label, and when the label became known."""


class Answered(NamedTuple):
    """A row that was answered: its number in the log, when, and its raw inputs."""

    number: int
    time: datetime
    features: dict[str, Any]


class Arrived(msgspec.Struct, kw_only=True):
    """What one look at the log brought.

    Attributes:
        answered: Newly answered rows, in the order of the log.
        labelled: Rows whose label came, for the training table; each once.
    """

    answered: list[Answered] = []
    labelled: list[Labelled] = []
    records: int = 0
    more: bool = False


class Counts(msgspec.Struct):
    """What happened to the rows and labels of the log.

    Every label is counted once below `labels`, and every row that is not forgotten stands in memory or was joined.

    Attributes:
        predictions, labels: Rows answered and labels received, all of them.
        repeated_predictions: Rows with an id that was there already; the first one counts.
        repeated_labels: Labels that said the same again.
        conflicting_labels: Labels that said something else than the first one, which counts.
        unknown_labels: Labels that wait for a row with their id.
        forgotten_rows: Rows that were dropped without a label, because enough newer ones came.
        forgotten_labels: Unknown labels that were dropped, because too many waited.
        dropped: Rows that another version was to score and could not, because its queue was full.
        failed: Rows of which another version made nothing but an error.
        damaged: Bytes of the log that could not be read.
        unrecorded: Answered requests that a full log did not take, by its policy `drop`.
        set_aside: By reason: labelled rows that the training table could not take.
    """

    predictions: int = 0
    labels: int = 0
    joined: int = 0
    repeated_predictions: int = 0
    repeated_labels: int = 0
    conflicting_labels: int = 0
    unknown_labels: int = 0
    forgotten_rows: int = 0
    forgotten_labels: int = 0
    dropped: int = 0
    failed: int = 0
    damaged: int = 0
    unrecorded: int = 0
    set_aside: dict[str, int] = {}


class _Score(NamedTuple):
    """What a version that did not answer a row made of it: nothing when it failed, or was not asked."""

    time: datetime
    version: int
    said: Scored | None
    dropped: bool
    segment: str


class _Waiting(NamedTuple):
    """A label whose row is not there: it did not come yet, or it was forgotten, and then the label is `of_old`."""

    item: LabelItem
    received: datetime
    segment: str
    of_old: bool


def write_counts(folder: Path, counts: Counts) -> None:
    """Leave the counts beside the log, for the verbs and the server that tell them to people."""
    write_whole(folder / _COUNTS, msgspec.json.encode(counts), durable=False)


def read_counts(folder: Path) -> Counts | None:
    """The counts of the loop that joins this log, as of its last look; None when none ever looked."""
    try:
        return msgspec.json.decode(read_regular(folder / _COUNTS), type=Counts)
    except (OSError, msgspec.MsgspecError):
        return None


class Traffic:
    """Recent rows with their predictions and labels.

    Labels come late, early, twice, contradicting each other and for ids that nobody predicted. Of several labels of a
    row, and of several rows with one id, the first counts; the others are counted.

    Args:
        folder: The log.
        keep: How many of the newest rows stay in memory, at least (and less than twice as many).
        wait: How many labels, and how many rows' scores, wait for their row, at most.
    """

    def __init__(self, folder: Path, *, keep: int = _KEEP, wait: int = _KEEP) -> None:
        self._reader = LogReader(folder)
        self._position = Position()
        self._keep, self._wait = keep, wait
        self._first = 0
        self._numbers: dict[str, int] = {}
        self._ids: list[str] = []
        self._requests: list[str] = []
        self._holders: list[str] = []
        self._features: list[dict[str, Any] | None] = []
        self._labels: list[Any] = []
        self._times = np.empty(0, dtype=np.int64)
        self._label_times = np.empty(0, dtype=np.int64)
        self._arms = np.empty(0, dtype=np.int64)
        self._shares = np.empty(0, dtype=np.float64)
        self._leads = np.empty(0, dtype=np.bool_)
        self._scores: dict[int, NDArray[np.float64]] = {}
        self._values: dict[int, NDArray[Any]] = {}
        self._asked: dict[int, NDArray[np.bool_]] = {}
        self._unknown: OrderedDict[str, _Waiting] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._early: OrderedDict[tuple[str, str], list[_Score]] = OrderedDict()
        self._needed = Needed()
        self.counts = Counts()
        self.newest: datetime | None = None
        self._forgotten_until: datetime | None = None

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def forgotten_until(self) -> datetime | None:
        """When the newest row was answered that is not in memory any more."""
        return self._forgotten_until

    @property
    def waiting(self) -> int:
        """Rows in memory that have no label."""
        return int((self._label_times[: len(self)] == _NEVER).sum())

    def take(self, *, limit: int = _READ) -> Arrived:
        """Read what was appended to the log since the last look, up to about `limit` records, and join it."""
        batch = self._reader.read(self._position, limit=limit)
        self._position = batch.position
        arrived = Arrived(records=len(batch.records), more=batch.more)
        records = iter(batch.records)
        for segment, count in batch.segments.items():
            self.fold(islice(records, count), segment, arrived)
        self.counts.damaged += batch.damaged
        return arrived

    def fold(self, records: Iterable[Record], segment: str = "", arrived: Arrived | None = None) -> Arrived:
        """Join records in the order of the log; however they are cut into calls, the result is the same."""
        arrived = arrived or Arrived()
        for record in records:
            self._needed.record(segment, record.time)
            match record:
                case PredictionRecord():
                    self._take_predictions(record, segment, arrived)
                case ShadowRecord():
                    self._take_shadow(record, segment)
                case LabelRecord():
                    self.counts.labels += len(record.labels)
                    for item in record.labels:
                        self._take_label(item, record.time, segment, arrived)
                case UnrecordedRecord():
                    self.counts.unrecorded += record.records
        return arrived

    def outcomes(
        self, since: datetime | None = None, *, last: int | None = None, before: datetime | None = None
    ) -> Outcomes:
        """Rows with what is known of their labels.

        Args:
            since: Only rows that were answered at or after this time.
            last: Only so many of the newest rows.
            before: Of the rows that were answered before this time only `last`, and all that came after those.
        """
        total = len(self)
        counted = np.arange(total)
        if before is not None:
            counted = counted[self._times[:total] < microsecond(before)]
        chosen = np.arange(0 if last is None or len(counted) <= last else counted[-last], total)
        if since is not None:
            chosen = chosen[self._times[chosen] >= microsecond(since)]
        asked = {version: mask[chosen] for version, mask in self._asked.items() if mask[chosen].any()}
        return Outcomes(
            times=self._times[chosen],
            label_times=self._label_times[chosen],
            labels=_objects([self._labels[place] for place in chosen]),
            predictions={version: _flat(self._scores[version][chosen]) for version in asked},
            values={version: self._values[version][chosen] for version in asked if version in self._values},
            asked=asked,
            arms=self._arms[chosen],
            propensities=self._shares[chosen],
            leads=self._leads[chosen],
        )

    def scores(self, version: int, numbers: ArrayLike) -> NDArray[np.float64] | None:
        """A version's scores of rows, NaN where it did not predict or the row is forgotten; None when it never did."""
        known = self._scores.get(version)
        if known is None:
            return None
        places = np.asarray(numbers, dtype=np.int64) - self._first
        found = known[np.maximum(places, 0)]
        found[places < 0] = np.nan
        return _flat(found)

    def values(self, version: int, numbers: ArrayLike) -> NDArray[Any] | None:
        """The labels that a classifier gave rows, None where `scores` has none; None for a regression."""
        known = self._values.get(version)
        if known is None:
            return None
        places = np.asarray(numbers, dtype=np.int64) - self._first
        found = known[np.maximum(places, 0)]
        found[places < 0] = None
        return found

    def asked(self, version: int, numbers: ArrayLike) -> NDArray[np.bool_]:
        """Of which rows a version was asked, those that are forgotten excepted."""
        places = np.asarray(numbers, dtype=np.int64) - self._first
        known = self._asked.get(version)
        return np.zeros(len(places), dtype=bool) if known is None else known[np.maximum(places, 0)] & (places >= 0)

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

    def released(self, *, seen: datetime, before: datetime) -> Position:
        """How far each segment was read of which no record is needed to build this view again.

        Args:
            seen: What was recorded at or after this time has not been looked at by everybody.
            before: Rows that were answered before this time are not waited for any more, should they have no label.
        """
        needed = self._needed.names(first=self._first, seen=seen, before=before)
        free = {name: offset for name, offset in self._position.segments.items() if name not in needed}
        return Position(self._position.records, free)

    def _take_predictions(self, record: PredictionRecord, segment: str, arrived: Arrived) -> None:
        moment = microsecond(record.time)
        self.newest = record.time if self.newest is None else max(self.newest, record.time)
        self.counts.predictions += len(record.rows)
        for row in record.rows:
            if row.id in self._numbers:
                self.counts.repeated_predictions += 1
                continue
            if len(self) >= 2 * self._keep:
                self._forget(self._keep)
            place = len(self)
            number = self._first + place
            self._make_room(place + 1)
            self._numbers[row.id] = number
            self._ids.append(row.id)
            self._requests.append(record.request)
            self._holders.append(segment)
            self._labels.append(None)
            self._features.append(row.features)
            self._times[place], self._label_times[place], self._arms[place] = moment, _NEVER, row.arm
            self._shares[place], self._leads[place] = row.propensity, row is record.rows[0]
            self._needed.row(segment, number)
            for version, scored in row.predictions.items():
                self._score(version, place, scored)
            arrived.answered.append(Answered(number, record.time, row.features))
            for score in self._early.pop((record.request, row.id), ()):
                self._needed.found(score.segment)
                if score.time >= record.time:  # else it is about an older row of that name
                    self._take_score(number, score)
            if row.id in self._unknown:
                self._take_early(row.id, arrived)

    def _take_shadow(self, record: ShadowRecord, segment: str) -> None:
        for row, (request, one) in enumerate(zip(record.requests, record.ids, strict=True)):
            said = None if record.error is not None else record.predictions[row]
            score = _Score(record.time, record.version, said, record.error == DROPPED, segment)
            number = self._numbers.get(one)
            if number is None:
                self._take_early_score(request, one, score)
            elif self._requests[number - self._first] == request:
                self._take_score(number, score)

    def _take_score(self, number: int, score: _Score) -> None:
        place = number - self._first
        self._needed.speaks(score.segment, self._holders[place], number)
        if score.said is not None:
            self._score(score.version, place, score.said)
        elif score.dropped:
            self.counts.dropped += 1
        else:
            self.counts.failed += 1
            self._columns(score.version, 1)
            self._asked[score.version][place] = True

    def _take_early_score(self, request: str, one: str, score: _Score) -> None:
        """Several processes write to the log, so a score may be read before its row; it waits as a label does."""
        self._early.setdefault((request, one), []).append(score)
        self._needed.label(score.segment)
        if len(self._early) > self._wait:
            for old in self._early.popitem(last=False)[1]:
                self._needed.found(old.segment)

    def _take_label(self, item: LabelItem, received: datetime, segment: str, arrived: Arrived) -> None:
        number = self._numbers.get(item.id)
        if number is None:
            self._take_unknown(item, received, segment)
            return
        place = number - self._first
        if self._label_times[place] != _NEVER:
            self._count_again(self._labels[place], item.label)
            return
        self._labels[place], self._label_times[place] = item.label, microsecond(item.time)
        self.counts.joined += 1
        self._needed.joined(segment, self._holders[place], number)
        features = self._features[place]
        assert features is not None
        arrived.labelled.append((features, item.label, item.time))
        self._features[place] = None

    def _take_unknown(self, item: LabelItem, received: datetime, segment: str) -> None:
        if item.id in self._unknown:
            self._count_again(self._unknown[item.id].item.label, item.label)
            return
        self._unknown[item.id] = _Waiting(item, received, segment, item.id in self._gone)
        self._needed.label(segment)
        self.counts.unknown_labels += 1
        if len(self._unknown) > self._wait:
            self._unknown.popitem(last=False)
            self.counts.unknown_labels -= 1
            self.counts.forgotten_labels += 1

    def _take_early(self, one: str, arrived: Arrived) -> None:
        """Join a label that came before its row, unless it is of a row of that name that was forgotten."""
        waiting = self._unknown[one]
        if waiting.of_old:
            return
        del self._unknown[one]
        self.counts.unknown_labels -= 1
        self._needed.found(waiting.segment)
        self._take_label(waiting.item, waiting.received, waiting.segment, arrived)

    def _count_again(self, first: Label, label: Label) -> None:
        if first == label:
            self.counts.repeated_labels += 1
        else:
            self.counts.conflicting_labels += 1

    def _score(self, version: int, place: int, scored: Scored) -> None:
        values = scored[1:] if len(scored) > 1 else scored
        self._columns(version, len(values))
        self._scores[version][place] = [np.nan if value is None else value for value in values]
        if len(scored) > 1:
            self._label(version, place, scored[0])
        self._asked[version][place] = True

    def _label(self, version: int, place: int, label: Any) -> None:
        """What was answered, beside its scores; of equal texts one is kept."""
        known = self._values.get(version)
        if known is None:
            known = self._values[version] = np.full(len(self._times), None, dtype=object)
        known[place] = sys.intern(label) if isinstance(label, str) else label

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
        self._shares = np.concatenate([self._shares, np.zeros(more)])
        self._leads = np.concatenate([self._leads, np.zeros(more, dtype=bool)])
        for version, known in self._scores.items():
            self._scores[version] = np.concatenate([known, np.full((more, known.shape[1]), np.nan)])
            self._asked[version] = np.concatenate([self._asked[version], np.zeros(more, dtype=bool)])
        for version, given in self._values.items():
            self._values[version] = np.concatenate([given, np.full(more, None, dtype=object)])

    def _forget(self, cut: int) -> None:
        """Drop the oldest rows."""
        self.counts.forgotten_rows += int((self._label_times[:cut] == _NEVER).sum())
        newest = moment(int(self._times[:cut].max()))
        self._forgotten_until = newest if self._forgotten_until is None else max(newest, self._forgotten_until)
        for one in self._ids[:cut]:
            del self._numbers[one]
            self._gone[one] = None
        while len(self._gone) > self._wait:
            self._gone.popitem(last=False)
        for column in (self._ids, self._requests, self._holders, self._labels, self._features):
            del column[:cut]
        self._first += cut
        self._times, self._label_times, self._arms = self._times[cut:], self._label_times[cut:], self._arms[cut:]
        self._shares, self._leads = self._shares[cut:], self._leads[cut:]
        self._asked = {version: mask[cut:] for version, mask in self._asked.items() if mask[cut:].any()}
        self._scores = {version: known[cut:] for version, known in self._scores.items() if version in self._asked}
        self._values = {version: given[cut:] for version, given in self._values.items() if version in self._asked}


def _flat(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores[:, 0] if scores.shape[1] == 1 else scores


def _objects(values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
