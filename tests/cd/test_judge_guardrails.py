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
