"""Checks that a store still holds what was written to it: the ledger's chain, every artifact's bytes, every model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.cli.common import open_ledger
from homeostat.core.errors import HomeostatError, IntegrityError

if TYPE_CHECKING:
    from homeostat.core.artifacts import ArtifactStore
    from homeostat.core.ledger import Ledger

_SHOWN = 10


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked.

    Attributes:
        events: Events of the chain.
        versions: Versions whose model is there, whole.
        artifacts: Artifacts whose bytes were read and hashed.
        bytes: Their total size.
        rows: Rows of all tables, which were read and hashed.
    """

    events: int
    versions: int
    artifacts: int
    bytes: int
    rows: int


def verify_store(store: Path) -> Verified:
    """Recompute the chain, every artifact's hash and every table's digest, and read every version's model.

    The result of a step may be missing: it is made again when it is needed. A version's model may not.

    Args:
        store: The store's folder.

    Raises:
        IntegrityError: Lists what is not what was written, or is missing though a version needs it.
    """
    from homeostat.core.artifacts import ArtifactStore

    ledger = open_ledger(store)
    events = ledger.verify()
    artifacts = ArtifactStore(store / "artifacts")
    problems, checked, size = [], 0, 0
    for name in artifacts.names():
        try:
            size += len(artifacts.get(name))
            checked += 1
        except HomeostatError as error:
            problems.append(error.what)
    versions, missing = _versions(ledger, artifacts)
    tables, altered = _tables(store)
    problems += missing + altered
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        what = f"the store is not what was written: {'; '.join(problems[:_SHOWN])}{more}"
        raise IntegrityError(what, hint="restore it from a backup, or roll back to a version that is whole")
    return Verified(events=events, versions=versions, artifacts=checked, bytes=size, rows=tables)


def _versions(ledger: Ledger, artifacts: ArtifactStore) -> tuple[int, list[str]]:
    """How many versions are whole, and what is wrong with the others."""
    from homeostat.core.model import Bundle

    whole, problems = 0, []
    for loop in ledger.loops():
        for row in ledger.versions(loop):
            try:
                Bundle.read(artifacts, row.manifest)
                whole += 1
            except HomeostatError as error:
                problems.append(f"version {row.version} of {loop} cannot be loaded: {error.what}")
    return whole, problems


def _tables(store: Path) -> tuple[int, list[str]]:
    """How many rows the tables hold, and which tables do not hold what was committed."""
    from homeostat.core.delta import open_table, read_meta
    from homeostat.core.tables import Table

    rows, problems = 0, []
    for log in sorted(store.glob("tables/*/*/_delta_log")):
        folder, name = log.parent, f"{log.parent.parent.name}/{log.parent.name}"
        try:
            table = Table(folder, read_meta(open_table(folder), name).spec)
            table.content_digest()
            rows += table.rows
        except HomeostatError as error:
            problems.append(f"table {name}: {error.what}")
    return rows, problems
