"""The prediction log: every answered prediction and every label, in append-only checksummed segments."""

from homeostat.cd.log.reader import Batch, LogReader, Position, retire
from homeostat.cd.log.records import (
    Label,
    LabelItem,
    LabelRecord,
    PredictionRecord,
    Record,
    RowRecord,
    Scored,
    ShadowRecord,
)
from homeostat.cd.log.writer import LogStats, LogWriter

__all__ = [
    "Batch",
    "Label",
    "LabelItem",
    "LabelRecord",
    "LogReader",
    "LogStats",
    "LogWriter",
    "Position",
    "PredictionRecord",
    "Record",
    "RowRecord",
    "Scored",
    "ShadowRecord",
    "retire",
]
