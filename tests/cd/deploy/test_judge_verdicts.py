"""What the judge says, and what can overrule it."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.cd.deploy.judge import JudgeConfig, JudgeState, conclude, judge_losses, update
from homeostat.core.errors import DataError
from homeostat.core.events import Signal
from tests.cd.plain_evidence import covered, wagered


def losses(mean, rows=2_000, seed=0):
    """Champion and challenger losses whose difference has this mean."""
    rng = np.random.default_rng(seed)
    return np.full(rows, 0.5), np.clip(0.5 + rng.normal(mean, 0.05, rows), 0, 1)


def test_a_harmful_challenger_is_rolled_back():
    judgement = judge_losses(*losses(0.02), champion=3, challenger=4)
    assert (judgement.champion, judgement.challenger, judgement.verdict) == (3, 4, "roll_back")
    assert judgement.e_harm >= 100
    assert "worse" in judgement.reason


def test_a_better_challenger_is_promoted():
    judgement = judge_losses(*losses(-0.02))
    assert judgement.verdict == "promote"
    assert judgement.e_benefit >= 20
    assert judgement.low < judgement.difference < judgement.high < 0


def test_no_pairs_say_nothing():
    judgement = judge_losses([], [])
    assert (judgement.verdict, judgement.pairs, judgement.difference) == ("continue", 0, None)
    assert (judgement.e_harm, judgement.e_benefit, judgement.low, judgement.high) == (1.0, 1.0, None, None)


def test_models_that_agree_everywhere_are_never_rolled_back():
    same = np.random.default_rng(1).random(20_000)
    judgement = judge_losses(same, same)
    assert judgement.e_harm == 1.0
    assert judgement.verdict == "promote"


def test_superiority_asks_for_proof_of_a_gain():
    same = np.random.default_rng(1).random(2_000)
    judgement = judge_losses(same, same, JudgeConfig(margin=0.0, horizon=2_000))
    assert judgement.verdict == "inconclusive"
    assert "champion is kept" in judgement.reason


def test_pairs_after_the_horizon_are_not_looked_at():
    old, new = losses(0.0, 1_000)
    config = JudgeConfig(margin=0.0, horizon=500)
    assert judge_losses(old, np.concatenate([new[:500], np.ones(500)]), config) == judge_losses(old, new, config)


def test_no_promotion_on_fewer_pairs_than_the_minimum():
    old, new = np.full(199, 0.9), np.full(199, 0.1)
    assert judge_losses(old, new).verdict == "continue"
    assert judge_losses(np.append(old, 0.9), np.append(new, 0.1)).verdict == "promote"


def test_harm_needs_no_minimum():
    assert judge_losses(np.zeros(20), np.ones(20)).verdict == "roll_back"


def test_evidence_once_reached_is_not_lost():
    better, worse = losses(-0.02, 1_000), losses(0.001, 1_000, seed=1)
    both = [np.concatenate(pair) for pair in zip(better, worse, strict=True)]
    assert judge_losses(*both).verdict == "promote"


def test_harm_after_a_promise_outranks_it():
    better, worse = losses(-0.02, 1_000), losses(0.2, 1_000, seed=1)
    assert judge_losses(*(np.concatenate(pair) for pair in zip(better, worse, strict=True))).verdict == "roll_back"


def test_a_tolerated_harm_is_no_harm():
    assert judge_losses(*losses(0.01)).verdict == "roll_back"
    assert judge_losses(*losses(0.01), JudgeConfig(harm=0.02)).verdict != "roll_back"


def test_a_guardrail_stops_a_challenger_that_wins():
    alarm = Signal(
        kind="service_fault", subject="challenger errors", value=0.2, n=100, alarmed=True, detail="20 of 100"
    )
    judgement = judge_losses(*losses(-0.02), guardrails=(alarm,))
    assert (judgement.verdict, judgement.reason) == ("roll_back", "guardrail: 20 of 100")
    assert judgement.guardrails == (alarm,)


def test_a_quiet_guardrail_promotes_nobody():
    calm = Signal(kind="service_fault", subject="challenger errors", value=0.0, n=100)
    assert judge_losses([0.5], [0.5], guardrails=(calm,)).verdict == "continue"


def test_dependent_rows_ask_for_more_of_them():
    old, new = losses(-0.02)
    alone, together = judge_losses(old, new), judge_losses(old, new, JudgeConfig(dependence=20.0))
    assert alone.e_benefit > together.e_benefit
    assert together.high - together.low > alone.high - alone.low


def test_missing_labels_count_at_their_worst():
    old, new = losses(-0.02)
    holes = np.where(np.arange(len(new)) % 3 == 0, np.nan, new)
    assert judge_losses(old, holes).verdict == "continue"
    assert (
        judge_losses(old, holes, least=np.full(len(new), -0.001), greatest=np.full(len(new), 0.001)).verdict
        == "promote"
    )


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("inf")])
def test_an_unbounded_loss_is_refused_with_its_row(bad):
    with pytest.raises(DataError, match=r"the challenger's loss .* at row 1 is outside"):
        judge_losses([0.1, 0.1], [0.1, bad])


def test_losses_of_other_rows_are_refused():
    with pytest.raises(DataError, match="same rows"):
        judge_losses([0.1, 0.2], [0.1])


def test_losses_outside_of_the_bounds_are_refused_of_the_champion_too():
    with pytest.raises(DataError, match=r"the champion's loss .* at row 0 is outside"):
        judge_losses([-0.5, 0.1], [0.1, 0.1])
    assert judge_losses([0.0, 1.0], [1.0, 0.0]).pairs == 2


@pytest.mark.parametrize("cut", [0, 1, 29, 30, 31, 45, 60])
def test_pairs_in_pieces_across_the_horizon_equal_one_call(cut):
    rng = np.random.default_rng(2)
    old, new = rng.random(60), np.where(np.arange(60) % 7 == 0, np.nan, rng.random(60))
    config = JudgeConfig(horizon=30, minimum_pairs=10)
    pieces = update(update(JudgeState(), old[:cut], new[:cut], config), old[cut:], new[cut:], config)
    assert pieces == update(JudgeState(), old, new, config) == update(JudgeState(), old[:30], new[:30], config)
    assert (pieces.pairs, pieces.missing) == (30, 5)


def until_certain(difference, proof, config):
    """Pairs of one difference until an e-value reaches `proof`, and not before."""
    for rows in range(1, 2_000):
        found = judge_losses(np.full(rows, 0.5), np.full(rows, 0.5 + difference), config)
        if max(found.e_harm, found.e_benefit) >= proof:
            return found
    raise AssertionError("never so certain")


@pytest.mark.parametrize("alpha", [0.05, 0.002])
def test_a_promotion_takes_the_proof_that_was_asked_of_promotions(alpha):
    config = JudgeConfig(alpha_promote=alpha, alpha_harm=0.01, minimum_pairs=1)
    promoted = until_certain(-0.3, 1 / alpha, config)
    assert (promoted.verdict, promoted.e_benefit < 2 / alpha) == ("promote", True)
    assert f"of {1 / alpha:g}" in promoted.reason
    before = judge_losses(np.full(promoted.pairs - 1, 0.5), np.full(promoted.pairs - 1, 0.2), config)
    assert (before.verdict, before.e_benefit < 1 / alpha) == ("continue", True)


@pytest.mark.parametrize("alpha", [0.01, 0.2])
def test_a_roll_back_takes_the_proof_that_was_asked_of_roll_backs(alpha):
    config = JudgeConfig(alpha_harm=alpha, alpha_promote=0.05, minimum_pairs=1)
    stopped = until_certain(0.3, 1 / alpha, config)
    assert (stopped.verdict, stopped.e_harm < 2 / alpha) == ("roll_back", True)
    assert f"of {1 / alpha:g}" in stopped.reason
    before = judge_losses(np.full(stopped.pairs - 1, 0.5), np.full(stopped.pairs - 1, 0.8), config)
    assert (before.verdict, before.e_harm < 1 / alpha) == ("continue", True)


def test_an_undecided_trial_ends_at_its_horizon_and_not_before():
    same, config = np.full(60, 0.5), JudgeConfig(margin=0.0, horizon=60)
    assert judge_losses(same[:59], same[:59], config).verdict == "continue"
    assert judge_losses(same, same, config).verdict == "inconclusive"


def test_early_luck_that_is_lost_again_promotes_nobody():
    difference = np.concatenate([np.full(50, -0.4), np.full(250, 0.1)])
    judgement = judge_losses(np.full(300, 0.5), 0.5 + difference, JudgeConfig(margin=0.0, harm=0.5))
    assert judgement.verdict == "continue"
    assert judgement.e_benefit < 20


def test_the_proof_so_far_is_told_before_the_minimum_and_decides_nothing():
    judgement = judge_losses(np.full(100, 0.9), np.full(100, 0.1))
    assert (judgement.verdict, judgement.e_benefit > 1_000) == ("continue", True)
    dependent = judge_losses(np.full(100, 0.9), np.full(100, 0.1), JudgeConfig(dependence=50.0))
    assert 1 < dependent.e_benefit < judgement.e_benefit


@pytest.mark.parametrize("harm", [0.0, 0.25, 0.6])
def test_a_loss_on_every_row_is_finite_proof_whatever_is_tolerated(harm):
    better = judge_losses(np.ones(300), np.zeros(300), JudgeConfig(harm=harm))
    assert (better.verdict, better.e_harm) == ("promote", 1.0)
    worse = judge_losses(np.zeros(300), np.ones(300), JudgeConfig(harm=harm, margin=0.6))
    assert (worse.verdict, worse.e_benefit) == ("roll_back", 1.0)
    assert all(np.isfinite([better.e_benefit, worse.e_harm]))


@pytest.mark.parametrize("config", [JudgeConfig(harm=0.02, margin=0.03, minimum_pairs=50, dependence=3.0)])
@pytest.mark.parametrize("mean", [-0.05, 0.0, 0.06])
def test_a_judgement_is_two_bets_and_an_interval_row_by_row(mean, config):
    rng = np.random.default_rng(3)
    difference = rng.normal(mean, 0.2, 300).clip(-0.5, 0.5)
    found = judge_losses(np.full(300, 0.5), 0.5 + difference, config)
    harm = wagered(difference, config.harm, 0, 1 / 3)[1]
    benefit = wagered(-difference, -config.margin, config.minimum_pairs, 1 / 3)[1]
    low, high = covered((difference + 1) / 2, 0.05, 3.0)
    assert np.log([found.e_harm, found.e_benefit]) == pytest.approx([harm, benefit], abs=1e-6)
    assert (found.low, found.high) == pytest.approx((max(-1, 2 * low - 1), min(1, 2 * high - 1)), abs=1e-9)
    assert found.difference == pytest.approx(difference.mean())


def test_a_missing_label_is_least_for_the_proof_of_harm_and_greatest_for_that_of_a_gain():
    rng = np.random.default_rng(4)
    old, new = np.full(400, 0.5), rng.normal(0.5, 0.1, 400).clip(0, 1)
    hidden = rng.random(400) < 0.3
    least, greatest = rng.uniform(-0.5, -0.1, 400), rng.uniform(0.0, 0.3, 400)
    bounded = judge_losses(old, np.where(hidden, np.nan, new), least=least, greatest=greatest)
    low, high = (judge_losses(old, np.where(hidden, old + bound, new)) for bound in (least, greatest))
    assert (bounded.e_harm, bounded.e_benefit) == (low.e_harm, high.e_benefit)
    assert (bounded.low, bounded.high) == (low.low, high.high)
    assert bounded.difference == pytest.approx((low.difference + high.difference) / 2)
    unknown = judge_losses(old, np.where(hidden, np.nan, new))
    assert unknown == judge_losses(
        old, np.where(hidden, np.nan, new), least=np.full(400, -1.0), greatest=np.full(400, 1.0)
    )
    assert update(JudgeState(), old, np.where(hidden, np.nan, new)).missing == hidden.sum()


def test_any_guardrail_that_alarmed_stops_a_trial_wherever_it_stands():
    calm = Signal(kind="service_fault", subject="challenger errors", value=0.0, n=100)
    alarm = Signal(kind="service_fault", subject="challenger invalid", value=0.5, n=100, alarmed=True)
    judgement = judge_losses([0.5], [0.5], guardrails=(calm, alarm))
    assert (judgement.verdict, judgement.reason) == ("roll_back", "guardrail: challenger invalid = 0.5")


@pytest.mark.parametrize(
    "odd",
    [{name: value} for name in ("alpha_harm", "alpha_promote", "confidence") for value in (0.0, 1.0, -0.1, np.nan)]
    + [{name: value} for name in ("harm", "margin") for value in (-0.01, 1.0, np.nan)]
    + [{"horizon": 0}, {"dependence": 0.99}, {"dependence": np.nan}],
)
def test_numbers_by_which_nothing_can_be_judged_are_refused_by_name(odd):
    (name,) = odd
    with pytest.raises(DataError, match=f"cannot decide with {name}="):
        JudgeConfig(**odd)


def test_the_least_and_the_most_that_can_be_asked_for_is_taken():
    config = JudgeConfig(harm=0.0, margin=0.0, horizon=1, dependence=1.0)
    assert conclude(update(JudgeState(), [0.5], [0.5], config), config).verdict == "inconclusive"
