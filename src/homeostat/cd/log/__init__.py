"""The prediction log: every answered prediction and every label, in append-only checksummed segments."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.log.archive import Archive as Archive
    from homeostat.cd.log.reader import LogReader as LogReader
    from homeostat.cd.log.reader import Position as Position
    from homeostat.cd.log.reader import retire as retire
    from homeostat.cd.log.records import BlockRecord as BlockRecord
    from homeostat.cd.log.records import LabelItem as LabelItem
    from homeostat.cd.log.records import LabelRecord as LabelRecord
    from homeostat.cd.log.records import Packed as Packed
    from homeostat.cd.log.records import PredictionRecord as PredictionRecord
    from homeostat.cd.log.records import Record as Record
    from homeostat.cd.log.records import RowRecord as RowRecord
    from homeostat.cd.log.records import Scored as Scored
    from homeostat.cd.log.records import ShadowRecord as ShadowRecord
    from homeostat.cd.log.records import UnrecordedRecord as UnrecordedRecord
    from homeostat.cd.log.writer import LogStats as LogStats
    from homeostat.cd.log.writer import LogWriter as LogWriter
    from homeostat.cd.log.writer import WhenFull as WhenFull

__getattr__ = loader(
    __name__,
    {
        "archive": ("Archive",),
        "reader": ("LogReader", "Position", "retire"),
        "records": (
            "BlockRecord",
            "LabelItem",
            "LabelRecord",
            "Packed",
            "PredictionRecord",
            "Record",
            "RowRecord",
            "Scored",
            "ShadowRecord",
            "UnrecordedRecord",
            "Written",
        ),
        "writer": ("LogStats", "LogWriter", "WhenFull"),
    },
)
