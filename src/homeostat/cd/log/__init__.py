"""The prediction log: every answered prediction and every label, in append-only checksummed segments."""

from homeostat.cd.log.reader import Batch, LogReader, Position, retire
from homeostat.cd.log.records import (
    BlockRecord,
    Label,
    LabelItem,
    LabelRecord,
    Packed,
    PredictionRecord,
    Record,
    RowRecord,
    Scored,
    ShadowRecord,
    UnrecordedRecord,
    Written,
)
from homeostat.cd.log.writer import LogStats, LogWriter, WhenFull

__all__ = [
    "Batch",
    "BlockRecord",
    "Label",
    "LabelItem",
    "LabelRecord",
    "LogReader",
    "LogStats",
    "LogWriter",
    "Packed",
    "Position",
    "PredictionRecord",
    "Record",
    "RowRecord",
    "Scored",
    "ShadowRecord",
    "UnrecordedRecord",
    "WhenFull",
    "Written",
    "retire",
]
