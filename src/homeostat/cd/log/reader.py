"""Read the prediction log from a position on, and remove what nobody needs any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from homeostat.cd.log import segments
from homeostat.cd.log.columns import expand
from homeostat.cd.log.records import BlockRecord, LabelRecord, PredictionRecord, Record, ShadowRecord, Written
from homeostat.core.errors import IntegrityError

_CHUNK = 8 << 20
_GONE = 16
"""How many segments that are not there any more a position remembers."""


class Position(msgspec.Struct, frozen=True):
    """How far a reader has come.

    Attributes:
        records: Records read so far; only ever grows, so it can number what was made from them.
        segments: Segment name to the bytes read of it; more than one, because several servers may write at once.
    """

    records: int = 0
    segments: dict[str, int] = msgspec.field(default_factory=dict)


class Batch(msgspec.Struct, frozen=True):
    """A stretch of the log.

    Attributes:
        records: In the order of the segments, and within a segment as written.
        damaged: Bytes that were skipped because they are not what was written.
        more: Whether the limit ended the reading and more is there.
        segments: Segment name to how many of the records are from it, in the order of the records.
    """

    records: list[Record]
    position: Position
    damaged: int
    more: bool
    segments: dict[str, int]


class LogReader:
    """The reading end of a log folder. It writes nothing and may read while servers append.

    Example:
        >>> batch = LogReader(folder).read(Position())
        >>> later = LogReader(folder).read(batch.position)   # only what came since
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._decode: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Written)

    def read(self, after: Position | None = None, *, limit: int = 1_000_000) -> Batch:
        """Everything written after a position, up to about `limit` rows and labels.

        A frame that is being written, or was torn by a crash, ends the reading of its segment; it is read the next
        time, or cut off by the next writer.

        Raises:
            StoreError: A segment was written by a newer Homeostat.
            IntegrityError: A whole frame holds no record.
        """
        after = after or Position()
        records: list[Record] = []
        offsets: dict[str, int] = {}
        counts: dict[str, int] = {}
        damaged, more, held = 0, False, 0
        for path in segments.segments(self._folder):
            offset, before = after.segments.get(path.name, 0), len(records)
            while held < limit:
                try:
                    found, offset, last = _stretch(path, offset)
                except FileNotFoundError:
                    break  # deleted meanwhile
                read = [self._record(path, payload) for payload in found.payloads]
                held += sum(map(_size, read))
                records += read
                damaged += found.damaged
                if last:
                    break
            else:
                more = True
            offsets[path.name] = offset
            if len(records) > before:
                counts[path.name] = len(records) - before
        # A segment that is not there may be put back by its writer.
        gone = sorted(after.segments.keys() - offsets.keys(), key=lambda name: segments.number(self._folder / name))
        offsets |= {name: after.segments[name] for name in gone[-_GONE:]}
        return Batch(records, Position(after.records + len(records), offsets), damaged, more, counts)

    def search(self, texts: Sequence[str]) -> Iterator[Record]:
        """The records in which one of these texts stands, and perhaps others; without decoding all the rest.

        A row that is called by its request and place is found by its request.
        """
        wanted = [text.encode() for text in texts]
        for path in segments.segments(self._folder):
            offset, last = 0, False
            while not last:
                try:
                    found, offset, last = _stretch(path, offset)
                except FileNotFoundError:
                    break
                for payload in found.payloads:
                    if any(text in payload for text in wanted):
                        yield self._record(path, payload)

    def _record(self, path: Path, payload: bytes) -> Record:
        try:
            record: Written = self._decode.decode(payload)
            return expand(record) if isinstance(record, BlockRecord) else record
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            what = f"log segment {path.name} holds a whole frame that is no record: {error}"
            raise IntegrityError(what, hint="was it written by a newer Homeostat?") from error


def _stretch(path: Path, offset: int) -> tuple[segments.Scan, int, bool]:
    """What stands in a segment behind an offset, where that ends, and whether there is no more."""
    data, begin = segments.read_from(path, offset, _CHUNK)
    found = segments.scan(data)
    if not found.consumed and len(data) == _CHUNK:
        data, begin = segments.read_from(path, offset, segments.LONGEST)
        found = segments.scan(data)
    if found.damaged:
        # A frame may have been written between the reading of its page and of a later one: what stands before a whole
        # frame is whole by now, or it never was.
        found = segments.scan(segments.read_from(path, offset, found.consumed)[0])
    last = not found.consumed or len(data) < _CHUNK
    return found, begin + found.consumed if found.consumed else offset, last


def _size(record: Record) -> int:
    """How many rows or labels it holds, at least 1."""
    match record:
        case PredictionRecord():
            return len(record.rows) or 1
        case LabelRecord():
            return len(record.labels) or 1
        case ShadowRecord():
            return len(record.ids) or 1
    return 1


def retire(folder: Path, read: Position, *, before: datetime | None = None, sync: Callable[[], None] = os.sync) -> int:
    """Delete sealed segments that have been read to their end.

    Args:
        folder: The log folder.
        read: The position of the slowest reader; nothing after it is touched.
        before: Keep segments that were written to at or after this time (aware UTC).
        sync: Puts on the disk what was made of the segments, before they go: the tables' writer does not.

    Returns:
        Bytes freed. The newest segment always stays, because its number is what the next one follows.
    """
    gone = []
    for path in segments.segments(folder)[:-1]:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        young = before is not None and datetime.fromtimestamp(status.st_mtime, UTC) >= before
        if not young and read.segments.get(path.name, 0) >= status.st_size and segments.is_sealed(path):
            gone.append((path, status.st_size))
    if gone:
        sync()
    for path, _ in gone:
        path.unlink(missing_ok=True)
    return sum(size for _, size in gone)
