"""The laws of the evidence: continuing equals one pass, and chance rarely looks like proof."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cd.deploy.evidence import (
    Interval,
    Wealth,
    bet,
    bounds,
    design_effect,
    e_value,
    excess,
    excess_difference,
    watch,
)
from homeostat.cd.deploy.judge import JudgeConfig, JudgeState, conclude, update
from tests.cd.plain_evidence import STAKES, covered, log_e, wagered

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


LONG = st.lists(st.floats(-1, 1) | st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60)
CUTS = st.lists(st.integers(0, 60), max_size=4)


def parts(values, cuts):
    return np.split(np.array(values), sorted(min(cut, len(values)) for cut in cuts))


@given(LONG, CUTS, st.floats(-0.9, 0.9), st.integers(0, 70), st.floats(0.05, 1))
def test_wealth_is_that_of_betting_row_by_row(payoffs, cuts, line, least, temper):
    wealth = Wealth()
    for part in parts(payoffs, cuts):
        wealth = bet(wealth, part, line, least=least, temper=temper)
    logs, peak = wagered(payoffs, line, least, temper)
    assert wealth.rows == len(payoffs)
    assert wealth.logs == pytest.approx(logs, abs=1e-9)
    assert wealth.peak == pytest.approx(peak, abs=1e-9)
    assert wealth.log_e(temper) == pytest.approx(log_e(logs, temper), abs=1e-9)


@pytest.mark.parametrize("line", [-0.9, -0.25, 0.0, 0.25, 0.5, 0.9])
def test_the_worst_payoff_takes_at_most_four_fifths_whatever_the_line(line):
    lost = bet(Wealth(), np.array([-1.0]), line)
    assert lost.logs == pytest.approx([math.log(1 - stake) for stake in STAKES])
    assert max(bet(Wealth(), np.array([1.0]), line).logs) > 0


def test_the_peak_counts_from_the_least_row_on():
    lucky = np.array([1.0] * 20 + [-1.0] * 20)
    assert bet(Wealth(), lucky, 0.0).peak > math.log(1_000)
    assert bet(Wealth(), lucky, 0.0, least=20).peak == bet(Wealth(), lucky, 0.0).peak
    assert bet(Wealth(), lucky, 0.0, least=40).peak == 0.0
    assert bet(bet(Wealth(), lucky[:20], 0.0, least=21), lucky[20:21], 0.0, least=21).peak > math.log(1_000)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), CUTS, st.floats(0.001, 0.4), st.floats(1, 30))
def test_the_interval_is_that_of_the_theorem(values, cuts, alpha, dependence):
    interval = Interval()
    for part in parts(values, cuts):
        interval = watch(interval, part, alpha)
    assert bounds(interval, alpha, dependence) == pytest.approx(covered(values, alpha, dependence), abs=1e-9)


@pytest.mark.parametrize("draw", ["clear", "even", "extreme"])
def test_the_interval_of_many_values_is_that_of_the_theorem(draw):
    """Only of many values that differ much are the stakes less than their cap."""
    rng = np.random.default_rng(6)
    values = {
        "clear": rng.normal(0.3, 0.02, 3_000).clip(0, 1),
        "even": rng.random(500),
        "extreme": rng.integers(0, 2, 300).astype(float),
    }[draw]
    low, high = bounds(watch(Interval(), values, 0.05), 0.05)
    assert (low, high) == pytest.approx(covered(values, 0.05), abs=1e-9)
    assert 0 < high - low < (0.02 if draw == "clear" else 0.25)


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.001, 0.01, 0.05, 0.3, 0.9]))
def test_excess_is_the_mean_of_bets_on_failures(failures, successes, tolerated):
    # A failure pays 1 and a success 0, and no stake loses more than itself.
    won = [
        math.exp(failures * math.log(1 + stake / tolerated * (1 - tolerated)) + successes * math.log(1 - stake))
        for stake in STAKES
    ]
    expected = pytest.approx(math.fsum(won) / len(won), rel=1e-9)
    assert excess(failures, failures + successes, tolerated) == expected


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.sampled_from([0.0, 0.1, 0.6, 0.9]))
def test_excess_of_differences_is_that_of_betting_on_each(more, fewer, ties, tolerated):
    logs, _ = wagered([1.0] * more + [-1.0] * fewer + [0.0] * ties, tolerated)
    assert excess_difference(more, fewer, more + fewer + ties, tolerated) == pytest.approx(math.exp(log_e(logs)))


def test_the_design_effect_is_about_deviations_from_the_mean():
    off = np.array([0.3, 0.1, -0.2, -0.4, 0.2, 0.0])
    cohorts = np.array([7, 7, 3, 3, 3, 9])
    sums = np.array([0.4, -0.4, 0.0])
    expected = float(sums @ sums) / float(off @ off)
    assert design_effect(off, cohorts) == pytest.approx(max(1.0, expected))
    assert design_effect(off + 0.5, cohorts) == pytest.approx(design_effect(off, cohorts))
    assert design_effect(np.array([0.2, -0.2]), np.array([1, 1])) == 1.0
    assert design_effect(np.full(5, 0.3), np.arange(5)) == 1.0
