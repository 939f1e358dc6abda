"""Files of a store and of a bundle: read without following a link or waiting at a pipe, made for the owner alone."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_NEWEST = 64  # so many files of each folder are looked at

_CLOSED = getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _CLOSED
_BINARY = getattr(os, "O_BINARY", 0)


class OddFileError(OSError):
    """Something stands where a file should, and is none: a link, a pipe, a device, a folder."""


def open_regular(path: Path | str, flags: int = os.O_RDONLY, mode: int = FILE_MODE) -> int:
    """A descriptor of a regular file, and of nothing else; it never waits for another process.

    With `os.O_CREAT` the file is for its owner alone, whatever the umask, also when it was there already;
    with another `mode` it is as the umask says.

    Raises:
        OddFileError: There is something else under that name.
        OSError: It cannot be opened.
    """
    try:
        file = os.open(path, flags | _NO_LINK | _BINARY, mode)
    except OSError as error:
        if not isinstance(error, FileNotFoundError) and _is_odd(path):
            raise OddFileError(error.errno, "it is no regular file", str(path)) from error
        raise
    found = os.fstat(file).st_mode
    if not stat.S_ISREG(found):
        os.close(file)
        raise OddFileError(0, "it is no regular file", str(path))
    if flags & os.O_CREAT and mode == FILE_MODE != stat.S_IMODE(found):
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


def write_whole(
    path: Path,
    content: bytes | Callable[[BinaryIO], object],
    *,
    aside: Path | None = None,
    durable: bool = True,
    private: bool = True,
) -> None:
    """Write a file whole or not at all: beside its place first, and then under its name in one step.

    Whoever reads meanwhile gets the old content or the new one. When it fails, the old one stands and nothing else is
    left; two that write at once leave one of the two.

    Args:
        path: The file. Something odd that stands there is replaced, never written through.
        content: Its bytes, or what writes them into an open file.
        aside: Where it is written first, on the same disk; by default a hidden name in the same folder.
        durable: Whether it has to outlast a power cut, file and name.
        private: For the owner alone, whatever the umask; otherwise as the umask says.

    Raises:
        OSError: It cannot be written.
    """
    aside = aside or path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with os.fdopen(open_regular(aside, flags, FILE_MODE if private else 0o666), "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
        rename_whole(aside, path, durable=durable)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise


def rename_whole(aside: Path, path: Path, *, durable: bool = True) -> None:
    """Give a file that is written its name, in whose place it steps; `durable` as for `write_whole`."""
    if durable:
        sync(aside)
    aside.replace(path)
    if durable:
        sync(path.parent)


def sync(path: Path | str) -> None:
    """Make a file, or the names in a folder, durable."""
    if os.name != "posix" and Path(path).is_dir():
        return
    handle = os.open(path, os.O_RDONLY | _CLOSED)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(descriptor: int) -> bool:
    """Have a file or a folder for this process alone, until it is closed; False when another process has it."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for the owner alone whatever the umask."""
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


def keep_private(folder: Path) -> None:
    """Take what another library wrote into a folder last from everybody but its owner.

    The folder itself lets nobody else in, so that this is the second door; files of before were taken then.
    """
    for place, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(place, FOLDER_MODE)  # noqa: PTH101 - as text, for there may be thousands
            with os.scandir(place) as found:
                files = [(entry.stat(follow_symlinks=False), entry.path) for entry in found if entry.is_file()]
            for seen, path in sorted(files, key=lambda pair: pair[0].st_mtime_ns)[-_NEWEST:]:
                if stat.S_IMODE(seen.st_mode) != FILE_MODE and stat.S_ISREG(seen.st_mode):
                    os.chmod(path, FILE_MODE)  # noqa: PTH101


def _is_odd(path: Path | str) -> bool:
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
