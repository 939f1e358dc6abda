"""Rows that keep coming: from a source, through the champion, to a sink, so that no row is lost and none is said twice.

Kafka and its like are adapters: whatever has `name` and `take` is a source, whatever has `begin`, `write` and `close` a
sink.
"""

from homeostat.cd.stream.champion import Champions
from homeostat.cd.stream.run import Streamed, stream
from homeostat.cd.stream.sinks import DeadRow, JsonLinesSink, OutputSink, ParquetSink, StreamAnswer, StreamSink
from homeostat.cd.stream.sources import FolderSource, InputSource, StreamSource, TailSource, Taken

__all__ = [
    "Champions",
    "DeadRow",
    "FolderSource",
    "InputSource",
    "JsonLinesSink",
    "OutputSink",
    "ParquetSink",
    "StreamAnswer",
    "StreamSink",
    "StreamSource",
    "Streamed",
    "TailSource",
    "Taken",
    "stream",
]
