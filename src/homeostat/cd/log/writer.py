"""Append to the prediction log: beyond the reach of a SIGKILL before `append` returns, on the disk within 100 ms."""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

import msgspec

from homeostat.cd.log import segments
from homeostat.cd.log.records import LabelRecord, UnrecordedRecord, Written
from homeostat.cd.log.tail import Tail
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS, StoreError

WhenFull = Literal["block", "drop"]
"""What becomes of a prediction that the log cannot take: it is not answered, or it is answered, counted and noted."""

_SYNC_SECONDS = 0.05
_AGAIN_BYTES = 4_096
"""A log that refused is good again when it has room for so much."""

_LOOK_BYTES = 256 << 10
"""How much of its folder others have filled is looked at again after so many bytes."""

HURT_SECONDS = 5.0
"""After somebody laid hands on a segment, its server is unready for so long: whoever asks for health shall see it."""

_BACK_SECONDS = 1.0
"""Between two attempts to put a segment back that the disk refuses."""

_logger = logging.getLogger("homeostat.log")


class LogStats(msgspec.Struct, frozen=True):
    """What a writer has done since it was opened.

    Attributes:
        records, bytes: Appended, frames included.
        repaired: Bytes of torn tails that were cut off at the start.
        faults: Appends and syncs that were refused.
        fault: The latest refusal while it lasts, else None.
        pending: Records that a power cut would lose, because they are not on the disk yet.
        dropped: Records that were not taken, by the policy `drop`.
        held: Bytes of the whole folder, of all its writers, as of the last time this one looked.
        refuses: Whether `append` raises while the fault lasts.
        damages: Times that a segment was deleted, cut or replaced while it was written.
        damage: The latest, until it is mended and for `HURT_SECONDS` at least, else None; records are taken meanwhile.
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
    damages: int = 0
    damage: str | None = None

    @property
    def good(self) -> bool:
        """Whether records are taken, and nobody lays hands on what was."""
        return not self.refuses and self.damage is None


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

    Attributes:
        singly: Whether records come one by one, each before the next one is made.

    Example:
        >>> with LogWriter(folder) as log:
        ...     log.append(record)   # from here on a SIGKILL cannot lose it
    """

    singly = False

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
        self._hurt: list[Tail] = []  # to be put back
        self._damages, self._damage = 0, ""
        self._hurt_until = self._back_at = 0.0
        self._syncing = threading.Lock()
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
        frame = self._framed(record)
        with self._lock:
            if not self._take(frame, 1):
                self._leave_out(record)

    def append_all(self, records: Sequence[Written]) -> None:
        """The same of several records, which costs one `write`: all of them are taken, or none is.

        Raises:
            StoreError: They were not taken; the log is as it was before.
        """
        frames = b"".join([self._framed(record) for record in records])
        with self._lock:
            if not self._take(frames, len(records)):
                raise StoreError(str(self._fault), hint=_HINT)

    def sync(self) -> None:
        """Put everything appended so far on the disk."""
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
            damages=self._damages,
            damage=self._damage if self._hurt or stopwatch() < self._hurt_until else None,
        )

    def close(self) -> None:
        """Seal the segment and put it on the disk. Closing twice changes nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._syncer.join()
        with self._lock:
            self._tail.look()
            if (self._gap is not None or self._tail.hurt) and not self._unsafe:
                with suppress(OSError):  # without room the gap stays untold; it is counted all the same
                    self._admit(0)
            if self._tail.hurt is None:
                self._waiting.append(self._tail.seal())
            elif self._tail not in self._hurt:
                self._hurt.append(self._tail)
        problem = self._put_back() or self._put_on_disk(self._records)
        with self._lock:
            self._unsafe, self._when_full = True, "block"
            self._refuse("is closed")
        if problem is not None:
            raise StoreError(f"the prediction log {self._folder} cannot be put on the disk: {problem}", hint=_HINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, after: int = 0) -> None:
        self._tail = Tail(self._folder, after=after)
        self._room = 0
        self._segments += 1
        self._begun = stopwatch()

    def _framed(self, record: Written) -> bytes:
        payload = self._encode(record)
        if len(payload) > segments.LONGEST:
            what = f"a record of {len(payload):,} bytes is longer than the prediction log takes"
            raise StoreError(what, hint=f"at most {segments.LONGEST:,}: send several requests")
        return segments.frame(payload)

    def _take(self, frames: bytes, count: int) -> bool:
        """Append so many frames, if that is possible."""
        if self._unsafe:
            return False
        try:
            # The room is 0 whenever something has to be looked at first.
            if self._tail.size + len(frames) <= self._room:
                if not self._tail.put(frames):
                    self._put_elsewhere(frames)
            else:
                self._admit(len(frames))
                if not self._tail.put(frames):
                    self._put_elsewhere(frames)
                self._fault = None
        except OSError as error:
            self._faults += 1
            self._refuse(f"cannot be written: {error.strerror or error}")
            return False
        self._records += count
        return True

    def _put_elsewhere(self, frames: bytes) -> None:
        """Append to a new segment: somebody has laid hands on the present one."""
        self._admit(len(frames))
        if not self._tail.put(frames):
            raise OSError(errno.EIO, "its newest segment is changed by somebody else, again and again")

    def _leave_out(self, record: Written) -> None:
        """Refuse a record, or count it as dropped."""
        if self._when_full == "block" or isinstance(record, LabelRecord):
            raise StoreError(str(self._fault), hint=_HINT)
        self._dropped += 1
        before = self._gap or UnrecordedRecord(record.time, record.time, 0)
        self._gap = UnrecordedRecord(record.time, before.since, before.records + 1)

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
        self._room = min(max(wanted, self._tail.size + _LOOK_BYTES), limit, max(self._segment_bytes, wanted))

    def _admit(self, length: int) -> None:
        """See that a frame can be put, behind a word on how much is missing before it."""
        if self._tail.hurt is not None:
            self._rotate()
        gap = b"" if self._gap is None else segments.frame(self._encode(self._gap))
        self._have_room(len(gap) + length)
        if gap and self._tail.put(gap):
            self._records += 1
            self._gap = None

    def _refuse(self, reason: str) -> None:
        self._fault, self._room = f"the prediction log {self._folder} {reason}", 0

    def _rotate(self) -> None:
        # The next segment exists before the old one is given up: a full disk leaves the writer where it was.
        old = self._tail
        old.look()
        self._begin(segments.number(old.path))
        self._bytes += old.size - len(segments.HEADER)
        if old.hurt is None:
            self._waiting.append(old.seal())
            return
        self._damages += 1
        self._damage = f"segment {old.path.name} of the prediction log {old.hurt} while it was written"
        self._hurt_until = stopwatch() + HURT_SECONDS
        self._hurt.append(old)

    def _sync_often(self) -> None:
        pause, told = _SYNC_SECONDS, ""
        while not self._closed.wait(pause):
            begun = stopwatch()
            try:
                self._look_after()
            except ENDINGS:
                raise
            except BaseException as error:  # the next look is another attempt
                self._faults += 1
                if told != (told := repr(error)):
                    _logger.exception("the prediction log %s could not be looked after", self._folder)
            pause = max(0.0, _SYNC_SECONDS - (stopwatch() - begun))

    def _look_after(self) -> None:
        """What is due twenty times a second, in a thread of its own."""
        self._look()
        if self._fault is not None:
            self._recover()
        if not self._unsafe and (self._records != self._synced or self._waiting):
            self._sync()
        if self._hurt and stopwatch() >= self._back_at:
            self._put_back()

    def _look(self) -> None:
        """See whether the segment that is being written is still what was written, and begin another one if not."""
        with self._lock:
            self._tail.look()
            if self._tail.hurt is None or self._unsafe:
                return
            try:
                self._admit(0)
            except OSError as error:
                self._faults += 1
                self._refuse(f"cannot be written: {error.strerror or error}")

    def _put_back(self) -> str | None:
        """Put segments back that somebody has deleted, cut or replaced; gives the disk's reason to refuse."""
        with self._syncing:
            for hurt in list(self._hurt):
                if not hurt.told:
                    _tell(logging.ERROR, f"a segment of the prediction log {hurt.hurt}", hurt)
                    hurt.told = True
                try:
                    gone = hurt.restore()
                except OSError as error:
                    self._back_at = stopwatch() + _BACK_SECONDS
                    return error.strerror or str(error)
                self._hurt.remove(hurt)
                _tell(logging.WARNING, "a segment of the prediction log is back where it was", hurt, bytes_gone=gone)
        return None

    def _sync(self) -> None:
        with self._lock:
            records = self._records
        problem = self._put_on_disk(records)
        if problem is not None:
            # After a failed fsync the kernel may have dropped the pages: nothing more is acknowledged in this segment.
            with self._lock:
                self._faults, self._unsafe = self._faults + 1, True
                self._refuse(f"cannot be put on the disk: {problem}")
        self._rotate_aged()

    def _put_on_disk(self, records: int) -> str | None:
        """Sync and close what waits for it, which holds so many records; gives the disk's reason to refuse."""
        with self._syncing:
            with self._lock:
                done, self._waiting, tail = self._waiting, [], self._tail
            try:
                for descriptor in done:
                    self._fsync(descriptor)
                if tail.descriptor not in done and tail.hurt is None:
                    self._fsync(tail.descriptor)
            except OSError as error:
                return error.strerror or str(error)
            finally:
                for descriptor in done:
                    with suppress(OSError):
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
                if self._tail.hurt is not None:
                    self._rotate()
                self._have_room(_AGAIN_BYTES)
                self._tail.probe(_AGAIN_BYTES)
                self._admit(_AGAIN_BYTES)
                self._fault = None
            except OSError as error:
                if not self._unsafe:
                    self._refuse(f"cannot be written: {error.strerror or error}")


def _tell(level: int, message: str, hurt: Tail, **facts: object) -> None:
    _logger.log(level, message, extra={"facts": {"segment": str(hurt.path), **facts}})


_HINT = (
    "free some space, let the log hold more or mend the folder's permissions; "
    "the server answers again as soon as the log can be written"
)
