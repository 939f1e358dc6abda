"""SQLite as the ledger's database: the safe journal, writers that queue, errors in our words, one local file.

The file is made once, for its owner alone; another one that takes its place is noticed, and never made.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from homeostat.core.errors import ConflictError, HomeostatError, IntegrityError, StoreError, UserError
from homeostat.core.files import open_regular

_BUSY_SECONDS = 30
_FIRST_SAFE_WAL = (3, 51, 3)
_MEMORY = ":memory:"
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"})
_RESTORE = "restore the newest one from a backup, then start again; nothing makes a new one in its place"


class SqliteDatabase:
    """A `Database` in a file, or in memory for `":memory:"`.

    A file that is there is only read, without a lock: a disk that is read-only will do.

    Raises:
        StoreError: The file cannot be opened or made, or is no regular file.
        UserError: It lies on a network share.
    """

    def __init__(self, path: Path | str, *, create: bool = True) -> None:
        self.name = str(path)
        self._sql: dict[sa.Select[Any], str] = {}
        if self.name == _MEMORY:
            self._engine = sa.create_engine(
                "sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False}
            )
        else:
            _refuse_network_share(self.name)
            if create:
                _make_file(self.name)
            file = _LedgerFile(self.name)
            connect = partial(file.connect, timeout=_BUSY_SECONDS)
            self._engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool, pool_size=8)
            # A connection goes on with a file that was deleted, and what it writes is lost.
            sa.event.listen(self._engine, "begin", lambda _: file.check())
        sa.event.listen(self._engine, "connect", _prepare)
        sa.event.listen(self._engine, "begin", _begin)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """See `Database.reading`."""
        with _told(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """See `Database.writing`."""
        with _told(), self._engine.connect().execution_options(homeostat_write=True) as connection, connection.begin():
            yield connection

    def look_up(self, statement: sa.Select[Any], value: str) -> tuple[Any, ...] | None:
        """See `Database.look_up`: it goes past SQLAlchemy's transaction, in a tenth of the time."""
        if statement not in self._sql:
            self._sql[statement] = str(statement.compile(self._engine))
        try:
            raw = self._engine.raw_connection()
            try:
                found: tuple[Any, ...] | None = raw.cursor().execute(self._sql[statement], (value,)).fetchone()
            finally:
                raw.close()
        except sqlite3.Error:
            (parameter,) = statement.compile().params
            with self.reading() as connection:
                row = connection.execute(statement, {parameter: value}).first()
                found = None if row is None else tuple(row)
        return found

    def changes(self) -> SqliteChanges:
        """See `Database.changes`."""
        return SqliteChanges(self._engine)

    @contextmanager
    def scratch(self) -> Iterator[sa.Connection]:
        """See `Database.scratch`."""
        aside = SqliteDatabase(_MEMORY)
        try:
            with aside.reading() as connection:
                yield connection
        finally:
            aside.close()

    def check(self) -> None:
        """See `Database.check`."""
        with self.reading() as connection:
            said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(5)")]
        if said != ["ok"]:
            what = f"the ledger's file is damaged: {'; '.join(said)[:300]}"
            raise IntegrityError(what, hint="restore the ledger from a backup")

    def about(self) -> str:
        """See `Database.about`."""
        mode = journal_mode(sqlite3.sqlite_version_info)
        why = "" if mode == "WAL" else " (this version's WAL is not)"
        return f"SQLite {sqlite3.sqlite_version}, journal mode {mode}, which is safe for several writers{why}"

    def close(self) -> None:
        """See `Database.close`."""
        self._engine.dispose()


class SqliteChanges:
    """The `Changes` of one SQLite database.

    Args:
        engine: Gives one connection, on which nothing else is done, until `close`.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: Any = None

    def mark(self) -> object:
        """Equal to the last one only if no other connection has committed in between."""
        if isinstance(self._engine.pool, sa.StaticPool):
            return object()  # in memory there is only one connection
        try:
            if self._connection is None:
                self._connection = self._engine.raw_connection()
            return self._connection.cursor().execute("PRAGMA data_version").fetchone()[0]
        except (sqlite3.Error, sa.exc.SQLAlchemyError, StoreError):
            self.close()
            return object()

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def journal_mode(version: tuple[int, ...]) -> str:
    """The journal mode that is safe for several writers with this SQLite version."""
    return "WAL" if version >= _FIRST_SAFE_WAL else "TRUNCATE"


class _LedgerFile:
    """Gives connections to one file, as long as the file under its name is the one that it began with."""

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


def _make_file(path: str) -> None:
    """Make the file when it is not there. SQLite gives the files beside it the same permissions."""
    try:
        os.close(open_regular(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    except OSError as error:
        hint = "check the folder's permissions and free space, or choose another with --store"
        raise StoreError(f"the ledger {path} cannot be made: {error.strerror or error}", hint=hint) from error


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    """Choose the journal: SQLite before 3.51.3 can corrupt a WAL database that two connections write."""
    connection.isolation_level = None
    journal = journal_mode(sqlite3.sqlite_version_info)
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("homeostat_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told() -> Iterator[None]:
    """Turn database errors into ours: none is ever reported as success."""
    try:
        yield
    except HomeostatError:
        raise
    except sa.exc.OperationalError as error:
        text = str(error.orig)
        hints = {
            "locked": f"another process kept the ledger locked for {_BUSY_SECONDS} s; `homeostat doctor` names it",
            "full": "the disk is full: free some space and run again; nothing was half-written",
            "disk I/O": "the disk refused: check its space, its quota and its health, then run again",
            "readonly": "the ledger cannot be written: check the permissions of the store's folder",
            "no such table": "it was emptied: restore it from a backup; nothing makes a new one in its place",
            "unable to open": "check that the folder exists and that you may write to it",
        }
        hint = next((hint for part, hint in hints.items() if part in text), "`homeostat doctor` checks the store")
        raise StoreError(f"the ledger could not be used: {text}", hint=hint) from error
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        if isinstance(error, sa.exc.IntegrityError):
            raise ConflictError(f"another process wrote first: {error.orig}") from error
        said = getattr(error, "orig", error)
        raise StoreError(f"the ledger is damaged: {said}", hint="restore it from a backup") from error


def _refuse_network_share(path: str) -> None:
    """Refuse a folder on a network share, where SQLite's locks do not hold."""
    try:
        with open("/proc/mounts", encoding="utf-8") as mounts:  # noqa: PTH123 - a kernel file, not a path of ours
            table = [line.split()[1:3] for line in mounts]
    except OSError:
        return
    real = os.path.realpath(path)
    inside = [(point, kind) for point, kind in table if real.startswith(point.rstrip("/") + "/")]
    point, kind = max(inside, default=("/", ""), key=lambda entry: len(entry[0]))
    if kind in _NETWORK:
        what = f"the store lies on a network share ({kind} at {point}), where SQLite's locks are not reliable"
        raise UserError(what, hint="put the store on a local disk")
