"""Merging: the profile of parts, added up in any order and grouping, is the profile of the whole."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.errors import DataError
from homeostat.core.stats.profile import Calibration, ColumnProfile, Profile, merge

numbers = st.floats(-1e6, 1e6) | st.just(float("nan")) | st.just(float("inf")) | st.integers(-3, 3).map(float)
rows = st.lists(st.tuples(st.none() | numbers, st.none() | st.sampled_from("abcdz")), max_size=40)
REFERENCE = Profile.of(pl.DataFrame({"x": [float(i % 37) for i in range(200)], "c": list("abcd") * 50}))


def profile(pairs):
    columns = {"x": [x for x, _ in pairs], "c": [c for _, c in pairs]}
    frame = pl.DataFrame(columns, schema={"x": pl.Float64, "c": pl.String})
    return Profile.of(frame, edges_from=REFERENCE, prediction=frame["x"] if REFERENCE.prediction else None)


def assert_same(first, second):
    assert first.rows == second.rows
    for name, column in first.columns.items():
        other = second.columns[name]
        assert (column.rows, column.nulls, column.nans, column.infinite, column.counts) == (
            other.rows,
            other.nulls,
            other.nans,
            other.infinite,
            other.counts,
        )
        assert (column.minimum, column.maximum) == (other.minimum, other.maximum)
        assert column.mean == pytest.approx(other.mean, rel=1e-9, abs=1e-6)
        assert column.m2 == pytest.approx(other.m2, rel=1e-6, abs=1e-3)


@given(rows, rows)
def test_merge_of_parts_is_one_pass(first, second):
    assert_same(merge(profile(first), profile(second)), profile(first + second))


@given(rows, rows)
def test_merge_is_commutative(first, second):
    assert merge(profile(first), profile(second)) == merge(profile(second), profile(first))


@given(rows, rows, rows)
def test_merge_is_associative(first, second, third):
    one, two, three = profile(first), profile(second), profile(third)
    assert_same((one + two) + three, one + (two + three))


@given(rows)
def test_every_row_is_in_exactly_one_cell(pairs):
    columns = profile(pairs).columns.values()
    assert columns
    assert {sum(column.cells) for column in columns} == {len(pairs)}


def test_variance_far_from_zero_stays_exact():
    parts = [pl.DataFrame({"x": [1e9 + i % 3 for i in range(start, start + 300)]}) for start in range(0, 3000, 300)]
    reference = Profile.of(parts[0])
    total = sum((Profile.of(part, edges_from=reference) for part in parts[1:]), reference)
    assert total.columns["x"].std == pytest.approx((2 / 3) ** 0.5, rel=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.integers(0, 50))
def test_calibration_merges(pairs, cut):
    def count(part):
        score, positive = pl.Series([p for p, _ in part], dtype=pl.Float64), pl.Series([y for _, y in part])
        return Calibration.of(score.to_numpy(), positive.cast(pl.Boolean).to_numpy())

    whole, parts = count(pairs), count(pairs[:cut]) + count(pairs[cut:])
    assert (parts.counts, parts.positives, parts.confusion) == (whole.counts, whole.positives, whole.confusion)
    assert parts.score_sums == pytest.approx(whole.score_sums)


def test_profiles_in_other_bins_do_not_merge():
    first = Profile.of(pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": ["a", "b", "c"]}))
    second = Profile.of(pl.DataFrame({"x": [7.0, 8.0, 9.0], "z": ["a", "b", "c"]}))
    with pytest.raises(DataError, match=r"'y' is in only one.*'z' is in only one.*'x' has other bins"):
        merge(first, second)


def test_columns_in_other_bins_do_not_add_up():
    first, second = (ColumnProfile(kind="number", rows=1, edges=(edge,), counts=(1, 0)) for edge in (1.0, 2.0))
    with pytest.raises(DataError, match="other bins"):
        first + second
