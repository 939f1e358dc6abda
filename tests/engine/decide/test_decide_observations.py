"""What a loop makes of a look of its monitor: which signals count, what holds a policy back, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from homeostat.cd.deploy import Bandit
from homeostat.core import events as ev
from homeostat.core.ledger.unproven import UNPROVEN
from homeostat.ct import when
from tests.engine.driver import REFUSED, START, Driver, drifted

ALWAYS = when.drift(psi=0.2)
MOVED = (drifted(0.9),)
MINUTE = 1 / 60
IMPORTED = (ev.GateResult(gate=UNPROVEN, passed=False, reason="imported", numbers={}, binding=True),)


def signal(kind: str, subject: str, *, alarmed: bool, value: float = 0.5) -> ev.Signal:
    return ev.Signal(kind=kind, subject=subject, value=value, n=10, alarmed=alarmed, detail=f"{subject} is odd")  # type: ignore[arg-type]


def retrains(driver: Driver, hours: float) -> bool:
    """Whether a policy that always fires gets a run after so long."""
    return any(one.action == "retrain" for one in driver.observe(hours=hours, signals=MOVED))


def fails(driver: Driver) -> None:
    """The run in flight comes to nothing."""
    trigger = driver.feed.state.inflight
    assert trigger is not None
    driver.give(ev.TrainingEnded(loop="loop", trigger=trigger.key, run=None, status="failed", error="why"))


@pytest.fixture
def driver() -> Driver:
    made = Driver(ALWAYS)
    made.first_champion()
    made.confirm()
    return made


def test_a_policy_starts_a_run_for_the_observation_that_made_it_fire(driver: Driver) -> None:
    (decided,) = driver.observe(signals=MOVED)
    (command,) = decided.commands
    assert isinstance(command, ev.Train)
    trigger = command.trigger
    assert (decided.about, trigger.kind, trigger.user, command.now) == ("policy", "drift", None, driver.now)
    assert isinstance(driver.ledger.event(trigger.cause or 0).event, ev.Observed)


def test_a_policy_that_stays_quiet_is_recorded_with_what_it_saw(driver: Driver) -> None:
    (decided,) = driver.observe(signals=(drifted(0.1),))
    assert (decided.action, decided.fired, decided.commands) == ("keep", False, ())
    assert decided.evidence["largest"]["x"]["value"] == 0.1


def test_refused_data_stop_the_loop_for_as_long_as_they_come(driver: Driver) -> None:
    odd = signal("schema_skew", "wind", alarmed=True)
    stop, held = driver.observe(signals=(odd, signal("schema_skew", "carrier", alarmed=False), *MOVED))
    assert (stop.action, stop.reason) == ("stop", "schema skew: wind: wind is odd")
    assert stop.evidence == {"columns": {"wind": "wind is odd"}}
    assert (held.action, held.fired) == ("keep", False)
    assert held.reason.startswith("the data are refused, though drift")
    assert retrains(driver, 1)


def test_a_signal_that_is_no_alarm_neither_stops_nor_notifies(driver: Driver) -> None:
    quiet = (signal("schema_skew", "wind", alarmed=False), signal("service_fault", "errors", alarmed=False))
    assert [one.action for one in driver.observe(signals=quiet)] == ["keep"]


def test_every_fault_of_the_service_is_told(driver: Driver) -> None:
    faults = (
        signal("service_fault", "errors", alarmed=True),
        signal("service_fault", "latency", alarmed=True, value=2),
    )
    told, _ = driver.observe(signals=(*faults, signal("staleness", "data", alarmed=True)))
    assert (told.action, told.about, told.fired) == ("notify", "service", True)
    assert told.reason == "errors: errors is odd; latency: latency is odd"
    assert told.evidence == {"errors": 0.5, "latency": 2}


def test_while_a_trial_runs_a_policy_waits(driver: Driver) -> None:
    driver.register()
    assert not retrains(driver, 1)
    driver.observe(judgement=driver.judged(20_000, "inconclusive"))
    assert retrains(driver, 24)


def test_a_judgement_of_another_challenger_says_nothing_about_the_one_on_trial(driver: Driver) -> None:
    driver.register()
    stale = driver.judged(1_000, "roll_back")
    driver.give(ev.CancelRequested(loop="loop", user="ann", reason="stop"))
    driver.confirm()
    driver.give(ev.CancelRequested(loop="loop", user="ann", reason="stop"))
    driver.register()
    assert driver.feed.state.trial is not None
    assert driver.feed.state.trial.challenger == 3
    assert [one.about for one in driver.observe(judgement=stale)] == ["policy"]
    assert driver.feed.state.trial is not None


def test_what_the_judge_saw_is_the_evidence_of_what_becomes_of_a_trial(driver: Driver) -> None:
    driver.register()
    numbers = {"e_harm": 3.0, "e_benefit": 7.0, "difference": 0.02, "low": -0.1, "high": 0.3}
    stays, _ = driver.observe(judgement=driver.judged(400, **numbers))
    assert (stays.action, stays.about, stays.fired) == ("keep", "trial", False)
    rest = {"difference": 0.02, "interval": [-0.1, 0.3], "e_harm": 3.0, "e_benefit": 7.0}
    assert stays.evidence == {"stage": 0, "pairs": 400, "verdict": "continue"} | rest
    rolled, _ = driver.observe(judgement=driver.judged(500, "roll_back", **numbers))
    assert rolled.evidence["verdict"] == "roll_back"
    (ended,) = [one.event for one in driver.ledger.events(kinds=(ev.TrialEnded,))]
    assert (ended.outcome, ended.judgement.pairs) == ("rolled_back", 500)  # type: ignore[union-attr]


def test_a_bandits_share_moves_within_its_stage_and_its_rows_go_on_counting() -> None:
    driver = Driver(plan=Bandit(method="epsilon", rows=100, share=0.3, floor=0.1, horizon=3_000))
    driver.first_champion()
    driver.register()
    arms = tuple(ev.ArmOutcome(version=one, rows=200, loss=loss, weight=200) for one, loss in ((1, 0.3), (2, 0.1)))
    driver.observe(judgement=driver.judged(150, arms=arms))
    trial = driver.feed.state.trial
    assert trial is not None
    assert (trial.stage, trial.pairs_before) == (1, 0)
    assert trial.share > 0.5
    assert driver.arms() == {1: pytest.approx(1 - trial.share), 2: trial.share}


@pytest.mark.parametrize(
    ("failures", "minutes"), [(1, 10), (2, 20), (3, 40), (4, 80), (8, 1_280), (9, 1_440), (30, 1_440)]
)
def test_after_each_run_that_came_to_nothing_the_pause_doubles_up_to_a_day(failures: int, minutes: int) -> None:
    driver = Driver(ALWAYS)
    driver.first_champion()
    for _ in range(failures):
        assert retrains(driver, 48)
        fails(driver)
    assert driver.feed.state.history.failures == failures
    assert not retrains(driver, (minutes - 1) * MINUTE)
    assert retrains(driver, MINUTE)


def test_a_pause_says_how_many_runs_failed_and_until_when(driver: Driver) -> None:
    retrains(driver, 1)
    fails(driver)
    (once,) = driver.observe(hours=MINUTE, signals=MOVED)
    until = START + timedelta(hours=1, minutes=10)
    assert once.reason.startswith(f"the last run came to nothing; next try after {until:%Y-%m-%d %H:%M}, though drift")
    retrains(driver, 1)
    fails(driver)
    (twice,) = driver.observe(hours=MINUTE, signals=MOVED)
    assert twice.reason.startswith("the last 2 runs came to nothing")


def test_a_promotion_ends_the_pause_and_a_cancelled_run_begins_none(driver: Driver) -> None:
    retrains(driver, 1)
    fails(driver)
    driver.register(gates=REFUSED)
    assert driver.feed.state.history.failures == 2
    driver.give(ev.PromotionRequested(loop="loop", version=2, user="ann", reason="r"))
    assert (driver.feed.state.history.failures, driver.feed.state.history.failed_at) == (0, None)
    assert retrains(driver, MINUTE)
    trigger = driver.feed.state.inflight
    assert trigger is not None
    driver.give(ev.TrainingEnded(loop="loop", trigger=trigger.key, run=None, status="cancelled", error="why"))
    assert retrains(driver, MINUTE)


@pytest.mark.parametrize(
    ("verdict", "fruitless"), [("roll_back", True), ("inconclusive", True), ("promote", False), ("cancel", False)]
)
def test_a_trial_that_promotes_nobody_came_to_nothing_unless_a_person_ended_it(
    driver: Driver, verdict: str, fruitless: bool
) -> None:
    driver.register()
    driver.confirm()
    if verdict == "cancel":
        driver.give(ev.CancelRequested(loop="loop", user="ann", reason="stop"))
    else:
        for pairs in (1_000, 1_500, 20_000):
            if driver.feed.state.trial is not None:
                driver.observe(judgement=driver.judged(pairs, verdict))  # type: ignore[arg-type]
    assert driver.feed.state.trial is None
    assert driver.feed.state.history.failures == int(fruitless)
    assert driver.feed.state.history.busy_until == driver.now


def test_an_imported_version_that_waits_is_no_run_that_came_to_nothing(driver: Driver) -> None:
    driver.register(gates=IMPORTED)
    assert driver.feed.state.history.failures == 0


@pytest.mark.parametrize(("trainable", "fires"), [(99, False), (100, False), (101, True)])
def test_without_a_champion_a_run_waits_for_a_new_row(trainable: int, fires: bool) -> None:
    driver = Driver()
    driver.start()
    driver.register(gates=REFUSED, trainable=100)
    decided = driver.observe(hours=48, trainable=trainable)
    assert any(one.action == "retrain" for one in decided) is fires
    assert driver.feed.state.trainable == trainable


def test_beside_a_champion_new_rows_alone_start_no_run() -> None:
    driver = Driver()
    driver.first_champion()
    assert [one.action for one in driver.observe(trainable=1_000)] == ["keep"]
