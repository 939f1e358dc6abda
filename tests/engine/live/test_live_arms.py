"""A live loop with a bandit: its server divides traffic by the ledger, and its decisions are those of a replay."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from homeostat.cd.log import LogReader, PredictionRecord
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock
from homeostat.core.store import Store
from homeostat.engine.decide.feed import decided, replayed
from homeostat.engine.live.live import Live
from homeostat.loop import load_loop
from tests.engine.live_world import BEGIN, Caller, rows_of, write_world

CANARY = "deploy.Canary(shadow_rows=100, steps=(0.2, 0.5), step_rows=100, horizon=3_000, margin=0.02)"
BANDIT = 'deploy.Bandit(method="thompson", floor=0.1, rows=100, share=0.3, horizon=3_000, harm=0.02, margin=0.02)'

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The world's loop, with a bandit instead of its canary."""
    file = write_world(tmp_path, policy='when.every("1d")')
    text = file.read_text()
    assert CANARY in text
    file.write_text(text.replace(CANARY, BANDIT))
    return file


def test_a_live_bandit_moves_shares_by_events_that_a_replay_decides_again(file: Path) -> None:
    store, loop, clock = Store.open(file.parent / "store"), load_loop(file), VirtualClock(BEGIN)
    rows = rows_of(range(20, 24), changed=True)
    with Live(store, loop, clock=clock) as live:
        live.settle()
        with closing(Caller(str(live.server.url))) as caller:
            for (quarter,), part in rows.group_by_dynamic("at", every="6h"):
                moment = quarter + timedelta(hours=6)
                caller.predict(part, quarter)
                caller.label(part, moment)
                clock.advance_to(moment + timedelta(hours=1))
                live.step()
                live.settle()
        rules = live.feed.state.rules
    events = list(store.ledger.events(loop="world"))
    shares = [arm.share for one in events if isinstance(one.event, ev.ArmsSet) for arm in one.event.arms[1:]]
    assert shares[0] == 0.3
    assert max(shares) > 0.5  # the concept has changed, and the new model is better
    assert sum(isinstance(one.event, ev.Promoted) for one in events) >= 2
    again = [(seq, decision.decided) for seq, decision in replayed(rules, events)]
    stand = [msgspec.json.encode(pair, order="sorted") for pair in decided(events)]
    assert [msgspec.json.encode(pair, order="sorted") for pair in again] == stand
    logged = [
        row
        for record in LogReader(store.log_folder("world")).read().records
        if isinstance(record, PredictionRecord)
        for row in record.rows
    ]
    given = {round(share, 6) for share in [*shares, *(1 - share for share in shares), 1.0]}
    assert {round(row.propensity, 6) for row in logged} <= given
    assert len({row.propensity for row in logged}) >= 3
