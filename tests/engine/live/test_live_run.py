"""What a live run leaves: the concept's change is followed, every row is answered, logged, joined and learned from."""

from __future__ import annotations

import pytest

from homeostat.cd.labels.join import Traffic
from homeostat.core import events as ev
from tests.engine.played import Played

pytestmark = pytest.mark.slow


def test_the_loop_follows_a_change_of_concept(played: Played) -> None:
    ledger = played.store.ledger
    promoted = [one.event for one in ledger.events(kinds=(ev.Promoted,))]
    assert len(promoted) >= 3
    last = played.rows.tail(240)
    right = [played.answered[one]["value"] == label for one, label in last.select("id", "y").iter_rows()]
    assert sum(right) / len(right) > 0.85


def test_every_answered_row_is_in_the_log_and_joined_once(played: Played) -> None:
    traffic = Traffic(played.store.log_folder("world"))
    traffic.take()
    outcomes = traffic.outcomes()
    assert len(outcomes.labels) == len(played.answered) + 3 * 50
    assert sum(label is not None for label in outcomes.labels) == len(played.rows)
    table = played.store.table("world", "rows", played.loop.source.spec)
    assert table.rows == 20 * 240 + len(played.rows)


def test_the_ledger_of_a_live_run_is_whole(played: Played) -> None:
    ledger = played.store.ledger
    assert ledger.verify() == ledger.newest()
    started = [one.event.who for one in ledger.events(kinds=(ev.LoopStarted,))]
    stopped = [one.event.who for one in ledger.events(kinds=(ev.LoopStopped,))]
    assert started == stopped
    assert ledger.lease_holder("engine/world", now=next(ledger.events()).time) is None
