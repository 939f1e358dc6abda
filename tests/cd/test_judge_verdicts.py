"""What the judge says, and what can overrule it."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.cd.deploy.judge import JudgeConfig, judge_losses
from homeostat.core.errors import DataError
from homeostat.core.events import Signal


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
