"""Intervals cover, paired differences are sharper than unpaired ones, and dependence between rows widens them."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.core.model import Predictions
from homeostat.core.stats.metrics import METRICS, Difference, Estimate, difference, estimate, standard_error

CLASSES = (False, True)


def world(seed: int, rows: int = 400):
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < 0.4
    one = 1 / (1 + np.exp(-(2.0 * truth - 1 + rng.normal(size=rows))))
    return truth, Predictions(one > 0.5, np.stack([1 - one, one], axis=1))


def test_the_error_of_roc_auc_is_delongs():
    truth, said = world(0)
    ones, zeros = said.positive[truth], said.positive[~truth]
    wins = (ones[:, None] > zeros[None, :]) + 0.5 * (ones[:, None] == zeros[None, :])
    delong = np.sqrt(wins.mean(axis=1).var() / len(ones) + wins.mean(axis=0).var() / len(zeros))
    found = estimate("roc_auc", truth, said, CLASSES)
    assert np.sqrt(np.square(found.influence).sum()) / len(truth) == pytest.approx(delong, rel=1e-9)


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "accuracy", "balanced_accuracy", "f1", "precision"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(name: str):
    large = estimate(name, *world(10_000, 200_000), CLASSES).value
    inside = 0
    for seed in range(200):
        low, high = estimate(name, *world(seed), CLASSES).bounds(0.95)
        inside += low <= large <= high
    assert 0.92 <= inside / 200 <= 1.0


@pytest.mark.parametrize("name", list(METRICS))
def test_influences_add_up_to_nothing(name: str):
    truth, said = world(3)
    classes = CLASSES if METRICS[name].task == "classification" else None
    found = estimate(name, truth, said if classes else Predictions(said.positive), classes)
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)


def test_a_paired_difference_is_sharper_than_two_intervals():
    truth, first = world(1)
    second = Predictions(
        first.value, np.clip(first.score + 0.01 * np.random.default_rng(0).normal(size=(400, 1)), 0, 1)
    )
    a, b = (estimate("roc_auc", truth, said, CLASSES) for said in (first, second))
    found = difference("roc_auc", a, b)
    assert found.error < 0.2 * a.error
    assert found.lower() < found.gain < found.upper()


def test_a_gain_is_positive_when_the_loss_is_smaller():
    truth = np.arange(300.0)
    near, far = (estimate("mae", truth, Predictions(truth + off), None) for off in (1.0, 3.0))
    assert difference("mae", near, far).gain == pytest.approx(2.0)


def test_neighbours_that_resemble_each_other_widen_the_interval():
    rng = np.random.default_rng(2)
    alone = rng.normal(size=5_000)
    days = np.repeat(rng.normal(size=50), 100)
    assert standard_error(days - days.mean()) > 5 * standard_error(alone - alone.mean())


def test_the_same_rows_give_the_same_interval():
    first, second = (estimate("roc_auc", *world(4), CLASSES).bounds() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "log_loss"])
def test_models_that_differ_by_chance_seem_better_no_more_often_than_they_may(name: str):
    passed = 0
    for seed in range(400):
        truth, said = world(seed)
        rng = np.random.default_rng(seed)
        ones = [np.clip(said.positive + rng.normal(0, 0.2, len(truth)), 0.01, 0.99) for _ in range(2)]
        found = [Predictions(one > 0.5, np.stack([1 - one, one], axis=1)) for one in ones]
        first, second = (estimate(name, truth, each, CLASSES) for each in found)
        passed += difference(name, first, second).lower(0.95) > 0
    assert passed / 400 <= 0.05 + 0.03


NUMBERS = ["mae", "mse", "rmse", "r2"]


def numbers(seed: int, rows: int = 400):
    rng = np.random.default_rng(seed)
    truth = rng.normal(10, 5, rows)
    return truth, Predictions(truth + rng.normal(0, 3, rows))


@pytest.mark.parametrize("name", NUMBERS)
def test_intervals_of_numbers_cover_the_truth_about_as_often_as_they_say(name: str):
    large = estimate(name, *numbers(10_000, 200_000)).value
    bounds = [estimate(name, *numbers(seed)).bounds(0.9) for seed in range(300)]
    inside = sum(low <= large <= high for low, high in bounds)
    # Of the two errors of dependent and of independent rows the larger counts, so that it is a little more than 90 %.
    assert 0.87 <= inside / 300 <= 0.96


@pytest.mark.parametrize("name", list(METRICS))
def test_the_error_is_about_how_far_the_metric_spreads(name: str):
    kind = METRICS[name].task
    made = [(*world(seed), CLASSES) if kind == "classification" else numbers(seed) for seed in range(150)]
    found = [estimate(name, *each) for each in made]
    spread = np.std([one.value for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.25)


def test_neighbours_that_cancel_each_other_do_not_narrow_the_interval():
    """Blocks of rows that undo each other look as if there were no noise; the rows themselves say that there is."""
    rng = np.random.default_rng(5)
    pairs = np.repeat(rng.normal(size=2_500), 2) * np.tile([1.0, -1.0], 2_500)
    alone = np.sqrt(np.square(pairs).sum()) / len(pairs)
    assert standard_error(pairs) == pytest.approx(alone)
    assert standard_error(pairs[:150]) == pytest.approx(np.sqrt(np.square(pairs[:150]).sum()) / 150)


def test_bounds_hold_the_confidence_that_was_asked_for():
    """1.645 and 1.96 are the 95 % and the 97.5 % quantile of the normal distribution."""
    found = Difference(metric="mae", rows=100, value=1.0, other=2.0, gain=1.0, error=0.1)
    assert (found.lower(0.95), found.upper(0.95)) == (pytest.approx(0.8355, abs=1e-4), pytest.approx(1.1645, abs=1e-4))
    one = Estimate(5.0, np.tile([1.0, -1.0], 50))
    low, high = one.bounds(0.95)
    assert (high - 5.0, 5.0 - low) == (
        pytest.approx(1.96 * one.error, rel=1e-4),
        pytest.approx(1.96 * one.error, rel=1e-4),
    )
    assert Difference(metric="mae", rows=1, value=1.0, other=2.0, gain=1.0, error=None).lower() is None
