"""What is fed is decided upon once, upon all that others fed before, and stands in the ledger whole or not at all."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from homeostat.core import events as ev
from homeostat.core.errors import ConflictError, RefusedError
from homeostat.core.ledger import Lease, Ledger
from homeostat.ct import when
from homeostat.engine.decide.feed import decided, ended_key, replayed
from tests.engine.driver import START, Driver, drifted

REQUEST = ev.RetrainRequested(loop="loop", user="ann", reason="now", request="r")
CANCEL = ev.CancelRequested(loop="loop", user="ann", reason="wrong data")


@pytest.fixture
def driver() -> Driver:
    made = Driver(when.drift(psi=0.2))
    made.first_champion()
    made.confirm()
    return made


def registration(driver: Driver, key: str) -> ev.VersionRegistered:
    """What a run for a trigger would register."""
    first = next(one.event for one in driver.ledger.events(kinds=(ev.VersionRegistered,)))
    assert isinstance(first, ev.VersionRegistered)
    return msgspec.structs.replace(first, trigger=ev.Trigger(key=key, kind="manual", reason="r"), parent=1)


def inflight(driver: Driver) -> str:
    trigger = driver.feed.state.inflight
    assert trigger is not None
    return trigger.key


def lost(ledger: Ledger) -> Lease:
    """A lease that another process took since."""
    lease = ledger.acquire("engine/loop", "first", ttl=timedelta(seconds=30), now=START)
    ledger.acquire("engine/loop", "second", ttl=timedelta(seconds=30), now=START + timedelta(minutes=1))
    return lease


def test_a_run_that_was_cancelled_registers_nothing_before_its_end_is_recorded(driver: Driver) -> None:
    driver.give(REQUEST)
    key = inflight(driver)
    driver.give(CANCEL)
    for feed in (driver.feed, Driver(ledger=driver.ledger).feed):
        with pytest.raises(RefusedError, match="was ended"):
            feed.register(registration(driver, key), time=driver.now)
    assert len(driver.ledger.versions("loop")) == 1


def test_another_trigger_registers_while_a_run_is_being_cancelled(driver: Driver) -> None:
    driver.give(REQUEST)
    driver.give(CANCEL)
    driver.feed.register(registration(driver, "another"), time=driver.now)
    assert next(row.trigger for row in driver.ledger.versions("loop")) == "another"


@pytest.mark.parametrize("status", ["failed", "stopped", "cancelled"])
def test_a_run_whose_end_is_recorded_registers_nothing_however_it_ended(driver: Driver, status: str) -> None:
    driver.give(REQUEST)
    key = inflight(driver)
    ended = ev.TrainingEnded(loop="loop", trigger=key, run=None, status=status, error="why")  # type: ignore[arg-type]
    driver.give(ended, key=ended_key(key))
    with pytest.raises(RefusedError, match="was ended"):
        driver.feed.register(registration(driver, key), time=driver.now)
    assert len(driver.ledger.versions("loop")) == 1


def test_a_version_that_is_registered_again_decides_nothing_again(driver: Driver) -> None:
    driver.give(REQUEST)
    key = inflight(driver)
    first, decisions = driver.feed.register(registration(driver, key), time=driver.now)
    newest, state = driver.ledger.newest(), driver.feed.state
    again, none = driver.feed.register(registration(driver, key), time=driver.now)
    assert (len(decisions), none, again.event) == (1, (), first.event)
    assert (driver.ledger.newest(), driver.feed.state) == (newest, state)


def test_an_event_whose_key_is_recorded_decides_nothing(driver: Driver) -> None:
    first = driver.give(REQUEST, key="once")
    newest, state = driver.ledger.newest(), driver.feed.state
    assert len(first) == 1
    assert driver.give(REQUEST, key="once") == []
    assert (driver.ledger.newest(), driver.feed.state) == (newest, state)


def test_each_feed_decides_upon_what_the_others_did(driver: Driver) -> None:
    other = Driver(driver.rules.when, ledger=driver.ledger)
    driver.give(REQUEST)
    (decided_there,) = other.give(REQUEST)
    assert "the one in flight" in decided_there.reason
    other.register()
    other.observe(judgement=other.judged(10, "roll_back"))
    assert driver.feed.catch_up() == msgspec.structs.replace(other.feed.state, rules=driver.rules)
    assert driver.register() == 3


def test_a_registration_is_decided_upon_what_others_did_meanwhile(driver: Driver) -> None:
    behind = Driver(ledger=driver.ledger)
    behind.feed.catch_up()
    driver.register()
    _, (decision,) = behind.feed.register(registration(driver, "another"), time=driver.now)
    assert "set aside: version 2 is on trial" in decision.decided.reason


def test_whoever_lost_the_lease_records_nothing_and_its_state_stays(driver: Driver) -> None:
    lease, newest, state = lost(driver.ledger), driver.ledger.newest(), driver.feed.state
    with pytest.raises(ConflictError):
        driver.feed.give(REQUEST, time=driver.now, lease=lease)
    with pytest.raises(ConflictError):
        driver.feed.register(registration(driver, "k"), time=driver.now, lease=lease)
    assert (driver.ledger.newest(), driver.feed.state) == (newest, state)


def test_what_follows_from_an_event_names_it_and_has_its_time(driver: Driver) -> None:
    before = driver.ledger.newest()
    driver.now += timedelta(hours=3)
    driver.give(ev.PromotionRequested(loop="loop", version=driver.register(), user="ann", reason="r"))
    asked = next(one for one in driver.ledger.events(after=before) if isinstance(one.event, ev.PromotionRequested))
    followed = list(driver.ledger.events(after=asked.seq))
    assert [type(one.event) for one in followed] == [ev.Decided, ev.TrialEnded, ev.Promoted, ev.ArmsSet]
    assert {(one.cause, one.time) for one in followed} == {(asked.seq, driver.now)}


def test_the_same_events_decide_the_same_again_and_each_only_once(driver: Driver) -> None:
    driver.observe(signals=(drifted(0.9),))
    driver.register()
    driver.observe(judgement=driver.judged(1_000))
    events = list(driver.ledger.events(loop="loop"))
    again = [(seq, decision.decided) for seq, decision in replayed(driver.rules, events)]
    assert again == decided(events)
    assert len(again) == 6
    followed = [one.event for one in events if one.cause is not None and not isinstance(one.event, ev.Decided)]
    assert [fact for _, decision in replayed(driver.rules, events) for fact in decision.facts] == followed


def test_a_decision_to_train_counts_once_when_it_is_replayed() -> None:
    driver = Driver(when.drift(psi=0.2).at_most(3, per="9d"))
    driver.first_champion()
    for _ in range(4):
        driver.observe(signals=(drifted(0.9),))
        if driver.feed.state.inflight is not None:
            driver.register(gates=())
    again = [decision.decided.action for _, decision in replayed(driver.rules, driver.ledger.events())]
    assert again.count("retrain") == 2 + 1
    assert again == [one.action for _, one in decided(driver.ledger.events())]


def test_a_ledger_on_disk_holds_what_was_decided_when_it_is_opened_anew(tmp_path: Path) -> None:
    driver = Driver(ledger=Ledger.open(tmp_path / "ledger.sqlite"))
    driver.first_champion()
    driver.give(REQUEST)
    anew = Driver(ledger=Ledger.open(tmp_path / "ledger.sqlite"))
    assert anew.feed.catch_up() == driver.feed.state
