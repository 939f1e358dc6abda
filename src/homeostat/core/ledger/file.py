"""The file of a ledger: made once, for its owner alone; another one that takes its place is noticed, and never made."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

from homeostat.core.errors import StoreError
from homeostat.core.files import open_regular

_RESTORE = "restore the newest one from a backup, then start again; nothing makes a new one in its place"


class LedgerFile:
    """Gives connections to one file, as long as the file under its name is the one that it began with.

    Args:
        path: Where it is.

    Raises:
        StoreError: It is no regular file.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100 - as text, and without following links
        self._first: tuple[int, int] | None = None
        self.check()

    def check(self) -> None:
        """Make sure that the file is there and is the same as before; this costs two microseconds.

        Raises:
            StoreError: It was deleted, or another one took its place.
        """
        try:
            found = os.lstat(self.path)
        except OSError as error:
            if self._first is None or not isinstance(error, FileNotFoundError):
                reason = error.strerror or str(error)
                raise StoreError(f"the ledger {self.path} cannot be read: {reason}", hint=_RESTORE) from error
            raise StoreError(f"the ledger {self.path} was deleted while it was in use", hint=_RESTORE) from None
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"the ledger {self.path} is no regular file", hint=_RESTORE)
        identity = (found.st_dev, found.st_ino)
        if self._first is None:
            self._first = identity
        elif identity != self._first:
            raise StoreError(
                f"another file took the place of the ledger {self.path} while it was in use", hint=_RESTORE
            )

    def connect(self, *, timeout: float) -> sqlite3.Connection:
        """A new connection, which makes no file; one on a read-only disk needs no lock, because nobody can write.

        Raises:
            StoreError: As `check`.
            sqlite3.Error: SQLite cannot open it.
        """
        self.check()
        for beside in (f"{self.path}-journal", f"{self.path}-wal", f"{self.path}-shm"):
            if os.path.islink(beside):  # noqa: PTH114 - as above
                raise StoreError(
                    f"{beside} is a link, and would be written through", hint="remove it, then start again"
                )
        told = "mode=rw"
        if self._unwritable():
            # What a write-ahead log holds beside the file is only seen with locks.
            logged = Path(f"{self.path}-wal")
            told = "mode=ro" if logged.exists() and logged.stat().st_size else "mode=ro&immutable=1"
        # Whatever is in the path, none of it may be read as a part of the address.
        address = f"file:{quote(self.path)}?{told}"
        return sqlite3.connect(address, uri=True, timeout=timeout, check_same_thread=False)

    def _unwritable(self) -> bool:
        return hasattr(os, "statvfs") and bool(os.statvfs(self.path).f_flag & os.ST_RDONLY)


def make_ledger_file(path: str) -> None:
    """Make the file when it is not there. SQLite gives the files beside it the same permissions.

    Raises:
        StoreError: It cannot be made.
    """
    try:
        os.close(open_regular(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    except OSError as error:
        hint = "check the folder's permissions and free space, or choose another with --store"
        raise StoreError(f"the ledger {path} cannot be made: {error.strerror or error}", hint=hint) from error
