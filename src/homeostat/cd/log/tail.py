"""The end of a segment that a writer appends to, mapped into memory: a record costs no system call.

What stands in the mapping belongs to the kernel and survives a SIGKILL, as what was written by `write` does. The file
is made longer ahead of the records, by zeros that are written and not by a hole: so a full disk is an error of that
`write`, and never a signal later. A segment that is given up is cut behind its last record; of one whose writer died
the next writer cuts the zeros off together with the torn tail.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from homeostat.cd.log import segments

if TYPE_CHECKING:
    from pathlib import Path

_AHEAD = 256 << 10
"""The file grows by so many bytes at a time; by fewer when the disk is nearly full, by more for a longer record."""


class Tail:
    """The newest segment of a log folder, begun and locked by this process.

    Args:
        folder: The log's folder.

    Attributes:
        path, descriptor: The file.
        size: Bytes of the segment so far: its header and its frames.
        room: The frames may reach so far before `make_room` has to be called.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.descriptor = segments.create(folder)
        self.size = self.room = len(segments.HEADER)
        self._map: mmap.mmap | None = None
        self._begin = 0

    def put(self, frame: bytes) -> None:
        """Append a frame for which there is room."""
        assert self._map is not None
        begin = self.size - self._begin
        self._map[begin : begin + len(frame)] = frame
        self.size += len(frame)

    def make_room(self, length: int) -> None:
        """Have `length` more bytes in the file.

        Raises:
            OSError: The disk refused; what was put stays as it is.
        """
        wanted = self.size + length
        try:
            self._lengthen(max(wanted, self.size - self.size % _AHEAD + _AHEAD))
        except OSError:
            if self._length() < wanted:
                raise
        begin, end = self.size - self.size % mmap.ALLOCATIONGRANULARITY, self._length()
        fresh = mmap.mmap(self.descriptor, end - begin, offset=begin)
        self._unmap()
        self._map, self._begin, self.room = fresh, begin, end

    def duplicate(self) -> int:
        """Another descriptor of the file, which outlives this one; the caller closes it."""
        return os.dup(self.descriptor)

    def seal(self) -> int:
        """Cut the file behind its last frame and seal it; gives its descriptor, to be synced and closed."""
        self._unmap()
        # Without its seal a segment is whole all the same; the next writer seals it.
        with suppress(OSError):
            os.ftruncate(self.descriptor, self.size)
            os.write(self.descriptor, segments.SEAL)
        return self.descriptor

    def _length(self) -> int:
        return os.fstat(self.descriptor).st_size

    def _lengthen(self, end: int) -> None:
        missing = end - self._length()
        while missing > 0:
            missing -= os.write(self.descriptor, bytes(missing))

    def _unmap(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
