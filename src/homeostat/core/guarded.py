"""What libraries do with bad bytes, as one clear error: panics, overflows, recursion, floods, and the disk's word."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from homeostat.core.errors import DataError, HomeostatError

# Without it Polars panics at a Parquet file whose times have a fixed offset such as +05:30; `core.times` needs no name.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")

LONGEST_LINE = 256 << 20
"""Bytes of one line of text."""
MOST_COLUMNS = 20_000
UNPACKED_AT_WILL = 256 << 20
"""Bytes that a compressed file may unpack to whatever its size."""
MOST_UNPACKED = 200
"""How many times its size a compressed file may unpack to, beyond that; tables of text reach about 20."""

_muting = threading.RLock()
_FLOODS = {MemoryError: "it takes more memory than this machine has left", RecursionError: "it is nested too deeply"}


@contextmanager
def refusing(name: str, hint: str = "is it complete, and what its name says?") -> Iterator[None]:
    """Whatever is raised inside, but our own errors and what ends a process, becomes a `DataError` naming a thing."""
    try:
        yield
    except HomeostatError:
        raise
    except OSError as error:
        said = error.strerror or _first_line(error)
        raise DataError(f"{name} cannot be read: {said}", hint="check that it is a file and its permissions") from error
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        flood = next((said for kind, said in _FLOODS.items() if isinstance(error, kind)), None)
        raise DataError(f"{name} cannot be read: {flood or _first_line(error)}", hint=hint) from error


def is_panic(error: BaseException) -> bool:
    """Whether a library of Rust gave way; such an error is no Exception, so that nobody catches it by accident."""
    return type(error).__name__ == "PanicException"


@contextmanager
def without_panic_messages() -> Iterator[None]:
    """Hold back what a library of Rust prints of its panic, beside the error that it raises.

    It prints past Python, so the process's standard error is put aside for the moment; what else came is printed after.
    """
    with _muting, tempfile.TemporaryFile() as held:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            kept = -1
        if kept >= 0:
            os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            if kept >= 0:
                os.dup2(kept, 2)
                os.close(kept)
                held.seek(0)
                said = held.read()
                if said and b"panicked at" not in said:
                    os.write(2, said)


def read_whole(path: Path) -> bytes:
    """The bytes of a regular file that memory can hold.

    Raises:
        DataError: It is something else, larger, or cannot be read.
    """
    with refusing(str(path)):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path} is no regular file", hint="give a file; pipes and devices are not read")
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if status.st_size > memory:
            what = f"{path} holds {status.st_size:,} bytes, more than the {memory:,} of this machine's memory"
            raise DataError(what, hint="cut it into several files")
        return path.read_bytes()


def unpacked(data: bytes) -> bytes:
    """What a gzip file holds, as long as that is no bomb.

    Raises:
        DataError: It is no whole gzip file, or would unpack to absurd sizes.
    """
    parts: list[bytes] = []
    size, rest = 0, data
    try:
        while rest:
            unzip = zlib.decompressobj(wbits=31)
            while not unzip.eof:
                block = unzip.decompress(rest, UNPACKED_AT_WILL // 4)
                rest = unzip.unconsumed_tail
                parts.append(block)
                size += len(block)
                refuse_bomb(size, len(data))
                if not block and not rest:
                    break
            if not unzip.eof:
                raise DataError("the file is no whole gzip file: it ends too early", hint="copy it again")
            rest = unzip.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise DataError(f"the file is no whole gzip file: {error}", hint="copy it again") from error
    return b"".join(parts)


def refuse_bomb(unpacked: int, packed: int) -> None:
    """Refuse what unpacks to more than any table of its size would."""
    if unpacked > max(UNPACKED_AT_WILL, MOST_UNPACKED * packed):
        raise DataError(
            f"the file's {packed:,} bytes unpack to more than {unpacked:,}, as those of no table do",
            hint="unpack it by hand if it is meant, and check what it holds",
        )


def _first_line(error: Any) -> str:
    lines = str(error).split("\n\nThis error occurred")[0].strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
