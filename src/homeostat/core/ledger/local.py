"""The database that a ledger has on one machine, without being told another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from homeostat.core.ports import Database

FILE = "ledger.sqlite"
"""Its name in the folder of a store."""


def local_database(path: Path | str, *, create: bool = True) -> Database:
    """The one in a file, which is made if it may be; or one in memory for `":memory:"`."""
    from homeostat.core.ledger.sqlite import SqliteDatabase

    return SqliteDatabase(path, create=create)
