"""The bytes of the prediction log: segment files made of frames that carry their length and checksum.

A segment is `NNNNNNNN-<pid>.seg`: an 8-byte header (`HSEG`, a version, three zeros), then frames of a 2-byte mark, the
payload's length and its CRC-32 (both 4 bytes, little-endian), and the payload. An empty payload seals the segment. A
writer holds an exclusive `flock` on its segment for as long as it may append: "unlocked and unsealed" means it died.
The mark's first byte, 0xF5, never occurs in UTF-8, so no text
that a caller sends can pose as a frame.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from homeostat.core.errors import StoreError
from homeostat.core.files import lock, sync

VERSION = 1
HEADER = b"HSEG" + bytes([VERSION, 0, 0, 0])
LONGEST = 1 << 28
"""Longest payload in bytes; a longer length in a frame is damage."""

_MARK = b"\xf5H"
_FRAME = struct.Struct("<2sII")
_NAME = re.compile(r"^(\d{8,})-(\d+)\.seg$")


class Scan(msgspec.Struct, frozen=True):
    """What a stretch of a segment holds.

    Attributes:
        payloads: The payloads of the whole frames, in order.
        consumed: Bytes from the start of the stretch up to the end of the last whole frame.
        damaged: Bytes that were skipped because a whole frame follows them.
    """

    payloads: list[bytes]
    consumed: int
    damaged: int
    sealed: bool


def frame(payload: bytes) -> bytes:
    """The payload with its mark, length and checksum in front."""
    return _FRAME.pack(_MARK, len(payload), zlib.crc32(payload)) + payload


SEAL = frame(b"")


def scan(data: bytes) -> Scan:
    """Read frames until the bytes end, the seal comes, or damage has nothing whole behind it (a torn tail)."""
    payloads: list[bytes] = []
    offset = damaged = 0
    while True:
        payload = _frame_at(data, offset)
        if payload is None:
            found = _next_frame(data, offset + 1)
            if found is None:
                return Scan(payloads, offset, damaged, sealed=False)
            damaged += found - offset
            offset = found
            continue
        offset += _FRAME.size + len(payload)
        if not payload:
            return Scan(payloads, offset, damaged, sealed=True)
        payloads.append(payload)


def segments(folder: Path) -> list[Path]:
    """The segments of a log folder in the order in which they were begun."""
    try:
        with os.scandir(folder) as entries:
            # Whatever else is called like one, a pipe or a link, is none.
            found = [Path(one.path) for one in entries if _NAME.match(one.name) and one.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return sorted(found, key=number)


def held(folder: Path, *, but: Path) -> int:
    """Bytes of all segments of a folder but one."""
    sizes = 0
    for path in segments(folder):
        if path != but:
            with suppress(FileNotFoundError):  # retired meanwhile
                sizes += path.stat().st_size
    return sizes


def number(segment: Path) -> int:
    """The running number of a segment."""
    match = _NAME.match(segment.name)
    return int(match.group(1)) if match else 0


def create(folder: Path, *, after: int = 0) -> tuple[Path, int, tuple[int, int]]:
    """Begin the next segment, with a number greater than `after`.

    Returns:
        Its path, a descriptor open for appending that holds its lock, and the file's device and number.

    Raises:
        OSError: The disk refused; nothing is left of it.
    """
    with _folder_lock(folder):
        present = segments(folder)
        path = folder / f"{max(after, number(present[-1]) if present else 0) + 1:08d}-{os.getpid()}.seg"
        descriptor = open_new(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, HEADER)
            status = os.fstat(descriptor)
            sync(folder)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
    return path, descriptor, (status.st_dev, status.st_ino)


def open_new(path: Path) -> int:
    """A descriptor, open for appending, of a file that was not there."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o640)


def repair(folder: Path) -> int:
    """Cut the torn tail of every segment whose writer died, and seal it.

    Returns:
        How many bytes of torn frames were cut off: they were never acknowledged to anybody.
    """
    cut = 0
    with _folder_lock(folder):
        for path in segments(folder):
            with suppress(FileNotFoundError):  # deleted meanwhile
                cut += _repair(path)
    return cut


def read_from(segment: Path, offset: int, limit: int) -> tuple[bytes, int]:
    """Up to `limit` bytes from `offset` on (never inside the header), and where they begin.

    Raises:
        StoreError: The segment was written by a newer Homeostat, or is not a segment.
    """
    with segment.open("rb") as file:
        head = file.read(len(HEADER))
        if len(head) < len(HEADER):
            return b"", offset
        if head[:4] != HEADER[:4] or head[4] > VERSION:
            what = (
                f"log segment {segment.name} has header {head.hex()}, and this Homeostat reads up to version {VERSION}"
            )
            raise StoreError(what, hint="use the newer Homeostat that wrote it, or move the file out of the log folder")
        begin = max(offset, len(HEADER))
        file.seek(begin)
        return file.read(limit), begin


def is_sealed(segment: Path) -> bool:
    """Whether its last bytes are the seal."""
    with segment.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < len(HEADER) + len(SEAL):
            return False
        file.seek(size - len(SEAL))
        return file.read(len(SEAL)) == SEAL


def _repair(path: Path) -> int:
    if is_sealed(path):
        return 0
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        if not lock(descriptor):
            return 0
        size = os.fstat(descriptor).st_size
        if size < len(HEADER):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, HEADER + SEAL)
            return size
        data, begin = read_from(path, 0, size)
        keep = begin + scan(data).consumed
        torn = data[keep - begin :].rstrip(b"\0")  # zeros were written ahead of the frames
        os.ftruncate(descriptor, keep)
        os.write(descriptor, SEAL)
        os.fsync(descriptor)
        return len(torn)
    finally:
        os.close(descriptor)


def _frame_at(data: bytes, offset: int) -> bytes | None:
    if len(data) - offset < _FRAME.size:
        return None
    mark, length, checksum = _FRAME.unpack_from(data, offset)
    begin = offset + _FRAME.size
    if mark != _MARK or length > LONGEST or len(data) - begin < length:
        return None
    payload = data[begin : begin + length]
    return payload if zlib.crc32(payload) == checksum else None


def _next_frame(data: bytes, start: int) -> int | None:
    found = data.find(_MARK, start)
    while found >= 0:
        if _frame_at(data, found) is not None:
            return found
        found = data.find(_MARK, found + 1)
    return None


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
