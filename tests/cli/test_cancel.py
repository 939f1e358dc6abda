"""A run that is cancelled while no loop is up is ended by the command itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.core import events as ev
from homeostat.core.claims import this_process
from homeostat.core.clock import SystemClock
from homeostat.core.store import Store
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.loop import load_loop
from tests.cli.test_run import LOOP, ROWS, flights


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    """The events of a project in which a run is in flight that nobody works on."""
    (tmp_path / "flights").mkdir()
    flights(ROWS).write_parquet(tmp_path / "flights" / "a.parquet")
    (tmp_path / "loop.py").write_text(LOOP)
    store = Store.open(tmp_path / ".homeostat")
    made = Feed(store.ledger, Rules.of(load_loop(tmp_path / "loop.py")))
    asked = ev.RetrainRequested(loop="flights", user="ann", reason="why not", request="r1")
    made.give(asked, time=SystemClock().now())
    assert made.state.inflight is not None
    return made


def test_a_run_that_is_cancelled_has_ended(homeostat, feed: Feed):
    trigger = feed.state.inflight.key
    answer = homeostat("cancel", "--reason", "changed my mind", "--user", "ann")
    assert answer.code == 0, answer.err
    assert "cancelled the run" in answer.out
    state = feed.catch_up()
    assert (state.inflight, state.cancelling) == (None, False)
    ended = [one.event for one in feed.ledger.events(kinds=(ev.TrainingEnded,))]
    assert [(event.trigger, event.status, event.error) for event in ended] == [
        (trigger, "cancelled", "ann: changed my mind")
    ]
    assert "nothing is in flight" in homeostat("cancel", "--reason", "again").err


def test_the_next_run_is_a_new_one_and_registers(homeostat, feed: Feed):
    trigger = feed.state.inflight.key
    homeostat("cancel", "--reason", "changed my mind")
    facts = homeostat("run", "--json").json
    assert facts["version"]["version"] == 1
    assert facts["version"]["trigger"] != trigger


def test_a_loop_that_is_up_ends_its_run_itself(homeostat, feed: Feed):
    lease = ("engine/flights", this_process())
    feed.ledger.acquire(*lease, ttl=timedelta(minutes=1), now=SystemClock().now())
    assert homeostat("cancel", "--reason", "changed my mind").code == 0
    state = feed.catch_up()
    assert state.inflight is not None
    assert state.cancelling
