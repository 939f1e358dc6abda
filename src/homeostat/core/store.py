"""A store: the one folder that holds a ledger, its artifacts, tables and prediction logs."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.core.artifacts import ArtifactStore
from homeostat.core.errors import StoreError
from homeostat.core.files import make_folder
from homeostat.core.ledger import Ledger
from homeostat.core.ledger.local import FILE
from homeostat.core.loop_names import check_loop_name

if TYPE_CHECKING:
    from homeostat.core.ports import Blobs
    from homeostat.core.table.table import Table, TableSpec

DEFAULT = ".homeostat"


class Store:
    """The folder of one or more loops.

    Args:
        path: An existing folder.
        ledger: Its opened ledger.
        blobs: What keeps its artifacts; by default a folder in it.
    """

    def __init__(self, path: Path, ledger: Ledger, blobs: Blobs | None = None) -> None:
        self.path = path
        self.ledger = ledger
        self.artifacts = ArtifactStore(path / "artifacts" if blobs is None else blobs)
        self._tables: dict[tuple[str, str, TableSpec], Table] = {}

    @classmethod
    def open(cls, path: Path | str, *, create: bool = True) -> Store:
        """Open a store, creating its folder when allowed.

        Raises:
            StoreError: the folder is missing (with `create=False`), is a file, or cannot be written.
        """
        folder = Path(path)
        file = folder / FILE
        try:
            if create:
                make_folder(folder)
            empty = not file.exists() or not file.lstat().st_size
        except OSError as error:
            reason = error.strerror or str(error)
            hint = "check the folder's permissions and free space, or choose another with --store"
            raise StoreError(f"the store {folder} cannot be written: {reason}", hint=hint) from error
        if empty and (beside := _orphaned(folder)):
            what = f"the ledger of the store {folder} is gone, and its {' and '.join(beside)} are there"
            raise StoreError(what, hint=f"restore {FILE} from a backup, or move the folder away to begin anew")
        if not create and not file.exists():
            raise StoreError(f"there is no store at {folder}", hint="`homeostat run` makes one; or pass --store")
        # One that is there is only read: the first write tells whether it can be written.
        create = create and empty
        return cls(folder, Ledger.open(file, create=create))

    def table(self, loop: str, name: str, spec: TableSpec) -> Table:
        """A table of a loop, for example `rows`; the same object every time, because it remembers what it has read."""
        key = (loop, name, spec)
        if key not in self._tables:
            # A server needs no tables: without Delta Lake it takes 16 MB less.
            from homeostat.core.table.table import Table

            self._tables[key] = Table(self.path / "tables" / check_loop_name(loop) / name, spec)
        return self._tables[key]

    def log_folder(self, loop: str) -> Path:
        """Where the prediction log of a loop lies; created when missing."""
        folder = self.path / "log" / check_loop_name(loop)
        try:
            make_folder(folder)
        except OSError as error:
            if error.errno != errno.EROFS:  # where nothing can be written there is nothing to be read either
                raise StoreError(f"{folder} cannot be made: {error.strerror or error}") from error
        return folder

    def close(self) -> None:
        """Close the ledger's connections."""
        self.ledger.close()


def _orphaned(folder: Path) -> list[str]:
    """What lies beside a ledger that is not there, and was recorded in it."""
    return [name for name in ("artifacts", "tables") if next(folder.glob(f"{name}/*/*"), None) is not None]
