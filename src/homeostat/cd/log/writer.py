"""Append to the prediction log: beyond the reach of a SIGKILL before `append` returns, on the disk within 100 ms."""

from __future__ import annotations

import errno
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, Self

import msgspec

from homeostat.cd.log import segments
from homeostat.cd.log.records import LabelRecord, UnrecordedRecord
from homeostat.cd.log.tail import Tail
from homeostat.core.clock import stopwatch
from homeostat.core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from homeostat.cd.log.records import Written

WhenFull = Literal["block", "drop"]
"""What becomes of a prediction that the log cannot take: it is not answered, or it is answered, counted and noted."""

_SYNC_SECONDS = 0.05
_AGAIN_BYTES = 4_096
"""A log that refused is good again when it has room for so much."""


class LogStats(msgspec.Struct, frozen=True):
    """What a writer has done since it was opened.

    Attributes:
        records, bytes: Appended, frames included.
        segments: Begun.
        repaired: Bytes of torn tails that were cut off at the start.
        faults: Appends and syncs that were refused.
        fault: The latest refusal while it lasts, else None.
        pending: Records that a power cut would lose, because they are not on the disk yet.
        dropped: Records that were not taken, by the policy `drop`.
        held: Bytes of the whole folder, of all its writers, as of the last time this one looked.
        refuses: Whether `append` raises while the fault lasts.
    """

    records: int
    bytes: int
    segments: int
    repaired: int
    faults: int
    fault: str | None
    pending: int = 0
    dropped: int = 0
    held: int = 0
    refuses: bool = False


