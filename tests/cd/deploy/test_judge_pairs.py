"""The judge's pairs: the same matured rows for both, in request order, with nowhere to hide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from homeostat.cd.deploy.judge import JudgeConfig, judge_losses
from homeostat.cd.deploy.paired import pairs
from homeostat.cd.deploy.trial import JudgeSettings, judge_trial
from homeostat.cd.labels.maturity import Maturity
from homeostat.cd.monitor.performance import Champion, Outcomes
from homeostat.core.events import Signal
from homeostat.core.stats.profile import Profile

START = np.datetime64("2013-03-01T00:00", "us")
LATER = datetime(2013, 6, 1, tzinfo=UTC)
SOON = JudgeSettings(maturity=Maturity(wait=timedelta(hours=1)))
CHAMPION = Champion(version=1, task="classification", metric="accuracy", classes=(0, 1))


def scores(positive):
    positive = np.asarray(positive, dtype=float)
    return np.stack([1 - positive, positive], axis=1)


def outcomes(labels, champion, challenger, *, minutes=None, delay=60, **more):
    times = START + np.asarray(range(len(labels)) if minutes is None else minutes) * np.timedelta64(60, "s")
    label_times = times + np.timedelta64(delay, "s")
    predictions = {1: scores(champion), 2: scores(challenger)}
    return Outcomes(times=times, label_times=label_times, labels=np.array(labels), predictions=predictions, **more)


def test_losses_are_brier_on_the_same_rows():
    found = pairs(CHAMPION, 2, outcomes([1, 0], [0.8, 0.8], [0.6, 0.0]), LATER)
    assert found.champion == pytest.approx([0.04, 0.64])
    assert found.challenger == pytest.approx([0.16, 0.0])


def test_pairs_are_in_request_order():
    found = pairs(CHAMPION, 2, outcomes([1, 1, 1], [0.1, 0.2, 0.3], [0.5] * 3, minutes=[5, 1, 3]), LATER)
    assert found.champion == pytest.approx([0.64, 0.49, 0.81])


def test_immature_labels_are_no_pairs():
    now = datetime(2013, 3, 1, 6, tzinfo=UTC)
    assert len(pairs(CHAMPION, 2, outcomes([1] * 90, [0.1] * 90, [0.5] * 90, delay=3 * 3_600), now).champion) == 90
    assert len(pairs(CHAMPION, 2, outcomes([1] * 90, [0.1] * 90, [0.5] * 90, delay=6 * 3_600), now).champion) == 0


def test_an_answer_that_is_no_number_costs_everything():
    asked = {2: np.array([True, True, False])}
    found = pairs(CHAMPION, 2, outcomes([1, 1, 1], [0.9] * 3, [np.nan, 0.9, np.nan], asked=asked), LATER)
    assert found.challenger == pytest.approx([1.0, 0.01])


def test_a_challenger_that_always_failed_is_rolled_back():
    data = outcomes([1] * 50, [0.9] * 50, [0.9] * 50, asked={2: np.ones(50, dtype=bool)})
    data.predictions[2] = np.full(50, np.nan)
    assert judge_trial(CHAMPION, 2, data, LATER).verdict == "roll_back"


def test_a_challenger_that_was_never_asked_has_no_pairs():
    data = outcomes([1], [0.9], [0.9])
    del data.predictions[2]
    judgement = judge_trial(CHAMPION, 2, data, LATER)
    assert (judgement.verdict, judgement.pairs) == ("continue", 0)


def test_a_missing_label_is_bounded_by_both_predictions():
    data = outcomes([1, 1], [0.8, 0.8], [0.8, 0.6])
    data.label_times[:] = np.datetime64("NaT")
    found = pairs(CHAMPION, 2, data, LATER, Maturity(wait=timedelta(hours=1)))
    assert np.isnan(found.champion).all()
    assert found.least == pytest.approx([0.0, 0.36 - 0.64])
    assert found.greatest == pytest.approx([0.0, 0.16 - 0.04])


def test_missing_labels_cost_little_where_the_models_agree():
    data = outcomes([1] * 2_000, [0.8] * 2_000, [0.8] * 2_000)
    data.label_times[::3] = np.datetime64("NaT")
    assert judge_trial(CHAMPION, 2, data, LATER, SOON).verdict == "promote"


def test_regression_errors_are_measured_against_the_spread_of_the_predictions():
    usual = np.random.default_rng(0).normal(100, 5, 1_000)
    profile = Profile.of(pl.DataFrame({"x": usual}), prediction=usual)
    champion = Champion(version=1, task="regression", metric="mae", profile=profile)
    data = outcomes([100.0] * 4, [0] * 4, [0] * 4)
    data.predictions.update({1: np.array([110.0, 100, 100, 500]), 2: np.array([100.0, 110, np.inf, 100])})
    data.asked[2] = np.ones(4, dtype=bool)
    found = pairs(champion, 2, data, LATER)
    assert found.champion == pytest.approx([0.5, 0, 0, 1], abs=0.03)
    assert found.challenger == pytest.approx([0, 0.5, 1, 0], abs=0.03)


def test_a_better_challenger_wins_on_matured_rows():
    rng = np.random.default_rng(1)
    labels = (rng.random(3_000) < 0.3).astype(int)
    champion, challenger = np.full(3_000, 0.5), np.where(labels == 1, 0.6, 0.3) + rng.normal(0, 0.05, 3_000)
    judgement = judge_trial(CHAMPION, 2, outcomes(labels, champion, challenger), LATER)
    assert (judgement.champion, judgement.challenger, judgement.verdict) == (1, 2, "promote")


def test_a_label_that_is_known_later_is_missing_now():
    data = outcomes([1, 1, 1], [0.8] * 3, [0.6] * 3, delay=0)
    data.label_times[:] = np.array(["2013-06-01T00:00:00.000001", "2013-06-01T00:00", "NaT"], dtype="datetime64[us]")
    found = pairs(CHAMPION, 2, data, LATER)
    assert np.isnan(found.champion).tolist() == np.isnan(found.challenger).tolist() == [True, False, True]


def test_a_label_that_the_model_does_not_know_is_missing():
    found = pairs(CHAMPION, 2, outcomes([1, 7], [0.8] * 2, [0.6] * 2), LATER)
    assert np.isnan(found.champion).tolist() == [False, True]


def test_rows_that_one_of_the_two_was_not_asked_about_are_no_pairs():
    asked = {1: np.array([True, True, False]), 2: np.array([False, True, True])}
    found = pairs(CHAMPION, 2, outcomes([1, 1, 1], [0.1, 0.2, 0.3], [0.4, 0.5, 0.6], asked=asked), LATER)
    assert (found.champion, found.challenger) == (pytest.approx([0.64]), pytest.approx([0.25]))


def test_an_answer_of_the_champion_that_is_no_number_costs_it_everything_too():
    asked = {1: np.ones(2, dtype=bool)}
    found = pairs(CHAMPION, 2, outcomes([1, 1], [np.inf, 0.9], [0.9, 0.9], asked=asked), LATER)
    assert found.champion == pytest.approx([1.0, 0.01])


def test_a_missing_label_of_a_regression_is_bounded_by_the_distance_of_the_answers():
    champion = Champion(version=1, task="regression", metric="mae", scale=10.0)
    data = outcomes([1.0] * 4, [0.5] * 4, [0.5] * 4)
    data.predictions.update({1: np.array([3.0, 3.0, 3.0, 3.0]), 2: np.array([8.0, 3.0, 99.0, np.nan])})
    data.asked[2] = np.ones(4, dtype=bool)
    found = pairs(champion, 2, data, LATER)
    assert found.greatest == pytest.approx([0.5, 0.0, 1.0, 1.0])
    assert found.least == pytest.approx([-0.5, 0.0, -1.0, -1.0])


def test_a_trial_is_judged_by_its_pairs_its_config_and_its_guardrails():
    rng = np.random.default_rng(2)
    data = outcomes(rng.integers(0, 2, 300), rng.random(300), rng.random(300))
    data.label_times[::3] = np.datetime64("NaT")
    rule, maturity = JudgeConfig(horizon=250, harm=0.2), Maturity(wait=timedelta(hours=1))
    calm = (Signal(kind="service_fault", subject="challenger errors", value=0.0, n=100),)
    found = pairs(CHAMPION, 2, data, LATER, maturity)
    judged = judge_trial(CHAMPION, 2, data, LATER, JudgeSettings(config=rule, maturity=maturity, guardrails=calm))
    bounds = {"least": found.least, "greatest": found.greatest}
    expected = judge_losses(found.champion, found.challenger, rule, champion=1, challenger=2, guardrails=calm, **bounds)
    assert (judged.matured, judged.pairs) == (300, 250)
    assert msgspec.structs.replace(judged, matured=expected.matured) == expected
