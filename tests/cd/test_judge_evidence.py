"""The laws of the evidence: continuing equals one pass, and chance rarely looks like proof."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cd.deploy.evidence import Interval, Wealth, bet, bounds, design_effect, e_value, excess, watch
from homeostat.cd.deploy.judge import JudgeConfig, JudgeState, conclude, update

loss = st.floats(0, 1) | st.just(float("nan"))


@given(st.lists(st.tuples(loss, loss), max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_updates_in_any_portions_equal_one_pass(pairs, cuts):
    old, new = np.array([p for p, _ in pairs]), np.array([q for _, q in pairs])
    config = JudgeConfig(horizon=40, minimum_pairs=10)
    state = JudgeState()
    for part in np.split(np.arange(len(pairs)), sorted(cut for cut in cuts if cut <= len(pairs))):
        state = update(state, old[part], new[part], config)
        state = msgspec.json.decode(msgspec.json.encode(state), type=JudgeState)
    assert state == update(JudgeState(), old, new, config)
    assert conclude(state, config) == conclude(update(JudgeState(), old, new, config), config)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.floats(-0.5, 0.5))
def test_wealth_is_always_a_number(payoffs, line):
    wealth = bet(Wealth(), np.array(payoffs), line)
    assert np.isfinite(wealth.logs).all()
    assert wealth.peak >= max(0.0, wealth.log_e() - 1e-12)


def test_the_expected_wealth_of_a_fair_game_is_one():
    rng = np.random.default_rng(0)
    finals = [e_value(bet(Wealth(), rng.choice([-1.0, 1.0], 20), 0.0).log_e()) for _ in range(4_000)]
    assert np.mean(finals) == pytest.approx(1.0, abs=0.25)


def test_proof_is_finite_however_strong():
    assert np.isfinite(e_value(1e9))


def test_excess_ignores_order_and_grows_with_failures():
    values = [excess(failures, 100, 0.05) for failures in range(0, 101, 5)]
    assert values == sorted(values)
    assert excess(0, 0, 0.05) == 1.0


def test_a_tolerated_rate_rarely_looks_excessive_at_any_time():
    rng = np.random.default_rng(1)
    failed = np.cumsum(rng.random((300, 2_000)) < 0.01, axis=1)
    looks = range(50, 2_001, 50)
    false = sum(any(excess(int(run[look - 1]), look, 0.01) >= 100 for look in looks) for run in failed)
    assert false <= 3


def test_the_interval_covers_the_mean_at_all_times():
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(200):
        values, interval, outside = rng.random(1_000) ** 2, Interval(), False
        for part in np.split(values, 50):
            interval = watch(interval, part, 0.05)
            low, high = bounds(interval, 0.05)
            outside |= not low <= 1 / 3 <= high
        missed += outside
    assert missed <= 10


def test_the_interval_narrows():
    values = np.random.default_rng(3).random(20_000)
    early, late = bounds(watch(Interval(), values[:200], 0.05), 0.05), bounds(watch(Interval(), values, 0.05), 0.05)
    assert late[1] - late[0] < (early[1] - early[0]) / 5


def test_independent_rows_have_a_design_effect_of_about_one():
    rng = np.random.default_rng(4)
    assert design_effect(rng.normal(size=20_000), np.arange(20_000) // 50) < 1.3


def test_rows_that_move_together_count_as_one():
    shared = np.repeat(np.random.default_rng(5).normal(size=200), 50)
    assert design_effect(shared, np.arange(10_000) // 50) == pytest.approx(50)