class LogWriter:
    """The writing end of a log folder; threads may share it, and several processes may each have their own.

    Args:
        folder: The log's folder; created when absent. Torn tails of dead writers are repaired.
        segment_bytes: A segment is closed before it grows beyond this size.
        segment_seconds: A segment that holds records is closed at this age.
        most_bytes: The folder, with the segments of all its writers, does not grow beyond this size, and a segment not
            beyond a quarter of it; None for no limit.
        when_full: What becomes of a prediction when that is reached or the disk refuses. Labels are never dropped.
        sync: Puts a file on the disk, by its descriptor.

    Example:
        >>> with LogWriter(folder) as log:
        ...     log.append(record)   # from here on a SIGKILL cannot lose it
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = 64 << 20,
        segment_seconds: float = 3600.0,
        most_bytes: int | None = None,
        when_full: WhenFull = "block",
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        self._folder = folder
        # What is being written cannot be deleted, so it is never the most of a bounded log.
        self._segment_bytes = segment_bytes if most_bytes is None else min(segment_bytes, most_bytes // 4)
        self._segment_seconds = segment_seconds
        self._most_bytes, self._when_full = most_bytes, when_full
        self._fsync = sync
        self._encode = msgspec.msgpack.Encoder().encode
        self._lock = threading.Lock()
        self._records = self._bytes = self._segments = self._faults = self._synced = self._dropped = self._held = 0
        self._fault: str | None = None
        self._unsafe = False
        self._waiting: list[int] = []  # descriptors for the next sync
        self._gap: UnrecordedRecord | None = None
        self._closed = threading.Event()
        try:
            self._repaired = segments.repair(folder)
            self._begin()
        except OSError as error:
            raise StoreError(f"the prediction log {folder} cannot be opened: {error}", hint=_HINT) from error
        self._syncer = threading.Thread(target=self._sync_often, name="log-sync", daemon=True)
        self._syncer.start()

    def append(self, record: Written) -> None:
        """Have one record in the file, or, by the policy `drop`, have it counted as dropped.

        Raises:
            StoreError: It was not taken; the log is as it was before.
        """
        frame = segments.frame(self._encode(record))
        with self._lock:
            # The room is 0 whenever something has to be looked at first.
            if self._tail.size + len(frame) <= self._room or self._make_room(record, len(frame)):
                self._tail.put(frame)
                self._records += 1

    def sync(self) -> None:
        """Put everything appended so far on the disk.

        Raises:
            StoreError: The disk refused.
        """
        if not self._unsafe:
            self._sync()
        if self._unsafe:
            raise StoreError(str(self._fault), hint=_HINT)

    def stats(self) -> LogStats:
        """What it has done so far."""
        return LogStats(
            records=self._records,
            bytes=self._bytes + self._tail.size - len(segments.HEADER),
            segments=self._segments,
            repaired=self._repaired,
            faults=self._faults,
            fault=self._fault,
            pending=self._records - self._synced,
            dropped=self._dropped,
            held=self._held,
            refuses=self._fault is not None and self._when_full == "block",
        )

    def close(self) -> None:
        """Seal the segment and put it on the disk. Closing twice changes nothing.

        Raises:
            StoreError: The disk refused.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        self._syncer.join()
        with self._lock:
            if self._gap is not None and not self._unsafe:
                with suppress(OSError):  # without room the gap stays untold; it is counted all the same
                    self._admit(0)
            self._waiting.append(self._tail.seal())
        problem = self._put_on_disk(self._records)
        with self._lock:
            self._unsafe, self._when_full = True, "block"
            self._refuse("is closed")
        if problem is not None:
            raise StoreError(f"the prediction log {self._folder} cannot be put on the disk: {problem}", hint=_HINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        self._tail = Tail(self._folder)
        self._room = 0
        self._segments += 1
        self._begun = stopwatch()

    def _make_room(self, record: Written, length: int) -> bool:
        """Whether a frame can be put now: the slow part of `append`, when room ran out or something is wrong.

        Raises:
            StoreError: It cannot, and the record is not one to be dropped.
        """
        if not self._unsafe:
            try:
                self._admit(length)
            except OSError as error:
                self._faults += 1
                self._refuse(f"cannot be written: {error.strerror}")
            else:
                self._fault = None
                return True
        if self._when_full == "block" or isinstance(record, LabelRecord):
            raise StoreError(str(self._fault), hint=_HINT)
        self._dropped += 1
        before = self._gap or UnrecordedRecord(record.time, record.time, 0)
        self._gap = UnrecordedRecord(record.time, before.since, before.records + 1)
        return False

    def _have_room(self, length: int) -> None:
        """See that a frame of so many bytes can be put.

        Raises:
            OSError: The disk refused or the limit is reached; the log is as it was before.
        """
        if self._tail.size + length > self._segment_bytes and self._tail.size > len(segments.HEADER):
            self._rotate()
        wanted = self._tail.size + length
        self._held = segments.held(self._folder, but=self._tail.path) + self._tail.size
        limit = sys.maxsize if self._most_bytes is None else self._tail.size + self._most_bytes - self._held
        if wanted > limit:
            raise OSError(errno.EDQUOT, f"it holds {self._held:,} bytes and may hold {self._most_bytes:,}")
        if wanted > self._tail.room:
            self._tail.make_room(length)
        self._room = min(self._tail.room, limit, max(self._segment_bytes, wanted))

    def _admit(self, length: int) -> None:
        """See that a frame can be put, behind a word on how much is missing before it.

        Raises:
            OSError: As for `_have_room`.
        """
        gap = b"" if self._gap is None else segments.frame(self._encode(self._gap))
        self._have_room(len(gap) + length)
        if gap:
            self._tail.put(gap)
            self._records += 1
            self._gap = None

    def _refuse(self, reason: str) -> None:
        self._fault, self._room = f"the prediction log {self._folder} {reason}", 0

    def _rotate(self) -> None:
        # The next segment exists before the old one is given up: a full disk leaves the writer where it was.
        old = self._tail
        self._begin()
        self._bytes += old.size - len(segments.HEADER)
        self._waiting.append(old.seal())

    def _sync_often(self) -> None:
        pause = _SYNC_SECONDS
        while not self._closed.wait(pause):
            begun = stopwatch()
            if self._fault is not None:
                self._recover()
            if not self._unsafe and (self._records != self._synced or self._waiting):
                self._sync()
            pause = max(0.0, _SYNC_SECONDS - (stopwatch() - begun))

    def _sync(self) -> None:
        with self._lock:
            records = self._records
            self._waiting.append(self._tail.duplicate())
        problem = self._put_on_disk(records)
        if problem is not None:
            # After a failed fsync the kernel may have dropped the pages: nothing more is acknowledged in this segment.
            with self._lock:
                self._faults, self._unsafe = self._faults + 1, True
                self._refuse(f"cannot be put on the disk: {problem}")
        self._rotate_aged()

    def _put_on_disk(self, records: int) -> str | None:
        """Sync and close what waits for it, which holds so many records; gives the disk's reason to refuse."""
        with self._lock:
            descriptors, self._waiting = self._waiting, []
        try:
            for descriptor in descriptors:
                self._fsync(descriptor)
        except OSError as error:
            return error.strerror or str(error)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._synced = max(self._synced, records)
        return None

    def _rotate_aged(self) -> None:
        with self._lock:
            aged = self._tail.size > len(segments.HEADER) and stopwatch() - self._begun > self._segment_seconds
            if aged and self._fault is None:
                try:
                    self._rotate()
                except OSError:
                    self._faults += 1

    def _recover(self) -> None:
        """Take records again when that is possible: nobody appends to a log that made its server unready."""
        with self._lock:
            try:
                if self._unsafe:
                    if self._tail.size > len(segments.HEADER):
                        self._rotate()
                    self._fsync(self._tail.descriptor)
                    self._unsafe = False
                self._admit(_AGAIN_BYTES)
            except OSError:
                return
            self._fault = None


_HINT = (
    "free some space, let the log hold more or mend the folder's permissions; "
    "the server answers again as soon as the log can be written"
)
