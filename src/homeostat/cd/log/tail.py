"""The end of a segment that a writer appends to: one `write` a record, and a look whether the file is still ours.

What was written belongs to the kernel and survives a SIGKILL. A mapping into memory would save the system call, and end
the process with SIGBUS when somebody cuts the file. The file may be cut, deleted or replaced at any time: where a
record came to stand says at once whether the file was cut, and a look at its name tells the rest. What was appended
lately is kept in memory as well, so that a segment can be put back as it was.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from pathlib import Path

from homeostat.cd.log import segments
from homeostat.core.files import sync

KEPT_BYTES = 256 << 10
"""So much of what was appended is kept in memory, and all that was since the last look."""

_CHUNK = 1 << 20


class Tail:
    """The newest segment of a log folder, begun and locked by this process.

    Attributes:
        size: Bytes of the segment so far: its header and its frames.
        hurt: What somebody did to the file, or None.
    """

    def __init__(self, folder: Path, *, after: int = 0) -> None:
        self.path, self.descriptor, self._identity = segments.create(folder, after=after)
        self.size = len(segments.HEADER)
        self.hurt: str | None = None
        self.told = False
        self._cut: int | None = None
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0

    def put(self, frame: bytes) -> bool:
        """Append a frame; False when the file is not what it was, and the frame is not in it.

        Raises:
            OSError: The disk refused; what was put stays as it is.
        """
        length = len(frame)
        written = os.write(self.descriptor, frame)
        if written != length:
            self._put_rest(frame, written)
        end = os.lseek(self.descriptor, 0, os.SEEK_CUR)
        if end != self.size + length:
            self._found(end - length)
            with suppress(OSError):
                os.ftruncate(self.descriptor, end - length)
            return False
        self.size = end
        self._kept.append(frame)
        self._kept_bytes += length
        return True

    def look(self) -> None:
        """See whether the file is still there and as long as it was written, and say in `hurt` when it is not."""
        if self.hurt is not None:
            return
        try:
            now = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            self.hurt = "was deleted"
            return
        except OSError:
            return  # nobody can say; the next write will
        if (now.st_dev, now.st_ino) != self._identity:
            self.hurt = "was replaced by another file"
        elif now.st_size != self.size:
            self._found(now.st_size)
        else:
            while self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popleft())

    def probe(self, length: int) -> None:
        """See that the disk takes so many bytes."""
        try:
            for _ in range(0, length, _CHUNK):
                os.write(self.descriptor, bytes(min(length, _CHUNK)))
        finally:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.size)

    def seal(self) -> int:
        """Seal the segment; gives its descriptor, to be synced and closed."""
        # Without its seal a segment is whole all the same; the next writer seals it.
        with suppress(OSError):
            os.write(self.descriptor, segments.SEAL)
        return self.descriptor

    def restore(self) -> int:
        """Put a hurt segment back where it was, sealed and on the disk: whoever read a part of it reads on.

        What stood in a part that was cut off before the last look, and is not kept in memory any more, is gone: zeros
        stand in its place, which readers count as damage. A file that was put in its place is moved aside.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.restored")
        temporary.unlink(missing_ok=True)
        out = segments.open_new(temporary)
        try:
            there = self._copy(out, self.size if self._cut is None else self._cut)
            begin = self.size - self._kept_bytes
            if there < len(segments.HEADER):
                os.ftruncate(out, 0)
                there = os.write(out, segments.HEADER)
            if there < begin:
                os.ftruncate(out, begin)
            os.lseek(out, 0, os.SEEK_END)
            data = b"".join(self._kept)[max(0, there - begin) :] + segments.SEAL
            while data:
                data = data[os.write(out, data) :]
            os.fsync(out)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(out)
        self._move_aside()
        temporary.replace(self.path)
        sync(self.path.parent)
        os.close(self.descriptor)
        return max(0, begin - there)

    def _found(self, size: int) -> None:
        if size < self.size:
            self.hurt, self._cut = f"was cut to {size:,} of {self.size:,} bytes", size
        else:
            self.hurt = "was written to by somebody else"

    def _put_rest(self, frame: bytes, written: int) -> None:
        """Write what a first `write` left over, or nothing of the frame."""
        try:
            while written < len(frame):
                written += os.write(self.descriptor, frame[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.size)
            raise

    def _copy(self, out: int, length: int) -> int:
        """Copy the beginning of the file; gives how much of it was there."""
        done = 0
        while done < length and (data := os.pread(self.descriptor, min(_CHUNK, length - done), done)):
            while data:
                written = os.write(out, data)
                done, data = done + written, data[written:]
        return done

    def _move_aside(self) -> None:
        """Keep what somebody else has written in our place, under a name that is no segment's."""
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return
        if (there.st_dev, there.st_ino) == self._identity and self._cut is not None:
            return
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.replaced{number}")).exists():
            number += 1
        self.path.rename(aside)
