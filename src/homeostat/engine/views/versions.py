"""The versions of a loop: where each comes from, its metrics offline and online, and its gates."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from homeostat.core import events as ev
from homeostat.core.ledger.unproven import is_unproven
from homeostat.engine.views.card import online_performance

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger


class VersionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One version.

    Attributes:
        window: First and last event time of its training rows.
        online: The newest performance on matured labels.
        refused_by: The gates that it did not pass.
        unproven: Whether it waits, because its gates ran elsewhere.
    """

    version: int
    state: str
    registered: datetime
    run: str
    trigger: ev.Trigger
    parent: int | None
    how: str
    manifest: str
    trained_rows: int
    window: tuple[datetime | None, datetime | None]
    train_metrics: dict[str, float | None]
    test_metrics: dict[str, float | None]
    online: ev.Performance | None
    gates: tuple[ev.GateResult, ...]
    passed: bool
    refused_by: tuple[str, ...]
    unproven: bool


def versions(ledger: Ledger, loop: str, limit: int | None = None) -> list[VersionFacts]:
    """The versions of a loop, newest first."""
    online = online_performance(ledger, loop)
    found = []
    for row in ledger.versions(loop)[:limit]:
        event = ledger.event(row.seq).event
        assert isinstance(event, ev.VersionRegistered)
        found.append(
            VersionFacts(
                version=row.version,
                state=row.state,
                registered=row.registered,
                run=row.run,
                trigger=event.trigger,
                parent=event.parent,
                how=event.how,
                manifest=row.manifest,
                trained_rows=event.trained_rows,
                window=(event.window_start, event.window_end),
                train_metrics=event.train_metrics,
                test_metrics=event.test_metrics,
                online=online.get(row.version),
                gates=event.gates,
                passed=event.passed,
                refused_by=tuple(gate.gate for gate in event.gates if not gate.passed),
                unproven=is_unproven(event.gates),
            )
        )
    return found
