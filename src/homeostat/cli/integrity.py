"""Checks that a store still holds what was written to it: the ledger's chain, and every artifact's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.cli.common import open_ledger
from homeostat.core import events as ev
from homeostat.core.errors import HomeostatError, IntegrityError

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger

_SHOWN = 10


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked.

    Attributes:
        events: Events of the chain.
        artifacts: Artifacts whose bytes were read and hashed.
        bytes: Their total size.
        cleared: Step results that the ledger names and that were cleared; they are made again when needed.
    """

    events: int
    artifacts: int
    bytes: int
    cleared: int


def verify_store(store: Path) -> Verified:
    """Recompute the chain and every artifact's hash.

    Args:
        store: The store's folder.

    Raises:
        IntegrityError: Lists what is not what was written, or is missing though a version needs it.
    """
    from homeostat.core.artifacts import ArtifactStore

    ledger = open_ledger(store)
    events = ledger.verify()
    artifacts = ArtifactStore(store / "artifacts")
    problems, checked, size, cleared = [], 0, 0, 0
    for name, needed_by in _named(ledger).items():
        try:
            if artifacts.has(name):
                size += len(artifacts.get(name))
                checked += 1
            elif needed_by:
                problems.append(f"artifact {name[:16]} is missing, and {needed_by} needs it")
            else:
                cleared += 1
        except HomeostatError as error:
            problems.append(f"{error.what} ({needed_by or 'a step result'})")
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        what = f"{len(problems)} artifacts are not what was written: {'; '.join(problems[:_SHOWN])}{more}"
        raise IntegrityError(what, hint="restore them from a backup, or roll back to a version that is whole")
    return Verified(events=events, artifacts=checked, bytes=size, cleared=cleared)


def _named(ledger: Ledger) -> dict[str, str]:
    """Every artifact that the ledger names, and the version that cannot do without it."""
    found: dict[str, str] = {}
    for record in ledger.events(kinds=(ev.StepFinished, ev.VersionRegistered)):
        match record.event:
            case ev.StepFinished(output=str() as output):
                found.setdefault(output, "")
            case ev.VersionRegistered() as version:
                found[version.manifest] = f"version {version.version} of {version.loop}"
    return found
