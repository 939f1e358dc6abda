"""The prediction log as tables: answered predictions and labels in typed columns, kept beyond the life of the log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from homeostat.cd.log import LabelRecord, LogReader, Position, PredictionRecord
from homeostat.core.files import read_regular, write_whole
from homeostat.core.table.spec import TableSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from homeostat.cd.log import LabelItem
    from homeostat.core.store import Store

PREDICTIONS = TableSpec(time="time", key=("id",))
"""Of predictions with one id the first counts, as in the join."""
LABELS = TableSpec(time="received")
"""Every label as it came: what was said twice, or contradicted, stays visible."""

_MOMENT = pl.Datetime("us", "UTC")
_CHUNK = 50_000
_POSITION = "drained.json"


class Drained(msgspec.Struct, frozen=True):
    """A stretch of the log as tables.

    Attributes:
        predictions: One row per answered row: request, id, time, version, propensity, value, scores (the probabilities
            as JSON text, null for a regression), then each raw input as `input_<column>`.
        labels: One row per label as it came: id, label, label_time, received.
        damaged: Bytes of the log that could not be read.
        more: Whether the limit ended the reading and more is there.
    """

    predictions: pl.DataFrame
    labels: pl.DataFrame
    position: Position
    damaged: int
    more: bool


def drain(
    folder: Path,
    after: Position | None,
    inputs: Mapping[str, pl.DataType],
    label: pl.DataType,
    *,
    limit: int = 1_000_000,
) -> Drained:
    """What was appended to a log since a position, as tables.

    Args:
        folder: The log's folder.
        after: Where to begin; None for the start.
        inputs: The raw inputs, and the types that they have in the table; what does not fit becomes null.
        label: The type of the target.
        limit: About how many records to read at most.
    """
    batch = LogReader(folder).read(after, limit=limit)
    answered = [record for record in batch.records if isinstance(record, PredictionRecord)]
    labels = [
        (item, record.time) for record in batch.records if isinstance(record, LabelRecord) for item in record.labels
    ]
    tables = _predictions_table(answered, inputs, label), _labels_table(labels, label)
    return Drained(*tables, batch.position, batch.damaged, batch.more)


class Archive:
    """The tables `predictions` and `labels` of a loop, filled from its log.

    Appends are idempotent, so what was drained before a crash and not noted is drained again without harm; the noted
    position only saves the work.
    """

    def __init__(self, store: Store, loop: str) -> None:
        self._folder = store.log_folder(loop)
        self._note = self._folder / _POSITION
        self.predictions = store.table(loop, "predictions", PREDICTIONS)
        self.labels = store.table(loop, "labels", LABELS)

    @property
    def position(self) -> Position:
        """How far the tables hold the log."""
        try:
            return msgspec.json.decode(read_regular(self._note), type=Position)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Position()

    def fill(self, inputs: Mapping[str, pl.DataType], label: pl.DataType) -> Position:
        """Append what came since the last time; see `drain`. Gives the position that is reached.

        Numeric targets become floats, whichever they are, because a model may answer 30.7 where counts are predicted.
        """
        label = pl.Float64() if label.is_numeric() else label
        position, more = self.position, True
        while more:
            part = drain(self._folder, position, inputs, label, limit=_CHUNK)
            for table, rows in ((self.predictions, part.predictions), (self.labels, part.labels)):
                if rows.height:
                    table.append(rows, source="prediction log")
            more = part.more
            if part.position != position:
                position = part.position
                write_whole(self._note, msgspec.json.encode(position))
        return position


def _predictions_table(
    records: Sequence[PredictionRecord], inputs: Mapping[str, pl.DataType], label: pl.DataType
) -> pl.DataFrame:
    rows = [(record, row, row.predictions[row.arm]) for record in records for row in record.rows]
    return pl.DataFrame(
        [
            pl.Series("request", [record.request for record, _, _ in rows], dtype=pl.String),
            pl.Series("id", [row.id for _, row, _ in rows], dtype=pl.String),
            pl.Series("time", [record.time for record, _, _ in rows], dtype=_MOMENT),
            pl.Series("version", [row.arm for _, row, _ in rows], dtype=pl.Int64),
            pl.Series("propensity", [row.propensity for _, row, _ in rows], dtype=pl.Float64),
            _typed("value", [scored[0] for _, _, scored in rows], label),
            pl.Series("scores", [_text(scored[1:]) for _, _, scored in rows], dtype=pl.String),
            *_inputs([row.features for _, row, _ in rows], inputs),
        ]
    )


def _inputs(rows: list[dict[str, Any]], inputs: Mapping[str, pl.DataType]) -> list[pl.Series]:
    """The raw inputs in their types; column by column only where Polars would cut a number or finds a misfit."""
    whole = {name: dtype for name, dtype in inputs.items() if not dtype.is_integer()}
    try:
        frame = pl.DataFrame(rows, schema=whole) if rows and whole else pl.DataFrame()
    except pl.exceptions.PolarsError:
        frame = pl.DataFrame()
    columns = [
        _finite(frame[name]) if name in frame.columns else _typed(name, [row.get(name) for row in rows], dtype)
        for name, dtype in inputs.items()
    ]
    return [column.alias(f"input_{column.name}") for column in columns]


def _labels_table(labels: Sequence[tuple[LabelItem, datetime]], label: pl.DataType) -> pl.DataFrame:
    return pl.DataFrame(
        [
            pl.Series("id", [item.id for item, _ in labels], dtype=pl.String),
            _typed("label", [item.label for item, _ in labels], label),
            pl.Series("label_time", [item.time for item, _ in labels], dtype=_MOMENT),
            pl.Series("received", [received for _, received in labels], dtype=_MOMENT),
        ]
    )


def _typed(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    """A column of a type; what is not of it, and numbers that are not finite, become null."""
    if dtype.is_temporal():
        values = [value if isinstance(value, datetime) else None for value in values]
    elif dtype.is_integer():
        values = [None if isinstance(value, float) and not value.is_integer() else value for value in values]
    return _finite(pl.Series(name, values, dtype=dtype, strict=False).cast(dtype, strict=False))


def _finite(column: pl.Series) -> pl.Series:
    return column.set(~column.is_finite(), None) if column.dtype.is_float() else column


def _text(scores: list[Any]) -> str | None:
    return msgspec.json.encode(scores).decode() if scores else None
