"""SQLite as the ledger uses it: the safe journal, writers that queue, errors in our words, local disks only."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from homeostat.core.errors import ConflictError, HomeostatError, StoreError, UserError
from homeostat.core.ledger.file import LedgerFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUSY_SECONDS = 30
_FIRST_SAFE_WAL = (3, 51, 3)
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"})


def open_engine(path: str) -> sa.Engine:
    """Connections to the ledger in a file, or to one in memory for `":memory:"`."""
    if path == ":memory:":
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    else:
        file = LedgerFile(path)
        connect = partial(file.connect, timeout=_BUSY_SECONDS)
        engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool, pool_size=8)
        # A connection goes on with a file that was deleted, and what it writes is lost.
        sa.event.listen(engine, "begin", lambda _: file.check())
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


class Changes:
    """Tells whether anybody may have written to a ledger since it was last asked, for next to no work.

    Args:
        engine: Of the ledger; it gives one connection, on which nothing else is done, until `close`.
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


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    """Choose the journal: SQLite before 3.51.3 can corrupt a WAL database that two connections write."""
    connection.isolation_level = None
    journal = journal_mode(sqlite3.sqlite_version_info)
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")


def journal_mode(version: tuple[int, ...]) -> str:
    """The journal mode that is safe for several writers with this SQLite version."""
    return "WAL" if version >= _FIRST_SAFE_WAL else "TRUNCATE"


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("homeostat_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def database_errors() -> Iterator[None]:
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


def refuse_network_share(path: str) -> None:
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
