"""Where a loop stands: who has it in charge, who answers, what was seen and decided last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.labels.join import Counts, read_counts
from homeostat.core import events as ev
from homeostat.core.claims import in_charge
from homeostat.core.ledger.rows import ChampionRow, Recorded, RunRow

if TYPE_CHECKING:
    from homeostat.core.store import Store


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loop stands.

    Attributes:
        events: Ledger number of the newest event of the store.
        in_charge: The living process that has the loop in charge.
        joined: What became of the labels of the log, as the loop saw them last.
        unlabelled: Answered rows that have no label.
        data_refused: What of the data was refused at the last look.
    """

    loop: str
    url: str | None
    events: int
    in_charge: str | None
    champion: ChampionRow | None
    arms: tuple[ev.Arm, ...]
    versions: int
    runs: int
    newest_run: RunRow | None
    joined: Counts | None
    unlabelled: int | None
    data_refused: tuple[str, ...]
    last_observation: Recorded | None
    last_decision: Recorded | None


def status(store: Store, loop: str) -> Status:
    """Where a loop stands now."""
    from homeostat.cd.serve import read_endpoint

    ledger = store.ledger
    arms, found_runs, holder = ledger.arms(loop), ledger.runs(loop), in_charge(ledger, loop)
    endpoint = read_endpoint(store.path, loop) if holder else None
    joined = read_counts(store.path / "log" / loop)
    decided, observed = (
        next(iter(list(ledger.events(loop=loop, kinds=(kind,)))[-1:]), None) for kind in (ev.Decided, ev.Observed)
    )
    signals = getattr(observed.event, "signals", ()) if observed else ()
    return Status(
        loop=loop,
        url=endpoint.url if endpoint else None,
        events=ledger.newest(),
        in_charge=holder,
        champion=ledger.champion(loop),
        arms=arms.event.arms if arms and isinstance(arms.event, ev.ArmsSet) else (),
        versions=len(ledger.versions(loop)),
        runs=len(found_runs),
        newest_run=found_runs[0] if found_runs else None,
        joined=joined,
        unlabelled=joined.predictions - joined.repeated_predictions - joined.joined if joined else None,
        data_refused=tuple(one.detail for one in signals if one.kind == "schema_skew" and one.alarmed),
        last_observation=observed,
        last_decision=decided,
    )
