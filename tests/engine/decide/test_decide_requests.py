"""What people and the server ask of a loop, and what comes of it: who, from what to what, and what is refused."""

from __future__ import annotations

import pytest

from homeostat.cd.deploy import Immediately
from homeostat.core import events as ev
from homeostat.core.ledger.unproven import UNPROVEN
from tests.engine.driver import PLAN, REFUSED, Driver

IMPORTED = (ev.GateResult(gate=UNPROVEN, passed=False, reason="imported", numbers={}, binding=True),)
BINDING = (ev.GateResult(gate="sound", passed=False, reason="predicts NaN", numbers={}, binding=True),)


def facts(driver: Driver, kind: type[ev.Event]) -> list[ev.Event]:
    return [one.event for one in driver.ledger.events(kinds=(kind,))]


def promote(version: int, *, direct: bool = True) -> ev.PromotionRequested:
    return ev.PromotionRequested(loop="loop", version=version, user="ann", reason="better", direct=direct)


def roll_back(version: int | None = None) -> ev.RollbackRequested:
    return ev.RollbackRequested(loop="loop", version=version, user="ann", reason="worse")


def cancel() -> ev.CancelRequested:
    return ev.CancelRequested(loop="loop", user="ann", reason="stop")


def ended(driver: Driver, status: str) -> list[ev.Decided]:
    trigger = driver.feed.state.inflight
    assert trigger is not None
    return driver.give(ev.TrainingEnded(loop="loop", trigger=trigger.key, run=None, status=status, error="why"))  # type: ignore[arg-type]


@pytest.fixture
def driver() -> Driver:
    """A loop with a champion that the server answers with."""
    made = Driver()
    made.first_champion()
    made.confirm()
    return made


@pytest.fixture
def at_once() -> Driver:
    """Three champions one after the other, the third of them reigning."""
    made = Driver(plan=Immediately())
    made.first_champion()
    made.register()
    made.register()
    return made


def test_a_change_of_champion_names_who_did_it_what_was_before_and_the_next_epoch(driver: Driver) -> None:
    driver.register(gates=REFUSED)
    driver.give(promote(2))
    driver.give(roll_back())
    first, second = facts(driver, ev.Promoted)
    (back,) = facts(driver, ev.RolledBack)
    assert [(one.version, one.previous, one.epoch) for one in (first, second, back)] == [  # type: ignore[attr-defined]
        (1, None, 1),
        (2, 1, 2),
        (1, 2, 3),
    ]
    assert [one.who for one in (first, second, back)] == ["the loop", "ann", "ann"]  # type: ignore[attr-defined]


def test_units_are_divided_anew_for_each_trial_and_each_champion(at_once: Driver) -> None:
    assert [one.salt for one in facts(at_once, ev.ArmsSet)] == ["loop/1", "loop/2", "loop/3"]  # type: ignore[attr-defined]


def test_a_trial_divides_units_by_its_challenger_and_names_its_role_and_stage(driver: Driver) -> None:
    driver.register()
    driver.observe(judgement=driver.judged(1_000, matured=1_200))
    shadow, canary = facts(driver, ev.ArmsSet)[-2:]
    assert [[(arm.version, arm.role) for arm in one.arms] for one in (shadow, canary)] == [  # type: ignore[attr-defined]
        [(1, "champion"), (2, "shadow")],
        [(1, "champion"), (2, "canary")],
    ]
    assert [(one.salt, one.stage, one.pairs) for one in (shadow, canary)] == [("loop/2", 0, 0), ("loop/2", 1, 1_200)]  # type: ignore[attr-defined]


def test_a_run_is_asked_for_once_and_by_whoever_asks(driver: Driver) -> None:
    request = ev.RetrainRequested(loop="loop", user="ann", reason="new airport", request="r")
    (first,) = driver.give(request)
    (second,) = driver.give(request)
    assert (first.action, first.about, second.action, second.fired) == ("retrain", "request", "keep", False)
    (command,) = first.commands
    assert isinstance(command, ev.Train)
    assert (command.now, command.trigger.key) == (driver.now, f"loop/{command.trigger.cause}")
    assert isinstance(driver.ledger.event(command.trigger.cause or 0).event, ev.RetrainRequested)
    assert second.commands == ()
    assert driver.feed.state.history.fires[1:] == (driver.now,)


