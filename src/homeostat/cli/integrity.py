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
    """

    events: int
    versions: int
    artifacts: int
    bytes: int


def verify_store(store: Path) -> Verified:
    """Recompute the chain and every artifact's hash, and read every version's model.

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
    problems += missing
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        what = f"the store is not what was written: {'; '.join(problems[:_SHOWN])}{more}"
        raise IntegrityError(what, hint="restore it from a backup, or roll back to a version that is whole")
    return Verified(events=events, versions=versions, artifacts=checked, bytes=size)


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
