"""Guardrails stop what needs no label to be seen as broken, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from homeostat.cd.deploy.evidence import excess
from homeostat.cd.deploy.guardrails import ArmCounts, GuardrailConfig, check

RNG = np.random.default_rng(0)
USUAL = RNG.beta(2, 5, 2_000)


def alarmed(*args, **options):
    return [signal.subject for signal in check(*args, **options) if signal.alarmed]


def test_a_sound_challenger_passes_all():
    signals = check(USUAL, np.clip(USUAL + RNG.normal(0, 0.05, 2_000), 0, 1))
    assert not any(signal.alarmed for signal in signals)
    assert [signal.subject.removeprefix("challenger ") for signal in signals] == [
        "errors",
        "invalid",
        "predictions",
        "latency",
    ]


def test_no_rows_alarm_nobody():
    assert alarmed(np.zeros((0, 2)), np.zeros((0, 2))) == []


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_answers_that_are_no_numbers_alarm(broken):
    bad = USUAL.copy()
    bad[:40] = broken
    assert alarmed(USUAL, bad) == ["challenger invalid"]


def test_rows_that_break_both_versions_are_not_held_against_the_challenger():
    bad = USUAL.copy()
    bad[:40] = np.nan
    assert alarmed(bad, bad) == []


def test_a_challenger_without_any_scores_alarms():
    assert alarmed(np.stack([1 - USUAL, USUAL], axis=1), np.full(2_000, np.nan)) == ["challenger invalid"]


def test_a_challenger_that_says_the_same_of_everybody_alarms():
    assert alarmed(USUAL, np.full(2_000, 0.99)) == ["challenger predictions"]


def test_a_retrained_model_may_move_its_predictions():
    assert alarmed(USUAL, np.clip(USUAL * 1.5, 0, 1)) == []


def test_failed_requests_alarm():
    assert alarmed(USUAL, USUAL, challenger=ArmCounts(requests=500, errors=30)) == ["challenger errors"]
    assert alarmed(USUAL, USUAL, challenger=ArmCounts(requests=500, errors=5)) == []


BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, math.inf)


def took(*counts):
    """Answers by the bounds of their seconds."""
    return ArmCounts(requests=sum(counts), answers=dict(zip(BOUNDS, counts, strict=True)))


USUALLY = took(0, 4_950, 50, 0, 0, 0, 0)
"""A champion whose 99th percentile is 10 ms, so that answers up to 50 ms are fast enough."""


def test_a_slow_challenger_alarms_beside_a_fast_champion():
    slow = took(0, 400, 0, 0, 200, 0, 0)
    assert alarmed(USUAL, USUAL, champion=USUALLY, challenger=slow) == ["challenger latency"]
    tolerant = GuardrailConfig(latency_floor=0.1)
    assert alarmed(USUAL, USUAL, champion=USUALLY, challenger=slow, config=tolerant) == []


def test_the_limit_follows_a_champion_that_is_slow_itself():
    champion, slow = took(0, 0, 0, 5_000, 0, 0, 0), took(0, 400, 0, 0, 200, 0, 0)
    assert alarmed(USUAL, USUAL, champion=champion, challenger=slow) == []


def test_a_champion_that_has_hardly_answered_sets_no_limit():
    assert alarmed(USUAL, USUAL, champion=took(0, 499, 0, 0, 0, 0, 0), challenger=took(0, 0, 0, 0, 0, 0, 900)) == []


def test_a_champion_that_answers_beyond_all_bounds_sets_no_limit():
    assert alarmed(USUAL, USUAL, champion=took(0, 0, 0, 0, 0, 0, 900), challenger=took(0, 0, 0, 0, 0, 0, 900)) == []


def test_latency_may_be_looked_at_after_every_answer():
    # As many slow answers as are tolerated: of a thousand challengers hardly any is ever stopped.
    rng, rule, stopped = np.random.default_rng(1), GuardrailConfig(), 0
    for _ in range(1_000):
        slow = np.cumsum(rng.random(600) < rule.slow)
        looks = range(50, 600, 25)
        stopped += any(excess(int(slow[n - 1]), n, rule.slow) >= 1 / rule.alpha for n in looks)
    assert stopped <= 5


def test_predictions_that_crowd_in_the_middle_alarm_and_a_shift_may_be_looked_at_all_the_time():
    assert alarmed(USUAL, np.full(2_000, np.median(USUAL))) == ["challenger predictions"]
    half = np.where(RNG.random(2_000) < 0.5, 0.05, 0.95)  # another concept: two answers where there were many
    assert [alarmed(USUAL[:n], half[:n]) for n in range(400, 2_000, 100)] == [[]] * 16


def test_a_shift_of_a_regression_is_seen_in_its_own_units():
    values = RNG.normal(300.0, 40.0, 2_000)
    assert alarmed(values, values + 20.0) == []
    assert alarmed(values, values + 500.0) == ["challenger predictions"]


@pytest.mark.parametrize("name", ["errors", "invalid", "latency"])
def test_a_guardrail_alarms_when_its_proof_is_what_alpha_asks_for(name):
    """The same counts are proof at one level and none at a stricter one."""
    rule = GuardrailConfig()
    tolerated = {"errors": rule.errors, "invalid": rule.invalid, "latency": rule.slow}[name]
    bad = next(bad for bad in range(600) if excess(bad, 600, tolerated) >= 1_000)
    invalid = np.r_[np.full(bad, np.nan), USUAL[bad:600]]
    given = {
        "errors": {"challenger": ArmCounts(requests=600, errors=bad)},
        "invalid": {},
        "latency": {"champion": USUALLY, "challenger": took(0, 600 - bad, 0, 0, bad, 0, 0)},
    }[name]
    scores = invalid if name == "invalid" else USUAL[:600]
    assert alarmed(USUAL[:600], scores, **given) == [f"challenger {name}"]
    evidence = excess(bad, 600, tolerated)
    assert alarmed(USUAL[:600], scores, config=GuardrailConfig(alpha=0.9 / evidence), **given) == []


def test_what_a_guardrail_saw_is_told_as_a_share_of_what_it_looked_at():
    bad = USUAL.copy()
    bad[:10] = np.inf
    errors, invalid, *_ = check(USUAL, bad, challenger=ArmCounts(requests=50, errors=2))
    assert (errors.value, errors.n, invalid.value, invalid.n) == (0.04, 50, 0.005, 2_000)


@pytest.mark.parametrize(("answers", "slow"), [((0, 500), False), ((500,), False), ((0, 0, 0, 0, 500), True)])
def test_an_answer_within_the_floor_is_always_fast_enough(answers, slow):
    fastest = took(5_000, 0, 0, 0, 0, 0, 0)
    given = took(*answers, *[0] * (7 - len(answers)))
    assert (alarmed(USUAL, USUAL, champion=fastest, challenger=given) == ["challenger latency"]) == slow


def test_the_limit_is_a_multiple_of_the_champions_slowest_hundredth():
    # 99 of 100 take at most 25 ms, so 100 ms is the first bound of at least 75 ms; one more slow one, and it is none.
    usual, slower = took(0, 0, 990, 0, 10, 0, 0), took(0, 0, 989, 0, 11, 0, 0)
    challenger = took(0, 400, 0, 0, 0, 200, 0)
    assert alarmed(USUAL, USUAL, champion=usual, challenger=challenger) == ["challenger latency"]
    assert alarmed(USUAL, USUAL, champion=slower, challenger=challenger) == []


def test_a_champion_that_has_answered_just_enough_sets_a_limit():
    slow = took(0, 0, 0, 0, 0, 0, 900)
    assert alarmed(USUAL, USUAL, champion=took(0, 500, 0, 0, 0, 0, 0), challenger=slow) == ["challenger latency"]


def test_only_predictions_after_the_first_ones_are_held_against_the_champions():
    crowded = np.full(2_000, 0.99)
    assert alarmed(USUAL[:500], crowded[:500]) == []
    (shift,) = (one for one in check(USUAL, crowded) if one.kind == "prediction_drift")
    assert (shift.n, shift.value > 0.8) == (1_500, True)
    early = np.concatenate([crowded[:500], USUAL[500:]])
    assert alarmed(USUAL, early) == []
