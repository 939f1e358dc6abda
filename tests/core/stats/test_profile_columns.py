"""What a profile keeps of a column, whatever is in it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from homeostat.core.errors import DataError
from homeostat.core.stats.profile import LARGEST_VOCABULARY, Calibration, Profile


def column(values, **options):
    return Profile.of(pl.DataFrame({"x": values}), **options).columns["x"]


def test_numbers_keep_counts_range_and_moments():
    seen = column([1.0, 2.0, 3.0, None, float("nan"), float("inf")])
    assert (seen.rows, seen.nulls, seen.nans, seen.infinite, seen.finite) == (6, 1, 1, 1, 3)
    assert (seen.minimum, seen.maximum, seen.mean, seen.m2) == (1.0, 3.0, 2.0, 2.0)


def test_ten_bins_hold_a_tenth_each():
    assert column(list(range(1000))).counts == (100,) * 10


def test_a_constant_notices_values_on_both_sides():
    reference = Profile.of(pl.DataFrame({"x": [5.0] * 20}))
    later = Profile.of(pl.DataFrame({"x": [4.9, 5.0, 5.1, 5.2]}), edges_from=reference)
    assert later.columns["x"].counts == (1, 1, 2)


def test_a_heavy_smallest_value_has_its_own_bin():
    seen = column([0] * 50 + list(range(1, 51)))
    assert seen.counts[:2] == (0, 50)


def test_rare_categories_are_counted_together():
    values = [f"c{i}" for i in range(60) for _ in range(60 - i)]
    seen = column(values)
    assert len(seen.vocabulary) == LARGEST_VOCABULARY
    assert seen.counts[-1] == sum(60 - i for i in range(50, 60))


def test_booleans_and_enumerations_are_categories():
    assert column([True, False, True, None]).vocabulary == ("false", "true")
    assert column(pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"]))).counts == (1, 1, 0)


def test_times_keep_their_range():
    seen = column([datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 3, 2, tzinfo=UTC), None])
    assert (seen.kind, seen.nulls, seen.maximum - seen.minimum) == ("time", 1, 86_400e6)
    assert column([date(1970, 1, 2)]).maximum == 86_400e6


def test_durations_are_numbers():
    assert column([timedelta(seconds=1), timedelta(seconds=3)]).mean == 2e6


@pytest.mark.parametrize("values", [[[1, 2], [3]], [{"a": 1}], [b"raw"], [None, None]])
def test_what_has_no_bins_is_counted(values):
    assert (column(values).kind, column(values).rows) == ("opaque", len(values))


@pytest.mark.parametrize("dtype", [pl.Float64, pl.String, pl.Boolean, pl.Datetime("us", "UTC"), pl.Null])
def test_an_empty_block_has_a_profile(dtype):
    seen = Profile.of(pl.DataFrame({"x": pl.Series([], dtype=dtype)}))
    assert (seen.rows, sum(seen.columns["x"].cells)) == (0, 0)


def test_overflow_leaves_the_moments_unknown_and_the_rest_exact():
    seen = column([1e308, -1e308, 1e308, 1e308])
    assert (seen.m2, seen.std, seen.rows) == (None, None, 4)
    later = Profile.of(pl.DataFrame({"x": [1.0]}), edges_from=Profile.of(pl.DataFrame({"x": [1e308, -1e308]})))
    assert later.columns["x"].mean == 1.0


def test_a_column_that_is_gone_is_all_null():
    reference = Profile.of(pl.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]}))
    later = Profile.of(pl.DataFrame({"y": ["a"], "new": [1]}), edges_from=reference)
    assert (later.columns["x"].nulls, set(later.columns)) == (1, {"x", "y"})


def test_a_column_of_nulls_fits_any_reference():
    reference = Profile.of(pl.DataFrame({"x": [1.0, 2.0]}))
    assert Profile.of(pl.DataFrame({"x": [None]}), edges_from=reference).columns["x"].nulls == 1


def test_a_column_of_another_kind_is_refused_by_name():
    reference = Profile.of(pl.DataFrame({"x": [1.0, 2.0]}))
    with pytest.raises(DataError, match="column 'x' holds String, but the reference counted it as number"):
        Profile.of(pl.DataFrame({"x": ["one"]}), edges_from=reference)


def test_excluded_columns_are_left_out():
    assert set(Profile.of(pl.DataFrame({"id": [1], "x": [2]}), exclude=("id",)).columns) == {"x"}


def test_a_profile_survives_json():
    frame = pl.DataFrame({"x": [0.1, 1e300, None], "c": ["a", None, "ü"], "t": [date(2013, 1, 1)] * 3})
    score = np.array([0.1, 0.9, 0.4])
    calibration = Calibration.of(score, np.array([False, True, True]))
    seen = Profile.of(frame, prediction=score, calibration=calibration)
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Profile) == seen


def test_every_cell_has_a_label():
    for values in (list(range(100)), ["a", "b"], [5.0], [True, None]):
        assert len(column(values).labels) == len(column(values).cells)


def test_calibration_counts_right_and_wrong():
    seen = Calibration.of(np.array([0.9, 0.8, 0.2, 0.1, np.nan]), np.array([True, False, True, False, True]))
    assert seen.confusion == (1, 1, 1, 1)
    assert seen.error == pytest.approx((0.1 + 0.8 + 0.8 + 0.1) / 4)