@pytest.mark.parametrize(
    ("status", "action", "about"),
    [("failed", "notify", "service"), ("stopped", "stop", "data"), ("cancelled", "keep", "request")],
)
def test_a_run_that_comes_to_nothing_is_told_for_what_it_was(
    driver: Driver, status: str, action: str, about: str
) -> None:
    driver.give(ev.RetrainRequested(loop="loop", user="ann", reason="now", request="r"))
    (decided,) = ended(driver, status)
    assert (decided.action, decided.about, decided.fired) == (action, about, status != "cancelled")
    assert driver.feed.state.inflight is None


def test_a_start_resumes_what_was_cut_off_and_trains_only_where_nothing_was_ever_trained() -> None:
    driver = Driver()
    (initial,) = driver.start()
    (resumed,) = driver.start()
    assert (initial.action, resumed.action, resumed.commands) == ("retrain", "retrain", ())
    assert driver.feed.state.inflight is not None
    assert driver.feed.state.inflight.key == initial.commands[0].trigger.key  # type: ignore[union-attr]
    driver.register(gates=REFUSED)
    assert driver.start() == []
    driver.register()
    assert driver.start() == []


def test_a_promotion_to_what_reigns_or_is_not_there_is_refused(driver: Driver) -> None:
    for version, told in ((1, "is the champion already"), (7, "is not registered")):
        (decided,) = driver.give(promote(version))
        assert (decided.action, decided.fired) == ("keep", False)
        assert told in decided.reason
    assert driver.arms() == {1: 1.0}


def test_a_promotion_ends_the_trial_that_runs_and_says_how(driver: Driver) -> None:
    driver.register()
    driver.give(promote(2))
    driver.register()
    driver.register(gates=REFUSED)
    driver.give(promote(4))
    assert [(one.challenger, one.outcome) for one in facts(driver, ev.TrialEnded)] == [
        (2, "promoted"),
        (3, "cancelled"),
    ]  # type: ignore[attr-defined]
    assert driver.feed.state.trial is None
    assert driver.arms() == {4: 1.0}


def test_a_push_starts_a_trial_unless_one_runs(driver: Driver) -> None:
    driver.register(gates=REFUSED)
    (pushed,) = driver.give(promote(2, direct=False))
    assert (pushed.action, driver.arms()) == ("deploy", {1: 1.0, 2: 0.0})
    driver.register()
    (decided,) = driver.give(promote(3, direct=False))
    assert not decided.fired
    assert "version 2 is on trial" in decided.reason


def test_a_push_without_a_champion_is_a_promotion() -> None:
    driver = Driver()
    driver.start()
    driver.register(gates=REFUSED)
    driver.give(promote(1, direct=False))
    assert driver.arms() == {1: 1.0}


def test_an_imported_version_waits_and_nobody_promotes_it(driver: Driver) -> None:
    driver.register(gates=IMPORTED)
    waits = [one for one in facts(driver, ev.Decided) if "version 2 waits" in one.reason]  # type: ignore[attr-defined]
    assert len(waits) == 1
    (decided,) = driver.give(promote(2))
    assert "import it again" in decided.reason
    driver.register(gates=(*IMPORTED, *BINDING))
    (other,) = driver.give(promote(3))
    assert "refused for good by unproven, sound" in other.reason
    assert driver.arms() == {1: 1.0}


def test_a_candidate_that_comes_while_another_is_on_trial_is_set_aside(driver: Driver) -> None:
    driver.register()
    driver.register()
    assert facts(driver, ev.Decided)[-1].reason.startswith("version 3 passed its gates and is set aside")  # type: ignore[attr-defined]
    assert driver.arms() == {1: 1.0, 2: 0.0}


