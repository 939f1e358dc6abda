"""Metrics agree with scikit-learn's, and are None where they are undefined."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from homeostat.core.errors import LoopError
from homeostat.core.model import Predictions
from homeostat.core.stats.losses import label_codes, loss_for
from homeostat.core.stats.metrics import (
    METRICS,
    default_metric,
    greater_is_better,
    kappa_per,
    score,
)

RNG = np.random.default_rng(5)
N = 500
TRUTH = RNG.random(N) < 0.3
ONE = np.clip(RNG.normal(0.3 + 0.3 * TRUTH, 0.25), 0.01, 0.99).round(2)
BINARY = Predictions(ONE > 0.5, np.stack([1 - ONE, ONE], axis=1))
LABELS3 = RNG.choice(["a", "b", "c"], N)
RAW3 = RNG.random((N, 3)) + (LABELS3[:, None] == np.array(["a", "b", "c"]))
SCORE3 = RAW3 / RAW3.sum(axis=1, keepdims=True)
THREE = Predictions(np.array(["a", "b", "c"])[SCORE3.argmax(axis=1)], SCORE3)
NUMBERS = RNG.normal(50, 10, N)
GUESS = Predictions(NUMBERS + RNG.normal(1, 4, N))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roc_auc", reference.roc_auc_score(TRUTH, ONE)),
        ("log_loss", reference.log_loss(TRUTH, ONE)),
        ("brier", reference.brier_score_loss(TRUTH, ONE)),
        ("accuracy", reference.accuracy_score(TRUTH, ONE > 0.5)),
        ("balanced_accuracy", reference.balanced_accuracy_score(TRUTH, ONE > 0.5)),
        ("precision", reference.precision_score(TRUTH, ONE > 0.5)),
        ("recall", reference.recall_score(TRUTH, ONE > 0.5)),
        ("f1", reference.f1_score(TRUTH, ONE > 0.5)),
    ],
)
def test_two_classes(name: str, expected: float):
    assert score(name, TRUTH, BINARY, (False, True)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roc_auc", reference.roc_auc_score(LABELS3, SCORE3, multi_class="ovr")),
        ("log_loss", reference.log_loss(LABELS3, SCORE3)),
        ("accuracy", reference.accuracy_score(LABELS3, THREE.value)),
        ("balanced_accuracy", reference.balanced_accuracy_score(LABELS3, THREE.value)),
        ("f1", reference.f1_score(LABELS3, THREE.value, average="macro")),
    ],
)
def test_three_classes(name: str, expected: float):
    assert score(name, LABELS3, THREE, ("a", "b", "c")) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mae", reference.mean_absolute_error(NUMBERS, GUESS.value)),
        ("mse", reference.mean_squared_error(NUMBERS, GUESS.value)),
        ("rmse", reference.root_mean_squared_error(NUMBERS, GUESS.value)),
        ("r2", reference.r2_score(NUMBERS, GUESS.value)),
    ],
)
def test_numbers(name: str, expected: float):
    assert score(name, NUMBERS, GUESS) == pytest.approx(expected, abs=1e-12)


def test_one_class_has_no_roc_auc():
    assert score("roc_auc", np.ones(N, dtype=bool), BINARY, (False, True)) is None


@pytest.mark.parametrize("name", [name for name, found in METRICS.items() if found.task == "regression"])
def test_overflow_is_undefined_and_never_nan(name: str):
    value = score(name, np.array([1e300, -1e300]), Predictions(np.array([-1e300, 1e300])))
    assert value is None or np.isfinite(value)


@pytest.mark.parametrize("name", list(METRICS))
def test_no_rows_are_undefined(name: str):
    empty = Predictions(np.zeros(0, dtype=bool), np.zeros((0, 2)))
    classes = (False, True) if METRICS[name].task == "classification" else None
    assert score(name, np.zeros(0, dtype=bool), empty, classes) is None


def test_a_label_that_was_never_trained_on_is_always_wrong():
    said = Predictions(np.array(["a", "b"]), np.eye(2))
    assert score("accuracy", np.array(["a", "new"]), said, ("a", "b")) == 0.5
    assert label_codes(["a", "new", "zz"], ("a", "b")).tolist() == [0, -1, -1]


def test_an_unknown_metric_is_refused_with_a_hint():
    with pytest.raises(LoopError, match="no metric 'roc_aucc'") as caught:
        greater_is_better("roc_aucc")
    assert "roc_auc" in str(caught.value.hint)


def test_every_task_has_a_default():
    assert [default_metric("classification"), default_metric("classification", 3), default_metric("regression")] == [
        "roc_auc",
        "log_loss",
        "mae",
    ]


def test_kappa_per_of_the_electricity_market():
    assert kappa_per(0.776, 0.853) == pytest.approx(-0.524, abs=0.001)
    assert kappa_per(0.9, 0.9) == 0.0
    assert kappa_per(1.0, 1.0) is None
    assert kappa_per(5.0, 10.0, perfect=0.0) == 0.5


def test_row_losses_lie_between_zero_and_one():
    loss = loss_for("classification").of(TRUTH, BINARY, classes=(False, True))
    assert loss.mean() == pytest.approx(reference.brier_score_loss(TRUTH, ONE))
    wide = loss_for("regression").of(NUMBERS, GUESS, scale=5.0)
    assert (wide.min() >= 0, wide.max()) == (True, 1.0)
    wrong = Predictions(np.array(["b"]), np.array([[0.0, 1.0]]))
    assert loss_for("classification").of(["a"], wrong, classes=("a", "b")).tolist() == [1.0]
