"""Plans: what does not hold together is refused by name, and what a trial does next by each of them."""

from __future__ import annotations

import pytest

from homeostat.cd.deploy import Bandit, Canary, Split, Trial, Tried, advance, begin, least_share, role
from homeostat.cd.deploy.bandits import chance_of_best, shares
from homeostat.core.errors import LoopError
from homeostat.core.events import ArmOutcome, Judgement, Signal, Verdict

WRONG = [
    (Split, {"share": 0.0}, "share=0.0"),
    (Split, {"share": 1.0}, "share=1.0"),
    (Split, {"rows": 0}, "rows=0"),
    (Split, {"alpha_harm": 0.0}, "alpha_harm=0.0"),
    (Split, {"margin": 1.0}, "margin=1.0"),
    (Bandit, {"method": "ucb"}, "method='ucb'"),
    (Bandit, {"floor": 0.5}, "floor=0.5"),
    (Bandit, {"floor": 0.0005}, "cannot be measured"),
    (Bandit, {"floor": 0.2, "share": 0.1}, "less than the floor"),
    (Bandit, {"epsilon": 1.0}, "epsilon=1.0"),
    (Bandit, {"dependence": 0.5}, "dependence=0.5"),
    (Split, {"share": 0.0005}, "share=0.0005"),
    (Canary, {"randomised": True, "steps": ()}, "there are no steps"),
    (Canary, {"randomised": True, "steps": (0.0005, 0.5)}, "cannot be measured"),
]


@pytest.mark.parametrize(("plan", "given", "told"), WRONG)
def test_a_plan_that_does_not_hold_together_is_refused_by_name(plan, given, told) -> None:
    with pytest.raises(LoopError, match=f"deploy.{plan.__name__}") as refused:
        plan(**given)
    assert told in str(refused.value)


def judged(matured: int, verdict: Verdict = "continue", guardrails=(), arms=()) -> Judgement:
    return Judgement(
        champion=1,
        challenger=2,
        pairs=matured,
        matured=matured,
        verdict=verdict,
        reason=verdict,
        e_harm=1.0,
        e_benefit=1.0,
        difference=0.0,
        low=-1.0,
        high=1.0,
        guardrails=guardrails,
        arms=arms,
    )


def trial(plan: Tried, **where) -> Trial:
    stage, share = begin(plan)
    return Trial(**({"challenger": 2, "champion": 1, "stage": stage, "plan": plan, "share": share} | where))


def test_a_split_waits_for_its_rows_and_then_for_proof() -> None:
    test = trial(Split(share=0.3, rows=1_000))
    assert (test.stage, test.share, role(test.plan, test.share)) == (1, 0.3, "split")
    assert advance(test, judged(999, "promote")).step == "stay"
    assert advance(test, judged(1_000)).step == "stay"
    assert advance(test, judged(1_000, "promote")).step == "promote"
    assert advance(test, judged(5, "roll_back")).step == "roll_back"
    assert advance(test, judged(100_000)).step == "inconclusive"


@pytest.mark.parametrize("plan", [Split(), Bandit(), Canary()])
def test_a_sample_ratio_that_is_off_ends_a_trial_without_a_verdict(plan) -> None:
    off = Signal(kind="service_fault", subject="sample ratio", value=0.4, n=9, alarmed=True, detail="a tenth is lost")
    found = advance(trial(plan), judged(9_000, "promote", (off,)))
    assert (found.step, "a tenth is lost" in found.reason) == ("inconclusive", True)


def test_a_randomised_canary_takes_the_same_steps() -> None:
    plan = Canary(shadow_rows=100, steps=(0.05, 0.5), step_rows=50, randomised=True)
    assert least_share(plan) == 0.05
    shadow = trial(plan)
    assert (shadow.stage, role(plan, 0.0), role(plan, 0.05)) == (0, "shadow", "canary")
    assert advance(shadow, judged(100)).share == 0.05
    assert advance(trial(plan, stage=1, pairs_before=100, share=0.05), judged(150)).share == 0.5


def seen(*losses: float | None, weight: float = 300.0) -> tuple[ArmOutcome, ...]:
    return tuple(
        ArmOutcome(version=place + 1, rows=int(weight), loss=loss, weight=weight) for place, loss in enumerate(losses)
    )


def test_a_bandit_moves_only_when_its_share_moves_enough() -> None:
    plan = Bandit(floor=0.1, rows=500)
    moved = advance(trial(plan), judged(600, arms=seen(0.3, 0.2)))
    assert (moved.step, moved.share > 0.85) == ("share", True)
    assert advance(trial(plan, share=moved.share), judged(600, arms=seen(0.3, 0.2))).step == "stay"
    assert advance(trial(plan), judged(499, arms=seen(0.3, 0.2))).step == "stay"


@pytest.mark.parametrize("method", ["thompson", "epsilon"])
@pytest.mark.parametrize("losses", [(0.3, 0.2), (0.2, 0.3), (0.5, 0.5, 0.5), (0.0, 1.0, 0.4, 0.4), (None, 0.2)])
def test_shares_add_up_to_one_and_none_is_below_the_floor(method, losses) -> None:
    given = shares(Bandit(method=method, floor=0.07, share=0.5), seen(*losses))
    assert sum(given.values()) == pytest.approx(1)
    assert min(given.values()) >= 0.07 - 1e-9


def test_arms_that_are_alike_are_as_likely_to_be_the_best() -> None:
    assert chance_of_best(seen(0.2, 0.2, 0.2)) == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert chance_of_best(seen(0.2, 0.2, weight=0.0)) == pytest.approx([0.5, 0.5], abs=1e-6)


def test_rows_that_depend_on_each_other_say_less() -> None:
    told, alone = chance_of_best(seen(0.22, 0.2), dependence=20.0), chance_of_best(seen(0.22, 0.2))
    assert 0.5 < told[1] < alone[1]
