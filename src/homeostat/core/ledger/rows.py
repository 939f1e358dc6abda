"""What is read from a ledger: events as they stand in it, and the rows of its status tables."""

from __future__ import annotations

from datetime import datetime

import msgspec

from homeostat.core import events as ev


class Recorded(msgspec.Struct, frozen=True):
    """An event as it stands in the ledger. `fresh` is False when its key was there already."""

    seq: int
    time: datetime
    key: str | None
    cause: int | None
    hash: str
    event: ev.AnyEvent
    fresh: bool = True


class RunRow(msgspec.Struct, frozen=True):
    """The status of a run."""

    run: str
    loop: str
    status: str
    trigger: str
    kind: str
    reason: str
    started: datetime
    ended: datetime | None
    error: str | None
    version: int | None


class CacheRow(msgspec.Struct, frozen=True):
    """A step's earlier result."""

    key: str
    step: str
    output: str
    run: str


class VersionRow(msgspec.Struct, frozen=True):
    """The status of a version: candidate, refused, what its arm is called, retired, rolled_back or inconclusive."""

    loop: str
    version: int
    state: str
    trigger: str
    run: str
    manifest: str
    registered: datetime
    seq: int


class ChampionRow(msgspec.Struct, frozen=True):
    """The one champion of a loop. `epoch` counts its changes from 1."""

    loop: str
    version: int
    previous: int | None
    epoch: int
    since: datetime


class Lease(msgspec.Struct, frozen=True):
    """A claim on a piece of work. The fence grows with every change of hands."""

    name: str
    owner: str
    fence: int