def test_a_roll_back_ends_the_trial_and_goes_to_the_version_that_was_named(at_once: Driver) -> None:
    pushed = Driver(plan=PLAN, ledger=at_once.ledger)
    pushed.register()
    assert pushed.feed.state.trial is not None
    pushed.give(roll_back(1))
    (trial,) = facts(pushed, ev.TrialEnded)
    assert (trial.outcome, pushed.arms()) == ("cancelled", {1: 1.0})  # type: ignore[attr-defined]
    assert pushed.feed.state.reigned == (1,)


def test_a_roll_back_without_a_version_goes_to_the_one_before(at_once: Driver) -> None:
    (decided,) = at_once.give(roll_back())
    assert (decided.action, at_once.arms()) == ("roll_back", {2: 1.0})
    assert at_once.feed.state.reigned == (1, 2)


def test_a_roll_back_to_what_reigns_or_never_did_is_refused_and_names_what_there_is(at_once: Driver) -> None:
    at_once.register(gates=REFUSED)
    for version, told in (
        (3, "version 3 is the champion already"),
        (4, "no such earlier champion"),
        (9, "there are 1, 2"),
    ):
        (decided,) = at_once.give(roll_back(version))
        assert (decided.fired, at_once.arms()) == (False, {3: 1.0})
        assert told in decided.reason


def test_the_loop_steps_back_once_and_then_asks_for_people_until_the_next_promotion(at_once: Driver) -> None:
    def refused() -> ev.Decided:
        recorded = at_once.ledger.arms("loop")
        assert recorded is not None
        (decided,) = at_once.give(ev.RoutingRefused(loop="loop", arms_seq=recorded.seq, error="does not load"))
        return decided

    assert (refused().action, at_once.arms()) == ("roll_back", {2: 1.0})
    assert (refused().action, at_once.arms()) == ("notify", {2: 1.0})
    at_once.register()
    assert (refused().action, at_once.arms()) == ("roll_back", {2: 1.0})


def test_a_person_who_rolls_back_leaves_the_loop_its_one_step(at_once: Driver) -> None:
    at_once.give(roll_back())
    recorded = at_once.ledger.arms("loop")
    assert recorded is not None
    at_once.give(ev.RoutingRefused(loop="loop", arms_seq=recorded.seq, error="does not load"))
    assert at_once.arms() == {1: 1.0}


def test_a_refusal_of_the_division_that_stands_is_not_an_older_one(driver: Driver) -> None:
    driver.register()
    (decided,) = driver.give(ev.RoutingRefused(loop="loop", arms_seq=driver.feed.state.divided, error="no"))
    assert (decided.action, driver.state_of(2)) == ("roll_back", "rolled_back")


def test_with_a_trial_and_a_run_it_is_the_trial_that_is_cancelled(driver: Driver) -> None:
    driver.register()
    driver.confirm()
    driver.give(ev.RetrainRequested(loop="loop", user="ann", reason="now", request="r"))
    (trial,) = driver.give(cancel())
    assert (trial.commands, driver.state_of(2), driver.arms()) == ((), "cancelled", {1: 1.0})
    assert not driver.feed.state.cancelling
    driver.confirm()
    (run,) = driver.give(cancel())
    assert [type(command) for command in run.commands] == [ev.Cancel]
    assert driver.feed.state.cancelling


def test_with_nothing_in_flight_there_is_nothing_to_cancel(driver: Driver) -> None:
    (decided,) = driver.give(cancel())
    assert (decided.outcome, decided.reason) == ("refused", "nothing is in flight")
    assert not driver.feed.state.cancelling


def test_a_table_that_was_refused_stops_and_names_its_first_problem(driver: Driver) -> None:
    refused = ev.BatchRefused(loop="loop", source="june.csv", version=1, problems=("no wind", "no carrier"))
    (decided,) = driver.give(refused)
    assert (decided.action, decided.about) == ("stop", "data")
    assert decided.reason.endswith("june.csv was refused: no wind")
    assert decided.evidence["problems"] == ["no wind", "no carrier"]
