"""The state is a fold of the ledger: what each event changes in it, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.cd.deploy import Immediately
from homeostat.core import events as ev
from homeostat.ct import when
from homeostat.engine.decide.state import State, evolve, fold
from tests.engine.driver import PASSED, REFUSED, Driver, drifted

REQUEST = ev.RetrainRequested(loop="loop", user="ann", reason="now", request="r")


@pytest.fixture
def driver() -> Driver:
    made = Driver()
    made.first_champion()
    return made


def promote(driver: Driver, version: int) -> None:
    driver.give(ev.PromotionRequested(loop="loop", version=version, user="ann", reason="r"))


def ends(driver: Driver, trigger: str, status: str = "failed") -> None:
    driver.give(ev.TrainingEnded(loop="loop", trigger=trigger, run=None, status=status, error="why"))  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["passed", "refused", "observe", "drift", "promote", "rollback", "cancel", "confirm"])))
def test_deciding_along_the_way_gives_the_state_that_the_ledger_folds_to(actions: list[str]) -> None:
    driver = Driver(when.drift(psi=0.2), plan=Immediately())
    driver.first_champion()
    for action in actions:
        match action:
            case "passed" | "refused" if driver.feed.state.cancelling and driver.feed.state.inflight is not None:
                ends(driver, driver.feed.state.inflight.key, "cancelled")
            case "passed" | "refused":
                driver.register(gates=PASSED if action == "passed" else REFUSED)
            case "observe" | "drift":
                driver.observe(signals=(drifted(0.9),) if action == "drift" else (), source_version=action)
            case "promote":
                promote(driver, 1)
            case "rollback":
                driver.give(ev.RollbackRequested(loop="loop", version=None, user="ann", reason="r"))
            case "cancel":
                driver.give(ev.CancelRequested(loop="loop", user="ann", reason="r"))
            case "confirm":
                driver.confirm()
    assert fold(State(rules=driver.rules), driver.ledger.events()) == driver.feed.state
    assert driver.feed.state.seq == driver.ledger.newest()


def test_events_of_other_loops_change_nothing(driver: Driver) -> None:
    before = driver.feed.state
    Driver(ledger=driver.ledger, loop="other").first_champion()
    others = [one for one in driver.ledger.events() if one.event.loop == "other"]
    assert len(others) > 3
    assert fold(before, others) == before


def test_an_event_that_comes_again_does_not_turn_the_ledger_number_back(driver: Driver) -> None:
    first = next(driver.ledger.events())
    assert evolve(driver.feed.state, first).seq == driver.feed.state.seq


def test_the_start_of_a_loop_is_its_first(driver: Driver) -> None:
    began = driver.feed.state.history.started
    driver.now += timedelta(days=3)
    driver.give(ev.LoopStopped(loop="loop", who="test", reason="r"))
    driver.start()
    assert driver.feed.state.history.started == began


def test_traffic_is_being_replaced_until_the_server_confirms_this_division_or_is_gone(driver: Driver) -> None:
    wanted = driver.feed.state.replacing
    assert wanted == driver.feed.state.divided
    assert wanted is not None
    driver.give(ev.RoutingApplied(loop="loop", arms_seq=wanted - 1))
    assert driver.feed.state.replacing == wanted
    driver.give(ev.RoutingApplied(loop="loop", arms_seq=wanted))
    assert driver.feed.state.replacing is None
    driver.register()
    assert driver.feed.state.replacing is not None
    driver.give(ev.LoopStopped(loop="loop", who="test", reason="r"))
    assert (driver.feed.state.replacing, driver.feed.state.served) == (None, False)
    promote(driver, 2)
    assert driver.feed.state.replacing is None, "nobody is up who would confirm it"


def test_the_first_version_of_the_source_that_is_seen_is_what_the_model_knows(driver: Driver) -> None:
    driver.observe(source_version="a")
    assert driver.feed.state.history.source_version == "a"
    driver.observe(source_version="b")
    driver.observe(source_version=None)
    assert (driver.feed.state.source_version, driver.feed.state.history.source_version) == ("b", "a")
    driver.register()
    assert driver.feed.state.history.source_version == "b"


def test_before_any_model_the_source_has_no_version_that_one_knows() -> None:
    driver = Driver()
    driver.start()
    driver.observe(source_version="a")
    assert driver.feed.state.history.source_version is None


def test_a_version_remembers_who_refused_it_and_who_did_so_for_good(driver: Driver) -> None:
    binding = msgspec.structs.replace(REFUSED[0], gate="sound", binding=True)
    fine = msgspec.structs.replace(PASSED[0], gate="contract", binding=True)
    driver.register(gates=(*REFUSED, binding, *PASSED, fine))
    driver.register(gates=())
    known = driver.feed.state.candidates
    assert [(known[one].refused_by, known[one].vetoes) for one in (1, 2, 3)] == [
        ((), ()),
        (("at_least", "sound"), ("sound",)),
        (("no gates",), ()),
    ]


def test_a_registration_counts_as_a_training_and_says_how_many_rows_there_were(driver: Driver) -> None:
    driver.now += timedelta(days=1)
    driver.register(trainable=700)
    history = driver.feed.state.history
    assert (history.trained_at, history.busy_until, history.trainable) == (driver.now, driver.now, 700)


def test_only_the_trigger_in_flight_ends_with_its_own_version_or_end(driver: Driver) -> None:
    driver.give(REQUEST)
    inflight = driver.feed.state.inflight
    assert inflight is not None
    driver.confirm()
    driver.give(ev.CancelRequested(loop="loop", user="ann", reason="r"))
    ends(driver, "another")
    assert driver.feed.state.inflight == inflight
    other = next(one.event for one in driver.ledger.events(kinds=(ev.VersionRegistered,)))
    trigger = ev.Trigger(key="another", kind="manual", reason="r")
    driver.feed.register(msgspec.structs.replace(other, trigger=trigger), time=driver.now)  # type: ignore[type-var]
    assert (driver.feed.state.inflight, driver.feed.state.cancelling) == (inflight, True)
    driver.now += timedelta(hours=1)
    ends(driver, inflight.key, "cancelled")
    state = driver.feed.state
    assert (state.inflight, state.cancelling, state.history.busy_until) == (None, False, driver.now)


def test_the_last_hundred_fires_are_kept_newest_last() -> None:
    driver = Driver()
    driver.first_champion()
    for _ in range(105):
        driver.now += timedelta(hours=1)
        driver.give(REQUEST)
        driver.register(gates=())
    fires = driver.feed.state.history.fires
    assert len(fires) == 100
    assert fires == tuple(sorted(fires))
    assert fires[-1] == driver.now


def test_who_reigned_is_kept_once_each_and_a_roll_back_forgets_those_after() -> None:
    driver = Driver(plan=Immediately())
    driver.first_champion()
    driver.register()
    driver.register()
    promote(driver, 1)
    assert driver.feed.state.reigned == (2, 3, 1)
    driver.give(ev.RollbackRequested(loop="loop", version=3, user="ann", reason="r"))
    assert (driver.feed.state.reigned, driver.feed.state.epoch) == ((2, 3), 5)


def test_a_trial_knows_when_it_began_its_share_and_what_was_seen_when_its_stage_did(driver: Driver) -> None:
    driver.now += timedelta(hours=5)
    driver.register()
    begun = driver.now
    driver.observe(judgement=driver.judged(1_000, matured=1_100))
    trial = driver.feed.state.trial
    assert trial is not None
    assert (trial.started, trial.stage, trial.share, trial.pairs_before) == (begun, 1, 0.05, 1_100)
