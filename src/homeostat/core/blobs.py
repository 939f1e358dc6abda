"""Blobs in a folder: `ab/cdef...`, written aside and renamed, so that a name never holds half a value."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from homeostat.core import crash_points
from homeostat.core.clock import new_id
from homeostat.core.errors import NotFoundError, StoreError
from homeostat.core.files import OddFileError, make_folder, read_regular, sync, write_whole

_SYNCS_AT_ONCE = 8


class FolderBlobs:
    """`Blobs` in a folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.name = str(folder)
        self._prefix = f"{self.folder}/"  # text, because a Path per reused step would be felt
        self._aside = self.folder / "incoming"
        self._unsettled: set[str] = set()
        self._noting = threading.Lock()
        self._settling = threading.Lock()

    def put(self, key: str, data: bytes) -> None:
        """See `Blobs.put`; the same bytes are written once."""
        place = self._place(key)
        try:
            if _holds(place, data):
                return
            try:
                self._write(Path(place), data)
            except FileNotFoundError:
                for folder in (self._aside, Path(place).parent):
                    make_folder(folder)
                self._write(Path(place), data)
        except OSError as error:
            what = f"an artifact of {len(data):,} bytes could not be stored in {self.name}: {error.strerror or error}"
            hint = "free some space or check the folder's permissions, then run again; nothing was half-written"
            raise StoreError(what, hint=hint) from error
        with self._noting:
            self._unsettled.add(place)

    def settle(self) -> None:
        """See `Blobs.settle`."""
        with self._settling:
            with self._noting:
                places = sorted(self._unsettled)
            if not places:
                return
            folders = {place.rpartition("/")[0] for place in places}
            try:
                # Side by side, because a disk makes many files durable in the time of one.
                with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
                    list(pool.map(_sync, [*places, *sorted(folders), self.name]))
            except OSError as error:
                what = f"artifacts in {self.name} could not be made durable: {error.strerror or error}"
                raise StoreError(what, hint="check the disk, then run again") from error
            with self._noting:
                self._unsettled.difference_update(places)

    def get(self, key: str) -> bytes:
        """See `Blobs.get`."""
        try:
            return read_regular(self._place(key))
        except FileNotFoundError as error:
            raise NotFoundError(f"artifact {key[:12]} is missing from {self.name}") from error
        except OSError as error:
            raise StoreError(f"artifact {key[:12]} cannot be read: {error.strerror or error}") from error

    def size(self, key: str) -> int | None:
        """See `Blobs.size`."""
        try:
            found = os.lstat(self._place(key))
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def keys(self) -> Iterator[str]:
        """See `Blobs.keys`."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            yield from sorted(folder.name + file.name for file in folder.iterdir())

    def _place(self, key: str) -> str:
        return f"{self._prefix}{key[:2]}/{key[2:]}"

    def _write(self, place: Path, data: bytes) -> None:
        def fill(file: BinaryIO) -> None:
            file.write(data)
            file.flush()
            crash_points.point("artifact.before_rename")

        write_whole(place, fill, aside=self._aside / new_id(), durable=False)
        crash_points.point("artifact.after_rename")


def _holds(place: str, data: bytes) -> bool:
    """Whether the file is there with these bytes: after a power cut a name may stand for an empty file."""
    try:
        return read_regular(place) == data
    except (FileNotFoundError, OddFileError):
        return False


def _sync(place: str) -> None:
    with suppress(FileNotFoundError):  # somebody removed it on purpose
        sync(place)
