"""One live run, played once per test process: nine days of requests, a change of concept, people stepping in."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock, stopwatch
from homeostat.core.store import Store
from homeostat.engine.live.live import Live
from homeostat.loop import Loop, load_loop
from tests.engine.live_world import BEGIN, Caller, rows_of, write_world


@dataclass
class Played:
    """What is left of the run."""

    store: Store
    loop: Loop
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Row id to the prediction that was returned."""
    drill: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Answers to the same rows before the promotion, after it, and after the roll-back."""
    drill_seconds: float = float("inf")
    """From the request to roll back to an answer of the restored version."""
    rows: pl.DataFrame = field(default_factory=pl.DataFrame)


def play(folder: Path) -> Played:
    """Run the loop live on a virtual clock."""
    file = write_world(folder)
    played = Played(Store.open(folder / "store"), load_loop(file))
    clock = VirtualClock(BEGIN)
    with Live(played.store, played.loop, clock=clock) as live:
        live.settle()
        days = [rows_of(range(day, day + 1), changed=day >= 22) for day in range(20, 29)]
        played.rows = pl.concat(days)
        with closing(Caller(str(live.server.url))) as caller:
            for (quarter,), part in played.rows.group_by_dynamic("at", every="6h"):
                moment = quarter + timedelta(hours=6)
                for answer in caller.predict(part, quarter):
                    played.answered[answer["id"]] = answer
                caller.label(part, moment)
                clock.advance_to(moment + timedelta(hours=1))
                live.step()
                live.settle()
            _drill(live, caller, played, days[-1].head(50), clock)
    return played


def _drill(live: Live, caller: Caller, played: Played, rows: pl.DataFrame, clock: VirtualClock) -> None:
    """Promote another version by hand and roll it back, asking the same rows each time."""

    def ask(name: str) -> None:
        live.settle()
        fresh = rows.with_columns(id=pl.col("id") + f"-{name}")
        played.drill[name] = caller.predict(fresh, clock.now())

    ask("before")
    champion = played.store.ledger.champion("world")
    assert champion is not None
    other = next(
        row.version for row in played.store.ledger.versions("world") if row.state in ("retired", "inconclusive")
    )
    promotion = ev.PromotionRequested(loop="world", version=other, user="ann", reason="drill")
    live.feed.give(promotion, time=clock.now())
    ask("promoted")
    begin = stopwatch()
    live.feed.give(ev.RollbackRequested(loop="world", version=None, user="ann", reason="drill"), time=clock.now())
    ask("after")
    played.drill_seconds = stopwatch() - begin
