"""When drift alarms, and when it must not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.stats.drift import DriftConfig, benjamini_hochberg, distance, drift
from homeostat.core.stats.profile import Profile

ANY = DriftConfig(threshold=0.0)
"""Every difference that is not chance alarms: the false discoveries show."""


def frame(rng, rows, *, shift=0.0):
    columns = {f"x{i}": rng.normal(shift * (i == 0), 1, rows) for i in range(6)}
    columns |= {f"c{i}": rng.choice(list("abcdefgh"), rows) for i in range(3)}
    return pl.DataFrame({**columns, "flag": rng.random(rows) < 0.1})


def alarms(reference, rows, config=None):
    return {one.subject for one in drift(reference, Profile.of(rows, edges_from=reference), config) if one.alarmed}


@pytest.fixture(scope="module")
def reference():
    return Profile.of(frame(np.random.default_rng(0), 20_000))


@pytest.mark.parametrize("rows", [200, 1_000, 5_000])
def test_null_blocks_alarm_no_more_often_than_the_false_discovery_rate(reference, rows):
    rng = np.random.default_rng(rows)
    fired = sum(bool(alarms(reference, frame(rng, rows), ANY)) for _ in range(300))
    assert fired <= 9  # one per cent of 300 blocks is 3; 9 and more has a chance of 1 in 400


def test_null_blocks_never_alarm_at_the_default_threshold(reference):
    rng = np.random.default_rng(1)
    assert not any(alarms(reference, frame(rng, 200)) for _ in range(300))


def test_noise_is_what_psi_is_by_chance(reference):
    rng = np.random.default_rng(2)
    blocks = [Profile.of(frame(rng, 500), edges_from=reference) for _ in range(200)]
    ratios = [one.value / one.noise for block in blocks for one in drift(reference, block)]
    assert 0.9 < np.mean(ratios) < 1.1


def test_a_planted_shift_is_found_and_named(reference):
    rng = np.random.default_rng(3)
    assert all(alarms(reference, frame(rng, 500, shift=0.8)) == {"x0"} for _ in range(50))


def test_the_signal_says_what_moved(reference):
    rows = frame(np.random.default_rng(4), 500, shift=3.0)
    signal = drift(reference, Profile.of(rows, edges_from=reference))[0]
    assert signal.kind == "value_drift"
    assert signal.value - signal.noise > signal.threshold
    assert "of the rows" in signal.detail


@given(st.integers(1, 60))
def test_more_of_the_same_rows_never_alarm(times):
    rows = frame(np.random.default_rng(5), 400)
    reference = Profile.of(rows)
    assert not alarms(reference, pl.concat([rows] * times), ANY)


def test_fewer_rows_than_the_minimum_are_not_compared(reference):
    block = Profile.of(frame(np.random.default_rng(6), 199, shift=5.0), edges_from=reference)
    assert all(one.value is None and not one.alarmed and "too few" in one.detail for one in drift(reference, block))


def test_nulls_are_a_change_of_their_own(reference):
    rows = frame(np.random.default_rng(7), 1_000)
    holes = rows.with_columns(pl.when(pl.int_range(pl.len()) % 3 == 0).then(None).otherwise(pl.col("x1")).alias("x1"))
    assert alarms(reference, holes) == {"x1"}


def test_new_categories_are_a_change(reference):
    rows = frame(np.random.default_rng(8), 1_000)
    renamed = rows.with_columns(pl.col("c0").replace("a", "A").replace("b", "B"))
    assert alarms(reference, renamed) == {"c0"}


def test_a_constant_column_that_moves_alarms():
    reference = Profile.of(pl.DataFrame({"x": [1.0] * 500}))
    assert alarms(reference, pl.DataFrame({"x": [0.0] * 500})) == {"x"}
    assert not alarms(reference, pl.DataFrame({"x": [1.0] * 300}))


def test_thresholds_of_single_columns_count():
    rng = np.random.default_rng(9)
    reference = Profile.of(pl.DataFrame({"x": rng.normal(size=5_000)}))
    later = pl.DataFrame({"x": rng.normal(1, 1, 1_000)})
    assert alarms(reference, later) == {"x"}
    assert not alarms(reference, later, DriftConfig(thresholds={"x": 5.0}))


def test_times_and_opaque_columns_are_not_compared():
    block = Profile.of(pl.DataFrame({"t": pl.Series([1, 2], dtype=pl.Datetime("us")), "l": [[1], [2]]}))
    assert drift(block, block) == []


def test_an_empty_column_has_no_distance():
    empty = Profile.of(pl.DataFrame({"x": pl.Series([], dtype=pl.Float64)})).columns["x"]
    assert distance(empty, empty).p_value == 1.0


@given(st.lists(st.floats(0, 1), max_size=30))
def test_q_values_are_ordered_like_p_values_and_never_below_them(p_values):
    q_values = benjamini_hochberg(p_values)
    assert all(p <= q + 1e-12 and q <= 1 for p, q in zip(p_values, q_values, strict=True))
    pairs = sorted(zip(p_values, q_values, strict=True))
    assert all(first[1] <= second[1] for first, second in pairwise(pairs))


def counted(cells: dict[str, int], reference: Profile | None = None) -> Profile:
    rows = pl.DataFrame({"letter": [name for name, times in cells.items() for _ in range(times)]})
    return Profile.of(rows) if reference is None else Profile.of(rows, edges_from=reference)


def test_a_distance_that_is_not_above_its_noise_by_the_threshold_does_not_alarm():
    """It is no chance, and of the distance, a part is what chance alone would give."""
    reference = counted({"a": 1_000, "b": 1_000})
    later = counted({"a": 560, "b": 440}, reference)
    measured = distance(reference.columns["letter"], later.columns["letter"])
    assert measured.p_value < 0.005
    assert measured.noise == pytest.approx(1 / 2_000 + 1 / 1_000)
    between = measured.value - measured.noise / 2
    (signal,) = drift(reference, later, DriftConfig(threshold=between, false_discovery=0.05))
    assert signal.value > signal.threshold > signal.value - signal.noise
    assert not signal.alarmed
    (signal,) = drift(reference, later, DriftConfig(threshold=measured.value - measured.noise, false_discovery=0.05))
    assert signal.alarmed


def test_a_large_distance_of_few_rows_that_may_be_chance_does_not_alarm():
    reference = counted({"a": 1_000, "b": 1_000})
    later = counted({"a": 115, "b": 85}, reference)
    (signal,) = drift(reference, later, DriftConfig(threshold=0.001, false_discovery=0.01))
    assert signal.value - signal.noise > signal.threshold
    assert signal.q_value > 0.01
    assert not signal.alarmed


@pytest.mark.parametrize(("before", "after", "compared"), [(200, 200, True), (199, 2_000, False), (2_000, 199, False)])
def test_both_sides_need_as_many_rows_as_the_minimum(before, after, compared):
    reference = counted({"a": before})
    (signal,) = drift(reference, counted({"a": after}, reference), DriftConfig(minimum_rows=200))
    assert (signal.value is not None) is compared


def test_many_rare_values_that_are_replaced_are_a_change_together():
    common = {"a": 500, "b": 500}
    reference = counted(common | {f"rare{place}": 4 for place in range(20)})
    later = counted({"a": 540, "b": 540}, reference)
    assert distance(reference.columns["letter"], later.columns["letter"]).p_value < 1e-6
