"""The compiled learner is exactly the loop that it was compiled from, and never sees a label before predicting."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.core.errors import DataError, ModelError
from homeostat.core.model.online import (
    OnlineRuntime,
    compiled,
    dump_state,
    interpreted,
    learn,
    load_state,
    new_state,
    predict,
)

RNG = np.random.default_rng(0)
N = 400
CODES = np.column_stack([RNG.normal(3, 5, N), RNG.normal(size=N), RNG.integers(0, 4, N)]).astype(np.float32)
CODES[RNG.random((N, 3)) < 0.05] = np.nan
SIZES = [0, 0, 4]
SIGNAL = np.nan_to_num(CODES[:, 1].astype(float)) + (CODES[:, 2] == 2)
LABELS = {"classification": (SIGNAL > 0.2).astype(float), "regression": 100 + 20 * SIGNAL}


def by_hand(task: str, rate: float, l2: float):
    """The learner again, written as one reads it: a dictionary of weights and a list of values per feature."""
    weights: dict[object, float] = {"intercept": 0.0}
    seen: list[list[float]] = [[], [], []]
    target: list[float] = []
    said = []
    for codes, label in zip(CODES.astype(float), LABELS[task], strict=True):
        x: dict[object, float] = {}
        for j in (0, 1):
            known = np.array(seen[j])
            if np.isfinite(codes[j]) and len(known) > 1 and known.var() > 0:
                x[j] = float(np.clip((codes[j] - known.mean()) / known.std(), -8, 8))
        if np.isfinite(codes[2]):
            x["category", codes[2]] = 1.0
        total = weights["intercept"] + sum(weights.get(name, 0.0) * value for name, value in x.items())
        if task == "classification":
            said.append(1 / (1 + np.exp(-total)))
            error = label - said[-1]
        else:
            mean = np.mean(target) if target else 0.0
            spread = np.std(target) if len(target) > 1 and np.std(target) > 0 else 1.0
            said.append(mean + total * spread)
            error = float(np.clip((label - said[-1]) / spread, -8, 8))
        step = rate * error / max(1.0, rate * (1 + sum(value**2 for value in x.values())))
        weights = {name: value if name == "intercept" else value * (1 - l2) for name, value in weights.items()}
        for name, value in (x | {"intercept": 1.0}).items():
            weights[name] = weights.get(name, 0.0) + step * value
        for j in (0, 1):
            if np.isfinite(codes[j]):
                seen[j].append(codes[j])
        target.append(label)
    return np.array(said), weights


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("l2", [0.0, 0.001])
def test_the_compiled_learner_is_the_one_written_by_hand(task: str, l2: float):
    state = new_state(SIZES, task=task, learning_rate=0.1, l2=l2)
    said = learn(state, CODES, LABELS[task])
    expected, weights = by_hand(task, 0.1, l2)
    np.testing.assert_allclose(said, expected, rtol=1e-7, atol=1e-9)
    found = [weights.get(name, 0.0) for name in (0, 1, *(("category", float(c)) for c in range(4)), "intercept")]
    np.testing.assert_allclose(state.weights, found, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_compiled_learner_is_bit_for_bit_the_interpreted_one(task: str):
    results = []
    for run in (compiled(), interpreted()):
        state, said = new_state(SIZES, task=task, learning_rate=0.05, l2=0.001), np.empty(N)
        logistic = task == "classification"
        run(CODES, LABELS[task], logistic, 0.05, 0.001, state.weights, state.moments, state.offset, state.size, said)
        results.append((state.weights, state.moments, said))
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-12, atol=1e-13)


def test_a_prediction_never_depends_on_its_own_or_a_later_label():
    flipped = LABELS["classification"].copy()
    flipped[200:] = 1 - flipped[200:]
    first = learn(new_state(SIZES), CODES, LABELS["classification"])
    second = learn(new_state(SIZES), CODES, flipped)
    np.testing.assert_array_equal(first[:201], second[:201])
    assert (first[201:] != second[201:]).any()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_stopping_storing_and_going_on_is_the_same_as_not_stopping(task: str):
    whole, part = new_state(SIZES, task=task), new_state(SIZES, task=task)
    learn(whole, CODES, LABELS[task])
    learn(part, CODES[:150], LABELS[task][:150])
    part = load_state(dump_state(part))
    learn(part, CODES[150:], LABELS[task][150:])
    assert dump_state(part) == dump_state(whole)
    assert part.rows == N


def test_predicting_changes_nothing_and_says_what_learning_would_say():
    state = new_state(SIZES)
    learn(state, CODES[:300], LABELS["classification"][:300])
    before = dump_state(state)
    ahead = predict(state, CODES[300:301])
    assert dump_state(state) == before
    np.testing.assert_allclose(learn(state, CODES[300:301], LABELS["classification"][300:301]), ahead, rtol=1e-12)


def test_running_moments_are_those_of_all_rows():
    state = new_state(SIZES)
    learn(state, CODES, LABELS["classification"])
    known = CODES[:, 0][np.isfinite(CODES[:, 0])].astype(float)
    count, mean, m2 = state.moments[:, 0]
    assert (count, mean, m2 / count) == (len(known), pytest.approx(known.mean()), pytest.approx(known.var()))


def test_it_learns():
    said = learn(new_state(SIZES, learning_rate=0.2), CODES, LABELS["classification"])
    assert ((said > 0.5) == LABELS["classification"])[200:].mean() > 0.85


@pytest.mark.parametrize("value", [1e300, -1e300, 1e-300, 0.0, float("nan")])
def test_wild_values_give_finite_predictions(value: float):
    codes = np.where(np.arange(N)[:, None] % 7 == 0, np.clip(value, -3e38, 3e38), CODES.astype(float)).astype(
        np.float32
    )
    state = new_state([0, 0, 0], task="regression")
    said = learn(state, codes, LABELS["regression"])
    assert np.isfinite(said).all()
    assert np.isfinite(predict(state, codes)).all()


def test_broken_labels_and_shapes_are_refused():
    with pytest.raises(DataError, match="NaN or infinite"):
        learn(new_state(SIZES), CODES[:2], np.array([0.0, np.nan]))
    with pytest.raises(DataError, match="shape"):
        learn(new_state([0]), CODES, LABELS["classification"])


@pytest.mark.parametrize("data", [b"", b"not a zip", dump_state(new_state([0]))[:-30]])
def test_broken_bytes_are_refused(data: bytes):
    with pytest.raises(ModelError, match="no online learner"):
        load_state(data)


def test_the_runtime_gives_scores_per_class():
    state = new_state(SIZES)
    learn(state, CODES, LABELS["classification"])
    scores = OnlineRuntime(state).output(CODES[:5]).scores
    np.testing.assert_allclose(scores.sum(axis=1), 1.0)
    assert scores.shape == (5, 2)
