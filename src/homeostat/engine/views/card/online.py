"""How versions do on matured labels, as the monitor saw it last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.core import events as ev

if TYPE_CHECKING:
    from homeostat.core.events import Performance
    from homeostat.core.ledger import Ledger


def online_performance(ledger: Ledger, loop: str) -> dict[int, Performance]:
    """The newest performance of each version that ever had matured labels, by version."""
    found: dict[int, Performance] = {}
    for recorded in ledger.events(loop=loop, kinds=(ev.Observed,)):
        if isinstance(recorded.event, ev.Observed):
            found |= {one.version: one for one in recorded.event.performance if one.value is not None}
    return found
