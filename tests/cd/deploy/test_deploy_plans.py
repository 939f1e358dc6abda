"""Plans: what does not hold together is refused by name, and what a trial does next by each of them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from homeostat.cd.deploy.bandits import chance_of_best, shares
from homeostat.cd.deploy.plans import Bandit, Canary, Split, Trial, Tried, advance, assign, begin, least_share, role
from homeostat.core.errors import LoopError
from homeostat.core.events import Arm, ArmOutcome, Judgement, Signal, Verdict

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


@pytest.mark.parametrize("dependence", [1.0, 4.0])
def test_the_chance_of_an_arm_is_that_of_its_weight_not_of_its_rows(dependence) -> None:
    # Of unequal propensities many rows weigh little: the posterior is as wide as their effective size says.
    arms = [
        ArmOutcome(version=1, rows=90_000, loss=0.30, weight=400.0),
        ArmOutcome(version=2, rows=10, loss=0.27, weight=250.0),
        ArmOutcome(version=3, rows=500, loss=None, weight=0.0),
    ]
    rng, drawn = np.random.default_rng(0), []
    for arm in arms:
        weight, loss = arm.weight / dependence, 0.5 if arm.loss is None else arm.loss
        drawn.append(rng.beta(1 + weight * loss, 1 + weight * (1 - loss), 400_000))
    best = np.bincount(np.argmin(drawn, axis=0), minlength=3) / 400_000
    assert chance_of_best(arms, dependence=dependence) == pytest.approx(best.tolist(), abs=0.005)


@pytest.mark.parametrize("losses", [(0.3, 0.29), (0.28, 0.3), (0.3, 0.28, 0.29)])
def test_thompson_gives_each_arm_its_floor_and_of_the_rest_its_chance(losses) -> None:
    plan, arms = Bandit(floor=0.05, dependence=2.0), seen(*losses)
    chances = chance_of_best(arms, dependence=2.0)
    expected = [0.05 + (1 - 0.05 * len(arms)) * chance for chance in chances]
    assert list(shares(plan, arms).values()) == pytest.approx(expected, abs=0.0011)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((0.3, 0.2), [0.1, 0.9]),
        ((0.2, 0.3), [0.9, 0.1]),
        ((0.2, 0.2), [0.9, 0.1]),
        ((None, 0.6), [0.9, 0.1]),
        ((0.6, None), [0.1, 0.9]),
    ],
)
def test_epsilon_greedy_gives_the_first_of_the_best_all_but_what_is_divided_evenly(losses, expected) -> None:
    plan = Bandit(method="epsilon", epsilon=0.2, floor=0.01)
    assert list(shares(plan, seen(*losses)).values()) == pytest.approx(expected)
    assert min(shares(msgspec.structs.replace(plan, floor=0.15), seen(*losses)).values()) == pytest.approx(0.15)


def test_a_plan_at_the_edge_of_what_holds_together_is_taken() -> None:
    assert Canary(shadow_rows=0, steps=(0.5,), step_rows=1, horizon=1).horizon == 1
    assert Canary(shadow_rows=10, steps=(0.1, 0.2), step_rows=5, horizon=20).horizon == 20
    assert Canary(randomised=True, steps=(0.001, 0.5)).steps == (0.001, 0.5)
    assert Bandit(floor=0.2, share=0.2).floor == 0.2
    assert Split(margin=0.0, harm=0.0, dependence=1.0).harm == 0.0


@pytest.mark.parametrize(
    ("plan", "given", "told"),
    [
        (Canary, {"steps": (0.5, 0.5)}, "do not grow"),
        (Canary, {"steps": (0.0, 0.5)}, "do not grow"),
        (Canary, {"steps": (0.5, 1.0)}, "do not grow"),
        (Canary, {"step_rows": 0}, "step_rows=0"),
        (Canary, {"shadow_rows": -1}, "shadow_rows=-1"),
        (Canary, {"shadow_rows": 10, "steps": (0.1, 0.2), "step_rows": 5, "horizon": 19}, "before the last"),
        (Canary, {"randomised": True, "steps": (0.5, 0.9995)}, "cannot be measured"),
        (Bandit, {"floor": 0.2, "share": 0.9}, "less than the floor"),
        (Bandit, {"share": 0.0}, "share=0.0"),
        (Split, {"share": 0.9995}, "share=0.9995"),
        (Split, {"harm": -0.1}, "harm=-0.1"),
        (Split, {"alpha_promote": 1.0}, "alpha_promote=1.0"),
        (Split, {"rows": 1.5}, "rows=1.5"),
    ],
)
def test_a_plan_beyond_the_edge_is_refused(plan, given, told) -> None:
    with pytest.raises(LoopError) as refused:
        plan(**given)
    assert told in str(refused.value)


STAGED = Canary(shadow_rows=100, steps=(0.05, 0.5), step_rows=50, horizon=1_000)


@pytest.mark.parametrize(
    ("stage", "before", "matured", "verdict", "step"),
    [
        (0, 0, 99, "promote", "stay"),
        (0, 0, 100, "promote", "next"),
        (0, 0, 100, "continue", "next"),
        (1, 100, 149, "continue", "stay"),
        (1, 100, 150, "promote", "next"),
        (1, 100, 1_000, "promote", "next"),
        (2, 150, 199, "promote", "stay"),
        (2, 150, 200, "promote", "promote"),
        (2, 150, 999, "continue", "stay"),
        (2, 150, 1_000, "continue", "inconclusive"),
        (2, 150, 1_000, "promote", "promote"),
        (0, 0, 1_000, "continue", "inconclusive"),
        (0, 0, 1, "roll_back", "roll_back"),
        (2, 150, 1_000, "roll_back", "roll_back"),
    ],
)
def test_a_canary_grows_with_the_pairs_of_its_stage_and_wins_only_at_the_last(
    stage, before, matured, verdict, step
) -> None:
    where = trial(STAGED, stage=stage, pairs_before=before, share=(0.0, 0.05, 0.5)[stage])
    moved = advance(where, judged(matured, verdict))
    assert moved.step == step
    assert moved.share == ((0.05, 0.5)[stage] if step == "next" else 0.0)


def test_a_challenger_under_a_veto_never_wins() -> None:
    moved = advance(trial(STAGED, stage=2, veto="its gate was overruled"), judged(5_000, "promote"))
    assert (moved.step, moved.reason) == ("inconclusive", "its gate was overruled")


def test_the_first_guardrail_that_alarmed_ends_a_trial_and_a_calm_one_does_not() -> None:
    calm = Signal(kind="service_fault", subject="sample ratio", value=0.5, n=9)
    alarm = Signal(kind="service_fault", subject="challenger errors", value=0.4, n=9, alarmed=True, detail="4 of 9")
    assert advance(trial(STAGED), judged(5, guardrails=(calm,))).step == "stay"
    moved = advance(trial(STAGED), judged(5, guardrails=(calm, alarm)))
    assert (moved.step, moved.reason) == ("roll_back", "guardrail challenger errors: 4 of 9")


def test_pairs_that_matured_beyond_the_horizon_of_the_judge_count_for_a_stage() -> None:
    later = msgspec.structs.replace(judged(10), matured=150)
    assert advance(trial(STAGED), later).step == "next"
    assert advance(trial(STAGED), msgspec.structs.replace(judged(150), matured=0)).step == "next"


def test_the_least_share_of_a_plan_is_that_of_either_arm() -> None:
    assert least_share(Canary(steps=(0.1, 0.95))) == pytest.approx(0.05)
    assert least_share(Split(share=0.8)) == pytest.approx(0.2)
    assert least_share(Bandit(floor=0.07, share=0.5)) == 0.07


def test_units_are_divided_in_the_proportion_of_the_shares() -> None:
    arms = (
        Arm(version=1, role="champion", share=0.6),
        Arm(version=2, role="shadow", share=0.0),
        Arm(version=3, role="bandit", share=0.1),
        Arm(version=4, role="bandit", share=0.3),
    )
    given = [assign(arms, "salt", f"unit {number}").version for number in range(4_000)]
    assert [given.count(version) / 4_000 for version in (1, 2, 3, 4)] == pytest.approx([0.6, 0, 0.1, 0.3], abs=0.03)
    whole = (Arm(version=1, role="champion", share=0.0), Arm(version=2, role="canary", share=1.0))
    assert {assign(whole, "salt", f"unit {number}").version for number in range(500)} == {2}
