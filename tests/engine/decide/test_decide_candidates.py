"""What becomes of a candidate: first champion, refusal, trial, promotion and withdrawal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.cd.deploy import Canary, Immediately
from homeostat.core import events as ev
from tests.engine.driver import PASSED, PLAN, REFUSED, Driver

BINDING = (ev.GateResult(gate="sound", passed=False, reason="predicts NaN", numbers={}, binding=True),)


def test_the_first_version_that_passes_becomes_the_champion() -> None:
    driver = Driver()
    assert [decided.action for decided in driver.start()] == ["retrain"]
    assert driver.register() == 1
    assert driver.arms() == {1: 1.0}
    assert driver.state_of(1) == "champion"


def test_a_first_version_that_is_refused_leaves_no_champion() -> None:
    driver = Driver()
    driver.start()
    driver.register(gates=REFUSED)
    assert driver.ledger.champion("loop") is None
    assert driver.state_of(1) == "refused"


def test_no_gates_at_all_are_not_a_pass() -> None:
    driver = Driver()
    driver.start()
    driver.register(gates=())
    assert driver.ledger.champion("loop") is None


def test_a_challenger_walks_through_shadow_and_canary_to_the_top() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register()
    assert driver.arms() == {1: 1.0, 2: 0.0}
    driver.observe(judgement=driver.judged(999))
    assert driver.arms() == {1: 1.0, 2: 0.0}
    driver.observe(judgement=driver.judged(1_000))
    assert driver.arms() == {1: 0.95, 2: 0.05}
    driver.observe(judgement=driver.judged(1_400, "promote"))
    assert driver.arms() == {1: 0.95, 2: 0.05}
    driver.observe(judgement=driver.judged(1_500, "promote"))
    assert driver.arms() == {1: 0.5, 2: 0.5}
    driver.observe(judgement=driver.judged(2_000, "promote"))
    assert driver.arms() == {2: 1.0}
    assert (driver.state_of(1), driver.state_of(2)) == ("retired", "champion")


def test_an_undecided_trial_ends_at_the_horizon_and_the_champion_stays() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register()
    driver.observe(judgement=driver.judged(1_000))
    driver.observe(judgement=driver.judged(20_000, "inconclusive"))
    assert driver.arms() == {1: 1.0}
    assert driver.state_of(2) == "inconclusive"


def test_a_broken_guardrail_ends_a_trial_whatever_the_judge_says() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register()
    fault = ev.Signal(kind="service_fault", subject="errors", value=3, n=10, alarmed=True, detail="3 of 10 failed")
    decided = driver.observe(judgement=driver.judged(1_000, "promote", guardrails=(fault,)))
    assert any(one.action == "roll_back" and "errors" in one.reason for one in decided)
    assert driver.arms() == {1: 1.0}


def test_a_person_can_overrule_a_gate_by_name_but_never_a_binding_one() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register(gates=REFUSED)
    driver.register(gates=BINDING)
    (refused_for_good,) = driver.give(ev.PromotionRequested(loop="loop", version=3, user="ann", reason="trust me"))
    assert (refused_for_good.fired, driver.arms()) == (False, {1: 1.0})
    assert "sound" in refused_for_good.reason
    (overruled,) = driver.give(ev.PromotionRequested(loop="loop", version=2, user="ann", reason="reviewed"))
    assert (overruled.fired, driver.arms()) == (True, {2: 1.0})
    assert "ann promoted version 2, overruling at_least: reviewed" in overruled.reason


def test_a_better_challenger_is_promoted_even_when_its_labels_come_in_bulk() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register()
    for look in (1, 2, 3, 4):
        if driver.feed.state.trial is not None:
            pairs = min(10_000 * look, PLAN.horizon)
            driver.observe(judgement=driver.judged(pairs, "promote", matured=10_000 * look))
    assert driver.arms() == {2: 1.0}


def test_a_candidate_that_was_compared_with_another_champion_is_set_aside() -> None:
    driver = Driver(plan=Immediately())
    driver.first_champion()
    driver.register()
    driver.register(parent=1)
    assert driver.arms() == {2: 1.0}
    assert driver.state_of(3) == "candidate"


def test_a_trial_keeps_the_plan_that_it_began_with() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register()
    driver.observe(judgement=driver.judged(1_000))
    driver.observe(judgement=driver.judged(1_500))
    shorter = Driver(plan=Canary(steps=(0.1,), shadow_rows=10, step_rows=10), ledger=driver.ledger)
    shorter.feed.catch_up()
    shorter.observe(judgement=shorter.judged(2_000, "promote"))
    assert shorter.arms() == {2: 1.0}


def test_a_trial_is_refused_where_the_plan_has_none() -> None:
    driver = Driver(plan=Immediately())
    driver.first_champion()
    driver.register(parent=None)
    (decided,) = driver.give(ev.PromotionRequested(loop="loop", version=2, user="ann", reason="r", direct=False))
    assert not decided.fired
    assert driver.arms() == {1: 1.0}


def test_without_a_champion_new_rows_are_tried_again_later_and_later() -> None:
    driver = Driver()
    driver.start()
    driver.register(gates=REFUSED, trainable=100)
    retrains = []
    for hour in range(12):
        decided = driver.observe(trainable=101 + hour)
        if any(one.action == "retrain" for one in decided):
            retrains.append(hour)
            driver.register(gates=REFUSED, trainable=101 + hour)
    assert retrains[:3] == [0, 1, 2]
    assert len(retrains) < 8
    driver.observe(hours=48, trainable=1_000)
    driver.register(trainable=1_000)
    assert driver.arms() == {driver.ledger.versions("loop")[0].version: 1.0}


def test_a_refusal_of_an_older_division_of_traffic_changes_nothing() -> None:
    driver = Driver(plan=Immediately())
    driver.first_champion()
    older = driver.ledger.arms("loop")
    driver.register()
    assert older is not None
    assert older.cause is not None
    assert driver.give(ev.RoutingRefused(loop="loop", arms_seq=older.cause, error="late")) == []
    assert driver.arms() == {2: 1.0}


def test_a_version_that_a_binding_gate_refused_never_becomes_champion_even_by_trial() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register(gates=BINDING)
    driver.give(ev.PromotionRequested(loop="loop", version=2, user="ann", reason="trust me", direct=False))
    driver.observe(judgement=driver.judged(1_000, "promote"))
    driver.observe(judgement=driver.judged(1_500, "promote"))
    driver.observe(judgement=driver.judged(2_000, "promote"))
    assert driver.arms() == {1: 1.0}
    assert driver.state_of(2) == "inconclusive"


def test_without_a_trial_a_candidate_takes_over_at_once() -> None:
    driver = Driver(plan=Immediately())
    driver.first_champion()
    driver.register()
    assert driver.arms() == {2: 1.0}


def test_without_a_trial_a_refused_version_cannot_be_pushed() -> None:
    driver = Driver(plan=Immediately())
    driver.first_champion()
    driver.register(gates=REFUSED)
    (decided,) = driver.give(ev.PromotionRequested(loop="loop", version=2, user="ann", reason="r", direct=False))
    assert not decided.fired
    assert driver.arms() == {1: 1.0}


def test_rolling_back_twice_goes_back_twice_and_not_to_what_was_rolled_back() -> None:
    driver = Driver(plan=Immediately())
    driver.first_champion()
    driver.register()
    driver.register()
    for expected in (2, 1, 1):
        driver.give(ev.RollbackRequested(loop="loop", version=None, user="ann", reason="r"))
        assert driver.arms() == {expected: 1.0}


def refused(driver: Driver) -> list[ev.Decided]:
    recorded = driver.ledger.arms("loop")
    assert recorded is not None
    return driver.give(ev.RoutingRefused(loop="loop", arms_seq=recorded.seq, error="its golden rows differ"))


def test_a_challenger_that_the_server_cannot_use_is_withdrawn() -> None:
    driver = Driver()
    driver.first_champion()
    driver.confirm()
    driver.register()
    (decided,) = refused(driver)
    assert (decided.action, decided.about) == ("roll_back", "service")
    assert driver.arms() == {1: 1.0}
    assert driver.state_of(2) == "rolled_back"


def test_a_champion_that_the_server_cannot_use_gives_way_to_the_one_before() -> None:
    driver = Driver(plan=Immediately())
    driver.first_champion()
    driver.register()
    refused(driver)
    assert driver.arms() == {1: 1.0}
    assert (driver.state_of(1), driver.state_of(2)) == ("champion", "rolled_back")


def test_an_only_champion_that_the_server_cannot_use_is_told() -> None:
    driver = Driver()
    driver.first_champion()
    (decided,) = refused(driver)
    assert (decided.action, decided.fired) == ("notify", True)
    assert driver.feed.state.replacing is None


def test_nobody_rolls_back_to_a_version_that_never_was_champion() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register(gates=REFUSED)
    (decided,) = driver.give(ev.RollbackRequested(loop="loop", version=2, user="ann", reason="r"))
    assert not decided.fired
    assert driver.arms() == {1: 1.0}


def test_a_trigger_registers_one_version_however_often_it_reports() -> None:
    driver = Driver()
    driver.first_champion()
    assert driver.register(trigger="once") == 2
    assert driver.register(trigger="once") == 2
    assert len(driver.ledger.versions("loop")) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("register"), st.sampled_from([PASSED, REFUSED, BINDING])),
            st.tuples(st.just("judge"), st.sampled_from(["promote", "roll_back", "continue", "inconclusive"])),
            st.tuples(st.just("promote"), st.integers(1, 6)),
            st.tuples(st.just("push"), st.integers(1, 6)),
            st.tuples(st.just("rollback"), st.none() | st.integers(1, 6)),
            st.tuples(st.just("cancel"), st.none()),
        ),
        max_size=25,
    )
)
def test_whatever_happens_there_is_one_champion_and_no_refused_one(actions: list[tuple[str, object]]) -> None:
    driver = Driver()
    assert driver.first_champion() == 1
    pairs = 0
    for action, value in actions:
        match action:
            case "register":
                driver.register(gates=value)  # type: ignore[arg-type]
            case "judge" if driver.feed.state.trial is not None:
                pairs += 600
                driver.observe(judgement=driver.judged(pairs, value))  # type: ignore[arg-type]
            case "promote" | "push":
                request = {"version": value, "user": "ann", "reason": "r", "direct": action == "promote"}
                driver.give(ev.PromotionRequested(loop="loop", **request))  # type: ignore[arg-type]
            case "rollback":
                driver.give(ev.RollbackRequested(loop="loop", version=value, user="ann", reason="r"))  # type: ignore[arg-type]
            case "cancel":
                driver.give(ev.CancelRequested(loop="loop", user="ann", reason="r"))
        champion = driver.ledger.champion("loop")
        states = {row.version: row.state for row in driver.ledger.versions("loop")}
        assert champion is not None
        assert [version for version, state in states.items() if state == "champion"] == [champion.version]
        assert "sound" not in driver.feed.state.candidates[champion.version].vetoes
        assert sum(driver.arms().values()) == pytest.approx(1.0)
        assert champion.version in driver.arms()
