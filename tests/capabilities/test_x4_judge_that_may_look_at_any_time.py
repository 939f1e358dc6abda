"""X4: over 1,000 simulated canaries equal models are hardly ever rolled back, and one point of accuracy always is."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from homeostat.cd.deploy.judge import JudgeConfig, JudgeState, conclude, update
from homeostat.cd.deploy.trial import judge_trial
from homeostat.cd.monitor.performance import Champion, Outcomes

CANARIES, ROWS, CHUNK = 1_000, 20_000, 2_000


def rolled_back(seed, worse, better):
    """A canary whose models disagree on `worse + better` of the rows, with evidence counted after every label."""
    rng, state, config = np.random.default_rng([seed, 4]), JudgeState(), JudgeConfig(margin=0.0, minimum_pairs=0)
    while (judgement := conclude(state, config)).verdict == "continue":
        difference = rng.choice([-1.0, 0.0, 1.0], size=CHUNK, p=[better, 1 - better - worse, worse])
        state = update(state, np.clip(-difference, 0, 1), np.clip(difference, 0, 1), config)
    return judgement.verdict == "roll_back"


@pytest.mark.slow
def test_equal_models_are_rolled_back_in_at_most_one_per_cent() -> None:
    assert sum(rolled_back(seed, 0.02, 0.02) for seed in range(CANARIES)) <= CANARIES // 100


@pytest.mark.slow
def test_one_point_of_accuracy_is_rolled_back_in_at_least_99_per_cent() -> None:
    assert sum(rolled_back(seed, 0.025, 0.015) for seed in range(CANARIES)) >= CANARIES * 99 // 100


def test_identical_models_are_never_rolled_back() -> None:
    state = JudgeState()
    for losses in np.array_split(np.random.default_rng(0).random(ROWS), 100):
        state = update(state, losses, losses)
    assert conclude(state).e_harm == 1.0


def test_labels_of_cohorts_that_have_not_matured_are_not_looked_at() -> None:
    # The challenger is right wherever labels come early and wrong wherever they come late.
    rows = 4_000
    times = np.datetime64("2013-03-01T00:00", "us") + np.arange(rows) * np.timedelta64(10, "s")
    early = np.random.default_rng(1).random(rows) < 0.5
    label_times = times + np.where(early, np.timedelta64(1, "m"), np.timedelta64(1, "D"))
    right, wrong = np.tile([0.1, 0.9], (rows, 1)), np.tile([0.9, 0.1], (rows, 1))
    champion = Champion(version=1, task="classification", metric="accuracy", classes=(0, 1))
    outcomes = Outcomes(
        times=times,
        label_times=label_times,
        labels=np.ones(rows, dtype=int),
        predictions={1: right, 2: np.where(early[:, None], right + np.array([-0.05, 0.05]), wrong)},
    )
    before, after = (judge_trial(champion, 2, outcomes, datetime(2013, 3, day, 12, tzinfo=UTC)) for day in (1, 3))
    assert (before.verdict, before.pairs) == ("continue", 0)
    assert (after.verdict, after.pairs) == ("roll_back", rows)
