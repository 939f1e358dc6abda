"""Guardrails stop what needs no label to be seen as broken, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.cd.guardrails import ArmCounts, GuardrailConfig, check

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


def test_a_slow_challenger_alarms_beside_a_fast_champion():
    champion, slow = ArmCounts(requests=5_000, latency=0.02), ArmCounts(requests=600, latency=0.09)
    assert alarmed(USUAL, USUAL, champion=champion, challenger=slow) == ["challenger latency"]
    tolerant = GuardrailConfig(latency_floor=0.1)
    assert alarmed(USUAL, USUAL, champion=champion, challenger=slow, config=tolerant) == []
