"""Simulated canaries: the error rates and the power that the judge promises, with a look after every label.

A seeded sample of what `make bench-judge` does with a thousand canaries of every kind.
"""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.cd.deploy.judge import JudgeConfig, JudgeState, conclude, update

ROWS, CHUNK = 20_000, 1_000


def canary(difference, least=None, greatest=None, config=None):
    """Verdict after each thousand labels until the trial ends; the looks in between are inside."""
    state, champion, challenger = JudgeState(), np.clip(-difference, 0, 1), np.clip(difference, 0, 1)
    missing = np.isnan(difference)
    champion[missing] = np.nan
    for start in range(0, len(difference), CHUNK):
        cut = slice(start, start + CHUNK)
        bounds = {} if least is None else {"least": least[cut], "greatest": greatest[cut]}
        state = update(state, champion[cut], challenger[cut], config, **bounds)
        judgement = conclude(state, config)
        if judgement.verdict != "continue":
            break
    return judgement


def disagreeing(rng, worse, better):
    return rng.choice([-1.0, 0.0, 1.0], size=ROWS, p=[better, 1 - better - worse, worse])


def test_equally_good_models_are_hardly_ever_rolled_back():
    rng = np.random.default_rng(0)
    strict = JudgeConfig(margin=0.0)
    verdicts = [canary(disagreeing(rng, 0.02, 0.02), config=strict).verdict for _ in range(150)]
    assert verdicts.count("roll_back") <= 3


def test_one_point_of_accuracy_is_rolled_back():
    rng = np.random.default_rng(1)
    judged = [canary(disagreeing(rng, 0.025, 0.015)) for _ in range(100)]
    assert [one.verdict for one in judged].count("roll_back") >= 99
    assert np.median([one.pairs for one in judged]) <= 6_000


def test_a_challenger_worse_by_the_margin_is_hardly_ever_promoted():
    rng = np.random.default_rng(2)
    config = JudgeConfig(harm=0.5)
    verdicts = [canary(rng.normal(0.005, 0.1, ROWS).clip(-1, 1), config=config).verdict for _ in range(100)]
    assert verdicts.count("promote") <= 8


def test_a_typical_better_model_is_promoted():
    rng = np.random.default_rng(3)
    judged = [canary(rng.normal(-0.005, 0.1, ROWS).clip(-1, 1)) for _ in range(100)]
    assert [one.verdict for one in judged].count("promote") >= 98
    assert np.median([one.pairs for one in judged]) <= 2_000


@pytest.mark.parametrize("hidden", ["losses", "wins"])
def test_labels_missing_not_at_random_do_not_break_the_bound(hidden):
    rng = np.random.default_rng(4)
    worse, better = (0.02, 0.02) if hidden == "wins" else (0.045, 0.04)
    wrong = "roll_back" if hidden == "wins" else "promote"
    count = 0
    for _ in range(60):
        difference = disagreeing(rng, worse, better)
        lost = (difference < 0 if hidden == "wins" else difference > 0) & (rng.random(ROWS) < 0.3)
        reach = np.abs(difference)
        count += canary(np.where(lost, np.nan, difference), -reach, reach).verdict == wrong
    assert count <= (1 if hidden == "wins" else 5)


def test_dependent_rows_with_their_design_effect_keep_the_bound():
    rng = np.random.default_rng(5)
    config = JudgeConfig(margin=0.0, dependence=5.1)

    def storms():
        shared = np.repeat(rng.normal(0, 0.03, ROWS // 50), 50)
        return (shared + rng.normal(0, 0.1, ROWS)).clip(-1, 1)

    assert sum(canary(storms(), config=config).verdict == "roll_back" for _ in range(60)) <= 2
