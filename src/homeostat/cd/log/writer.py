"""Append to the prediction log: in the file before `append` returns, on the disk within 100 ms."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Self

import msgspec

from homeostat.cd.log import segments
from homeostat.core.clock import stopwatch
from homeostat.core.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from homeostat.cd.log.records import Written

_SYNC_SECONDS = 0.05


class LogStats(msgspec.Struct, frozen=True):
    """What a writer has done since it was opened.

    Attributes:
        records, bytes: Appended, frames included.
        segments: Begun.
        repaired: Bytes of torn tails that were cut off at the start.
        faults: Appends and syncs that the disk refused.
        fault: The latest refusal while it lasts, else None.
    """

    records: int
    bytes: int
    segments: int
    repaired: int
    faults: int
    fault: str | None


class LogWriter:
    """The writing end of a log folder; threads may share it, and several processes may each have their own.

    Args:
        folder: The log's folder; created when absent. Torn tails of dead writers are repaired.
        segment_bytes: A segment is closed before it grows beyond this size.
        segment_seconds: A segment that holds records is closed at this age.

    Example:
        >>> with LogWriter(folder) as log:
        ...     log.append(record)   # from here on a SIGKILL cannot lose it
    """

    def __init__(self, folder: Path, *, segment_bytes: int = 64 << 20, segment_seconds: float = 3600.0) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._encode = msgspec.msgpack.Encoder().encode
        self._lock = threading.Lock()
        self._records = self._bytes = self._segments = self._faults = 0
        self._fault: str | None = None
        self._dirty = False
        self._closed = threading.Event()
        try:
            self._repaired = segments.repair(folder)
            self._begin()
        except OSError as error:
            raise StoreError(f"the prediction log {folder} cannot be opened: {error}", hint=_HINT) from error
        self._syncer = threading.Thread(target=self._sync_often, name="log-sync", daemon=True)
        self._syncer.start()

    def append(self, record: Written) -> None:
        """Write one record to the file.

        Raises:
            StoreError: The disk did not take it; the log is as it was before.
        """
        data = segments.frame(self._encode(record))
        with self._lock:
            if self._fault is not None:
                raise StoreError(self._fault, hint=_HINT)
            try:
                if self._size + len(data) > self._segment_bytes and self._size > len(segments.HEADER):
                    self._rotate()
                self._write(data)
            except OSError as error:
                self._faults += 1
                what = f"the prediction log {self._folder} cannot be written: {error.strerror}"
                raise StoreError(what, hint=_HINT) from error
            self._records += 1
            self._bytes += len(data)
            self._dirty = True

    def sync(self) -> None:
        """Put everything appended so far on the disk.

        Raises:
            StoreError: The disk refused.
        """
        self._sync()
        if self._fault is not None:
            raise StoreError(self._fault, hint=_HINT)

    def stats(self) -> LogStats:
        """What it has done so far."""
        return LogStats(self._records, self._bytes, self._segments, self._repaired, self._faults, self._fault)

    def close(self) -> None:
        """Seal the segment and put it on the disk. Closing twice changes nothing."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._syncer.join()
        with self._lock:
            self._fault = f"the prediction log {self._folder} is closed"
            self._seal()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        self._path, self._descriptor = segments.create(self._folder)
        self._size = len(segments.HEADER)
        self._segments += 1
        self._begun = stopwatch()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def _seal(self) -> None:
        try:
            self._write(segments.SEAL)
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def _rotate(self) -> None:
        # The next segment exists before the old one is given up: a full disk leaves the writer where it was.
        old = self._descriptor
        os.fsync(old)
        self._begin()
        try:
            os.write(old, segments.SEAL)
        finally:
            os.close(old)

    def _sync_often(self) -> None:
        while not self._closed.wait(_SYNC_SECONDS):
            if self._fault is not None:
                self._recover()
            elif self._dirty:
                self._sync()

    def _sync(self) -> None:
        with self._lock:
            descriptor = os.dup(self._descriptor)
            self._dirty = False
        try:
            os.fsync(descriptor)
        except OSError as error:
            # After a failed fsync the kernel may have dropped the pages: nothing more is acknowledged in this segment.
            with self._lock:
                self._faults += 1
                self._fault = f"the prediction log {self._folder} cannot be put on the disk: {error.strerror}"
        finally:
            os.close(descriptor)
        self._rotate_aged()

    def _rotate_aged(self) -> None:
        with self._lock:
            aged = self._size > len(segments.HEADER) and stopwatch() - self._begun > self._segment_seconds
            if aged and self._fault is None:
                try:
                    self._rotate()
                except OSError:
                    self._faults += 1

    def _recover(self) -> None:
        with self._lock:
            try:
                self._rotate()
                os.fsync(self._descriptor)
            except OSError:
                self._faults += 1
            else:
                self._fault = None


_HINT = "free some space or mend the folder's permissions; the server answers again as soon as the log can be written"
