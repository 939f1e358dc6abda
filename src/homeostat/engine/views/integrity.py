"""Checks that a store still holds what was written to it: the ledger's chain, every artifact's bytes, every model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core.errors import HomeostatError, IntegrityError
from homeostat.core.ledger.anchor import broken, read_anchor

if TYPE_CHECKING:
    from homeostat.core.artifacts import ArtifactStore
    from homeostat.core.ledger import Ledger

Progress = Callable[[int, int | None, str], None]
_SHOWN = 10


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked.

    Attributes:
        artifacts: Artifacts whose bytes were read and hashed.
        rows: Rows of all tables, which were read and hashed.
    """

    events: int
    versions: int
    artifacts: int
    bytes: int
    rows: int


def verify_store(store: Path, progress: Progress | None = None, anchor: Path | None = None) -> Verified:
    """Recompute the chain, every artifact's hash and every table's digest, and read every version's model.

    The result of a step may be missing: it is made again when it is needed. A version's model may not.

    Args:
        store: The store's folder.
        progress: Called with how many are done, how many there are, and of what, before each of them.
        anchor: What `homeostat anchor` printed earlier; events of then that are gone or rewritten are found too.

    Raises:
        IntegrityError: Lists what is not what was written, or is missing though a version needs it.
    """
    from homeostat.core.artifacts import ArtifactStore
    from homeostat.core.store import Store

    tell = progress or (lambda _done, _all, _what: None)
    ledger = Store.open(store, create=False).ledger
    tell(0, None, "events")
    events = ledger.verify()
    artifacts = ArtifactStore(store / "artifacts")
    problems, checked, size = [], 0, 0
    if anchor is not None:
        problems += broken(ledger, read_anchor(anchor))
    names = list(artifacts.blobs.keys())
    if not events and names:
        problems.append(f"the ledger holds no event, and {len(names):,} artifacts lie beside it: it was emptied")
    for place, name in enumerate(names):
        tell(place, len(names), "artifacts")
        try:
            size += len(artifacts.get(name))
            checked += 1
        except HomeostatError as error:
            problems.append(error.what)
    versions, missing = _versions(ledger, artifacts, tell)
    tables, altered = _tables(store, _appended(ledger), tell)
    problems += missing + altered
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        what = f"the store is not what was written: {'; '.join(problems[:_SHOWN])}{more}"
        raise IntegrityError(what, hint="restore it from a backup, or roll back to a version that is whole")
    return Verified(events=events, versions=versions, artifacts=checked, bytes=size, rows=tables)


def _versions(ledger: Ledger, artifacts: ArtifactStore, tell: Progress) -> tuple[int, list[str]]:
    """How many versions are whole, and what is wrong with the others."""
    from homeostat.core.model import Bundle

    whole, problems = 0, []
    rows = [(loop, row) for loop in ledger.loops() for row in ledger.versions(loop)]
    for place, (loop, row) in enumerate(rows):
        tell(place, len(rows), "versions")
        try:
            Bundle.read(artifacts, row.manifest)
            whole += 1
        except HomeostatError as error:
            problems.append(f"version {row.version} of {loop} cannot be loaded: {error.what}")
    return whole, problems


def _appended(ledger: Ledger) -> dict[tuple[str, str], int]:
    """How many rows each table of a loop held when something was last recorded about it."""
    from homeostat.core import events as ev

    found: dict[tuple[str, str], int] = {}
    kinds = tuple(
        kind for kind in vars(ev).values() if {"table", "total"} <= set(getattr(kind, "__struct_fields__", ()))
    )
    for recorded in ledger.events(kinds=kinds):
        event: Any = recorded.event
        found[event.loop, event.table] = event.total
    return found


def _tables(store: Path, appended: dict[tuple[str, str], int], tell: Progress) -> tuple[int, list[str]]:
    """How many rows the tables hold, and which tables do not hold what was committed and recorded."""
    from homeostat.core.table.delta import open_table, read_meta
    from homeostat.core.table.table import Table

    rows, problems = 0, []
    there = {(log.parent.parent.name, log.parent.name) for log in (store / "tables").glob("*/*/_delta_log")}
    wanted = {name for name, total in appended.items() if total}
    for place, (loop, name) in enumerate(sorted(there | wanted)):
        tell(place, len(there | wanted), "tables")
        folder, total = store / "tables" / loop / name, appended.get((loop, name), 0)
        if (loop, name) not in there:
            problems.append(f"table {loop}/{name} is missing, and {total:,} rows were appended to it")
            continue
        try:
            table = Table(folder, read_meta(open_table(folder), name).spec)
            table.content_digest()
            rows += table.rows
            if table.rows < total:
                problems.append(f"table {loop}/{name} has {table.rows:,} rows, and {total:,} were appended to it")
        except HomeostatError as error:
            problems.append(f"table {loop}/{name}: {error.what}")
    return rows, problems
