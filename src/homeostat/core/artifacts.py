"""Artifacts: immutable bytes named by their SHA-256, in a folder or behind any store of the same four methods."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from homeostat.core import crash_points
from homeostat.core.clock import SystemClock, new_id
from homeostat.core.errors import IntegrityError, NotFoundError, StoreError
from homeostat.core.files import OddFileError, make_folder, open_regular, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

_HASH = re.compile(r"[0-9a-f]{64}")
_WHAT_NOW = "`homeostat verify` says which versions need it: restore it from a backup, or roll back to a whole version"
_STALE_SECONDS = 24 * 3600
_SYNCS_AT_ONCE = 8


class Blobs(Protocol):
    """What keeps artifacts: a folder here, an object store elsewhere."""

    def put(self, data: bytes) -> str:
        """Keep bytes durably and return their SHA-256 (64 hexadecimal digits)."""
        ...

    def get(self, name: str) -> bytes:
        """The bytes with this SHA-256."""
        ...

    def has(self, name: str) -> bool:
        """Whether bytes are kept under this name."""
        ...

    def size(self, name: str) -> int:
        """How many bytes are kept under this name; nothing is read."""
        ...


class ArtifactStore:
    """Artifacts in a folder: `ab/cdef...`, written aside and renamed, so that a name never holds half a value.

    After a power cut a name may stand for bytes that never reached the disk; so bytes are verified whenever they are
    read, and nothing is recorded about an artifact before it was synced.

    Args:
        folder: Where they lie; made with the first artifact.

    Example:
        >>> import tempfile
        >>> artifacts = ArtifactStore(Path(tempfile.mkdtemp()))
        >>> name = artifacts.put(b"rows")
        >>> artifacts.get(name)
        b'rows'
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._prefix = f"{self.folder}/"  # text, because a Path per reused step would be felt
        self._aside = self.folder / "incoming"
        self._unsettled: set[str] = set()
        self._noting = threading.Lock()
        self._settling = threading.Lock()

    def put(self, data: bytes) -> str:
        """Keep bytes durably and return their name; the same bytes are kept once, and a damaged copy is mended.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        name = self.put_soon(data)
        self.settle()
        return name

    def put_soon(self, data: bytes) -> str:
        """Keep bytes as `put` does, safe from the death of the process, and from a power cut after `settle`."""
        name = hashlib.sha256(data).hexdigest()
        place = self._place(name)
        try:
            if not _holds(place, data):
                self._write(Path(place), data)
                with self._noting:
                    self._unsettled.add(place)
        except OSError as error:
            what = f"an artifact of {len(data):,} bytes could not be stored in {self.folder}: {error.strerror or error}"
            hint = "free some space or check the folder's permissions, then run again; nothing was half-written"
            raise StoreError(what, hint=hint) from error
        return name

    def settle(self) -> None:
        """Wait until everything that was put before is durable.

        Raises:
            StoreError: the disk failed; nothing that names these artifacts may be recorded.
        """
        with self._settling:
            with self._noting:
                places = sorted(self._unsettled)
            if not places:
                return
            folders = {place.rpartition("/")[0] for place in places}
            try:
                # Side by side, because a disk makes many files durable in the time of one.
                with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
                    list(pool.map(_sync, [*places, *sorted(folders), str(self.folder)]))
            except OSError as error:
                what = f"artifacts in {self.folder} could not be made durable: {error.strerror or error}"
                raise StoreError(what, hint="check the disk, then run again") from error
            with self._noting:
                self._unsettled.difference_update(places)

    def get(self, name: str) -> bytes:
        """The bytes with this name, verified.

        Raises:
            NotFoundError: there are none.
            IntegrityError: they are not the bytes that were stored.
        """
        try:
            data = read_regular(self._place(name))
        except FileNotFoundError as error:
            what = f"artifact {name[:12]} is missing from {self.folder}"
            raise NotFoundError(what, hint=_WHAT_NOW) from error
        except OSError as error:
            raise StoreError(f"artifact {name[:12]} cannot be read: {error.strerror or error}") from error
        if hashlib.sha256(data).hexdigest() != name:
            what = f"artifact {name[:12]} was damaged: its bytes no longer have the SHA-256 that names it"
            raise IntegrityError(what, hint=_WHAT_NOW)
        return data

    def has(self, name: str) -> bool:
        """Whether there is an artifact of this name; its bytes are not verified."""
        try:
            return stat.S_ISREG(os.lstat(self._place(name)).st_mode)
        except OSError:
            return False

    def size(self, name: str) -> int:
        """How many bytes are kept under this name; they are not read, so they may be any number.

        Raises:
            NotFoundError: there are none.
        """
        try:
            return os.lstat(self._place(name)).st_size
        except FileNotFoundError as error:
            what = f"artifact {name[:12]} is missing from {self.folder}"
            raise NotFoundError(what, hint=_WHAT_NOW) from error

    def names(self) -> Iterator[str]:
        """Names of all artifacts, in order; files still being written are none."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            yield from sorted(folder.name + file.name for file in folder.iterdir())

    def sweep(self) -> int:
        """Remove what writers that died left half-written more than a day ago; return how many files that were."""
        oldest = SystemClock().now().timestamp() - _STALE_SECONDS
        stale = [file for file in self._aside.glob("*") if file.stat().st_mtime < oldest]
        for file in stale:
            file.unlink(missing_ok=True)
        return len(stale)

    def _place(self, name: str) -> str:
        if not _HASH.fullmatch(name):
            what = f"{name[:80]!r} is not the name of an artifact"
            raise NotFoundError(what, hint="a name is 64 hexadecimal digits, as `homeostat runs` shows them")
        return f"{self._prefix}{name[:2]}/{name[2:]}"

    def _write(self, place: Path, data: bytes) -> None:
        aside = self._aside / new_id()
        try:
            file = _create(aside)
        except FileNotFoundError:
            make_folder(self._aside)
            file = _create(aside)
        try:
            try:
                _write_all(file, data)
            finally:
                os.close(file)
            crash_points.point("artifact.before_rename")
            try:
                aside.replace(place)
            except FileNotFoundError:
                make_folder(place.parent)
                aside.replace(place)
            crash_points.point("artifact.after_rename")
        except OSError:
            aside.unlink(missing_ok=True)
            raise


def _create(path: Path) -> int:
    return open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _holds(place: str, data: bytes) -> bool:
    """Whether the file is there with these bytes: after a power cut a name may stand for an empty file."""
    try:
        return read_regular(place) == data
    except (FileNotFoundError, OddFileError):
        return False


def _sync(place: str) -> None:
    """Make a file, or the names in a folder, durable."""
    if os.name != "posix" and Path(place).is_dir():
        return
    try:
        handle = os.open(place, os.O_RDONLY)
    except FileNotFoundError:  # somebody removed it on purpose
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
