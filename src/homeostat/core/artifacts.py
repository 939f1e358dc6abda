"""Artifacts: immutable bytes named by their SHA-256, over whatever keeps blobs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.core.blobs import FolderBlobs
from homeostat.core.errors import IntegrityError, NotFoundError

if TYPE_CHECKING:
    from homeostat.core.ports import Blobs

_HASH = re.compile(r"[0-9a-f]{64}")
_WHAT_NOW = "`homeostat verify` says which versions need it: restore it from a backup, or roll back to a whole version"


class ArtifactStore:
    """Artifacts, each kept once under the name that its bytes give it, and verified whenever they are read.

    After a power cut a name may stand for bytes that never reached the disk; so nothing is recorded about an artifact
    before it was settled.

    Args:
        blobs: What keeps them; a path stands for a folder, which is made with the first artifact.

    Example:
        >>> import tempfile
        >>> artifacts = ArtifactStore(Path(tempfile.mkdtemp()))
        >>> name = artifacts.put(b"rows")
        >>> artifacts.get(name)
        b'rows'
    """

    def __init__(self, blobs: Blobs | Path | str) -> None:
        self.blobs: Blobs = FolderBlobs(blobs) if isinstance(blobs, Path | str) else blobs

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
        self.blobs.put(name, data)
        return name

    def settle(self) -> None:
        """Wait until everything that was put before is durable.

        Raises:
            StoreError: the disk failed; nothing that names these artifacts may be recorded.
        """
        self.blobs.settle()

    def get(self, name: str) -> bytes:
        """The bytes with this name, verified.

        Raises:
            NotFoundError: there are none.
            IntegrityError: they are not the bytes that were stored.
        """
        try:
            data = self.blobs.get(_checked_name(name))
        except NotFoundError as error:
            raise NotFoundError(error.what, hint=error.hint or _WHAT_NOW) from error
        if hashlib.sha256(data).hexdigest() != name:
            what = f"artifact {name[:12]} was damaged: its bytes no longer have the SHA-256 that names it"
            raise IntegrityError(what, hint=_WHAT_NOW)
        return data

    def has(self, name: str) -> bool:
        """Whether there is an artifact of this name; its bytes are not verified."""
        return self.blobs.size(_checked_name(name)) is not None

    def size(self, name: str) -> int:
        """How many bytes are kept under this name; they are not read, so they may be any number."""
        size = self.blobs.size(_checked_name(name))
        if size is None:
            raise NotFoundError(f"artifact {name[:12]} is missing from {self.blobs.name}", hint=_WHAT_NOW)
        return size


def _checked_name(name: str) -> str:
    if not _HASH.fullmatch(name):
        what = f"{name[:80]!r} is not the name of an artifact"
        raise NotFoundError(what, hint="a name is 64 hexadecimal digits, as `homeostat runs` shows them")
    return name
