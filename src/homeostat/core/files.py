"""Files of a store and of a bundle: read without following a link or waiting at a pipe, made for the owner alone."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class OddFileError(OSError):
    """Something stands where a file should, and is none: a link, a pipe, a device, a folder."""


def open_regular(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file, and of nothing else; it never waits for another process.

    With `os.O_CREAT` the file is for its owner alone, whatever the umask, also when it was there already.

    Raises:
        OddFileError: There is something else under that name.
        OSError: It cannot be opened.
    """
    try:
        file = os.open(path, flags | _NO_LINK | _BINARY, FILE_MODE)
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and _is_odd(path):
            raise OddFileError(error.errno, "it is no regular file", str(path)) from error
        raise
    found = os.fstat(file).st_mode
    if not stat.S_ISREG(found):
        os.close(file)
        raise OddFileError(0, "it is no regular file", str(path))
    if flags & os.O_CREAT and stat.S_IMODE(found) != FILE_MODE:
        with suppress(OSError, AttributeError):  # another's file is theirs to open; Windows has no such thing
            os.fchmod(file, FILE_MODE)
    return file


def read_regular(path: Path | str, most: int | None = None) -> bytes:
    """All bytes of a regular file, and at most one more than `most`: a file that grows is not read for ever.

    Raises:
        OddFileError: There is something else under that name.
        OSError: It cannot be read.
    """
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        if most is None:
            return file.readall()
        parts, left = [], most + 1
        while left > 0 and (part := file.read(min(left, 1 << 24))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def write_own(path: Path, data: bytes) -> None:
    """Write a file anew for the owner alone, whatever the umask.

    Raises:
        OddFileError: There is something else under that name.
        OSError: It cannot be written.
    """
    with os.fdopen(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(data)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for the owner alone whatever the umask.

    Raises:
        OSError: It cannot be made.
    """
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if path.is_dir():  # another process was faster
            return
        raise
    path.chmod(FOLDER_MODE)


def keep_private(folder: Path, newest: int = 64) -> None:
    """Take what another library wrote into a folder last from everybody but its owner.

    The folder itself lets nobody else in, so that this is the second door; files of before were taken then.

    Args:
        folder: It and the folders below it.
        newest: How many files of each folder are looked at, the newest by name or time.
    """
    for place, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(place, FOLDER_MODE)  # noqa: PTH101 - as text, for there may be thousands
            with os.scandir(place) as found:
                files = [(entry.stat(follow_symlinks=False), entry.path) for entry in found if entry.is_file()]
            for seen, path in sorted(files, key=lambda pair: pair[0].st_mtime_ns)[-newest:]:
                if stat.S_IMODE(seen.st_mode) != FILE_MODE and stat.S_ISREG(seen.st_mode):
                    os.chmod(path, FILE_MODE)  # noqa: PTH101


def _is_odd(path: Path | str) -> bool:
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
