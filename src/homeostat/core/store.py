"""A store: the one folder that holds a ledger, its artifacts, tables and prediction logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.core.artifacts import ArtifactStore
from homeostat.core.errors import StoreError
from homeostat.core.ledger import Ledger
from homeostat.core.loopnames import check_loop_name

if TYPE_CHECKING:
    from homeostat.core.tables import Table, TableSpec

DEFAULT = ".homeostat"


class Store:
    """The folder of one or more loops.

    Args:
        path: An existing folder.
        ledger: Its opened ledger.
    """

    def __init__(self, path: Path, ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self.artifacts = ArtifactStore(path / "artifacts")
        self._tables: dict[tuple[str, str, TableSpec], Table] = {}

    @classmethod
    def open(cls, path: Path | str, *, create: bool = True) -> Store:
        """Open a store, creating its folder when allowed.

        Raises:
            StoreError: the folder is missing (with `create=False`), is a file, or cannot be written.
        """
        folder = Path(path)
        if not create and not (folder / "ledger.sqlite").exists():
            raise StoreError(f"there is no store at {folder}", hint="`homeostat run` makes one; or pass --store")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            hint = "check the folder's permissions and free space, or choose another with --store"
            raise StoreError(f"the store {folder} cannot be written: {reason}", hint=hint) from error
        return cls(folder, Ledger.open(folder / "ledger.sqlite"))

    def table(self, loop: str, name: str, spec: TableSpec) -> Table:
        """A table of a loop, for example `rows`; the same object every time, because it remembers what it has read."""
        key = (loop, name, spec)
        if key not in self._tables:
            # A server needs no tables: without Delta Lake it takes 16 MB less.
            from homeostat.core.tables import Table

            self._tables[key] = Table(self.path / "tables" / check_loop_name(loop) / name, spec)
        return self._tables[key]

    def log_folder(self, loop: str) -> Path:
        """Where the prediction log of a loop lies; created when missing."""
        folder = self.path / "log" / check_loop_name(loop)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def close(self) -> None:
        """Close the ledger's connections."""
        self.ledger.close()
