"""Join labels to predictions by row id: once each, however late, early, often or contradictory they arrive.

`Join` folds the records of the prediction log in their order; folding them again from the start gives the same state,
so nothing of it has to survive a crash. `drain` turns the same records into tables.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from homeostat.cd.log import Label, LabelRecord, LogReader, Position, PredictionRecord, Record, Scored, ShadowRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from homeostat.core.schema import Column


class Matured(msgspec.Struct, frozen=True):
    """A row whose label is known.

    Attributes:
        request, id: Of the prediction.
        time: When it was answered.
        version, propensity: Which arm answered, and the probability with which it was chosen.
        features: Raw inputs.
        scores: Version to `[value, probability, ...]`; None for one that was asked and made nothing of the row.
        label, label_time: What it turned out to be, and since when that is known.
    """

    request: str
    id: str
    time: datetime
    version: int
    propensity: float
    features: dict[str, Any]
    scores: dict[int, Scored | None]
    label: Label
    label_time: datetime


class JoinCounts(msgspec.Struct):
    """What happened to the rows and labels of the log.

    Attributes:
        predictions, labels: Rows answered and labels received, all of them.
        joined: Rows that got their label.
        repeated_predictions: Rows with an id that was there already; the first one counts.
        repeated_labels: Labels that said the same again.
        conflicting_labels: Labels that said something else than the first one, which counts.
        unknown_labels: Labels for ids that no prediction has, so far.
        forgotten: Rows and early labels dropped because too many waited.
        unscored: Rows that matured before every arm had reported, because it never did.
    """

    predictions: int = 0
    labels: int = 0
    joined: int = 0
    repeated_predictions: int = 0
    repeated_labels: int = 0
    conflicting_labels: int = 0
    unknown_labels: int = 0
    forgotten: int = 0
    unscored: int = 0


class _Row(msgspec.Struct):
    request: str
    time: datetime
    version: int
    propensity: float
    features: dict[str, Any]
    scores: dict[int, Scored | None]
    awaited: set[int]
    label: Label | None = None
    label_time: datetime | None = None
    looks: int = 0


class Join:
    """Rows that wait for their label, and what became of the others.

    Args:
        keep: How many rows, finished ids and early labels are remembered, each; the oldest are forgotten and counted.
        patience: How many looks at the log a labelled row waits for arms that have not reported.

    Example:
        >>> join, reader = Join(), LogReader(folder)
        >>> batch = reader.read()
        >>> rows = join.take(batch.records)   # each row comes out once, when its label is there
    """

    def __init__(self, *, keep: int = 1_000_000, patience: int = 3) -> None:
        self._keep, self._patience = keep, patience
        self._waiting: OrderedDict[str, _Row] = OrderedDict()
        self._labelled: dict[str, _Row] = {}
        self._done: OrderedDict[str, Label] = OrderedDict()
        self._early: OrderedDict[str, tuple[Label, datetime]] = OrderedDict()
        self.counts = JoinCounts()

    def take(self, records: Iterable[Record]) -> list[Matured]:
        """Fold records in the order of the log; gives the rows that matured by them."""
        for record in records:
            match record:
                case PredictionRecord():
                    self._predictions(record)
                case ShadowRecord():
                    self._scores(record)
                case LabelRecord():
                    for item in record.labels:
                        self.counts.labels += 1
                        self._label(item.id, item.label, item.time)
        self._forget()
        return self._matured()

    @property
    def waiting(self) -> int:
        """Rows without a label."""
        return len(self._waiting)

    def _predictions(self, record: PredictionRecord) -> None:
        for row in record.rows:
            self.counts.predictions += 1
            if row.id in self._waiting or row.id in self._labelled or row.id in self._done:
                self.counts.repeated_predictions += 1
                continue
            scores: dict[int, Scored | None] = dict(row.predictions)
            awaited = set(record.awaits) - scores.keys()
            self._waiting[row.id] = _Row(
                record.request, record.time, row.arm, row.propensity, row.features, scores, awaited
            )
            if row.id in self._early:
                self.counts.unknown_labels -= 1
                self._label(row.id, *self._early.pop(row.id))

    def _scores(self, record: ShadowRecord) -> None:
        found: Sequence[Scored | None] = record.predictions if record.error is None else [None] * len(record.ids)
        for request, name, scored in zip(record.requests, record.ids, found, strict=True):
            row = self._waiting.get(name) or self._labelled.get(name)
            if row is not None and row.request == request:
                row.scores[record.version] = scored
                row.awaited.discard(record.version)

    def _label(self, name: str, label: Label, moment: datetime) -> None:
        row = self._waiting.pop(name, None)
        if row is not None:
            row.label, row.label_time = label, moment
            self._labelled[name] = row
            return
        known = self._known(name)
        if known is None:
            self._early[name] = (label, moment)
            self.counts.unknown_labels += 1
        elif known == label:
            self.counts.repeated_labels += 1
        else:
            self.counts.conflicting_labels += 1

    def _known(self, name: str) -> Label | None:
        if name in self._labelled:
            return self._labelled[name].label
        if name in self._early:
            return self._early[name][0]
        return self._done.get(name)

    def _matured(self) -> list[Matured]:
        matured = []
        for name, row in list(self._labelled.items()):
            row.looks += 1
            if row.awaited and row.looks <= self._patience:
                continue
            assert row.label is not None
            assert row.label_time is not None
            del self._labelled[name]
            self._done[name] = row.label
            self.counts.joined += 1
            self.counts.unscored += bool(row.awaited)
            matured.append(
                Matured(
                    row.request,
                    name,
                    row.time,
                    row.version,
                    row.propensity,
                    row.features,
                    row.scores,
                    row.label,
                    row.label_time,
                )
            )
        return matured

    def _forget(self) -> None:
        for table in (self._waiting, self._early):
            while len(table) > self._keep:
                table.popitem(last=False)
                self.counts.forgotten += 1
        while len(self._done) > self._keep:
            self._done.popitem(last=False)


class Drained(msgspec.Struct, frozen=True):
    """A stretch of the log as tables.

    Attributes:
        predictions: One row per answered row: request, id, time, version, propensity, value, score (list of
            probabilities, empty for a regression), then the raw inputs.
        labels: One row per label as it came: id, label, label_time, received.
        position: Where the next stretch begins.
        damaged: Bytes of the log that could not be read.
    """

    predictions: pl.DataFrame
    labels: pl.DataFrame
    position: Position
    damaged: int


def drain(folder: Path, after: Position | None, columns: Sequence[Column], *, limit: int = 1_000_000) -> Drained:
    """What was appended to a log since a position, as tables.

    Args:
        folder: The log's folder.
        after: Where to begin; None for the start.
        columns: The raw inputs, in the types that the table shall have.
        limit: About how many records to read at most.
    """
    batch = LogReader(folder).read(after, limit=limit)
    answered = [record for record in batch.records if isinstance(record, PredictionRecord)]
    labels = [
        (item, record.time) for record in batch.records if isinstance(record, LabelRecord) for item in record.labels
    ]
    return Drained(_predictions_table(answered, columns), _labels_table(labels), batch.position, batch.damaged)


def _predictions_table(records: Sequence[PredictionRecord], columns: Sequence[Column]) -> pl.DataFrame:
    import polars as pl

    moment = pl.Datetime("us", "UTC")
    kinds: dict[str, Any] = {"number": pl.Float64, "integer": pl.Int64, "boolean": pl.Boolean, "time": moment}
    rows = [(record, row, row.predictions[row.arm]) for record in records for row in record.rows]
    return pl.DataFrame(
        [
            pl.Series("request", [record.request for record, _, _ in rows], dtype=pl.String),
            pl.Series("id", [row.id for _, row, _ in rows], dtype=pl.String),
            pl.Series("time", [record.time for record, _, _ in rows], dtype=moment),
            pl.Series("version", [row.arm for _, row, _ in rows], dtype=pl.Int64),
            pl.Series("propensity", [row.propensity for _, row, _ in rows], dtype=pl.Float64),
            _values("value", [scored[0] for _, _, scored in rows]),
            pl.Series("score", [scored[1:] for _, _, scored in rows], dtype=pl.List(pl.Float64)),
            *(
                pl.Series(
                    column.name,
                    [row.features.get(column.name) for _, row, _ in rows],
                    dtype=kinds.get(column.kind, pl.String),
                    strict=False,
                )
                for column in columns
            ),
        ]
    )


def _labels_table(labels: Sequence[tuple[Any, datetime]]) -> pl.DataFrame:
    import polars as pl

    moment = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        [
            pl.Series("id", [item.id for item, _ in labels], dtype=pl.String),
            _values("label", [item.label for item, _ in labels]),
            pl.Series("label_time", [item.time for item, _ in labels], dtype=moment),
            pl.Series("received", [received for _, received in labels], dtype=moment),
        ]
    )


def _values(name: str, values: list[Any]) -> pl.Series:
    """A column in the type of its values: truth values, whole numbers, numbers, or text when they are mixed."""
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds <= {int}:
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(name, values, dtype=pl.Float64)
    return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
