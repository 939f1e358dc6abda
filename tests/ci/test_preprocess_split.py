"""Splits follow time: training rows are what a model trained at the cutoff could have seen."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.ci.preprocess import split
from homeostat.core.errors import DataError, LoopError
from homeostat.core.table.spec import TableSpec
from tests.core.model_rows import SPEC, START, rows

TABLE = rows(500)


@pytest.mark.parametrize("test", [0.2, 0.5, "5d", timedelta(hours=30)])
def test_training_comes_before_testing_and_no_row_is_in_both(test):
    parts = split(TABLE.sample(fraction=1.0, shuffle=True, seed=1), SPEC, test=test)
    assert parts.train["at"].max() < parts.test["at"].min() == parts.info.cutoff
    assert not set(parts.train["id"]) & set(parts.test["id"])
    assert (parts.train["known"] <= parts.info.cutoff).all()
    assert parts.train["at"].is_sorted()
    assert parts.test["at"].is_sorted()


def test_rows_whose_label_came_after_the_cutoff_are_purged_and_counted():
    parts = split(TABLE, SPEC, test=0.2)
    assert (parts.info.train_rows, parts.info.purged, parts.info.test_rows) == (377, 23, 100)


def test_labels_from_the_future_are_left_out_and_counted():
    now = START + timedelta(hours=300)
    parts = split(TABLE, SPEC, now=now)
    assert (parts.test["known"] <= now).all()
    assert parts.info.unlabelled == 500 - 277


def test_rows_without_a_label_are_left_out():
    holes = TABLE.with_columns(y=pl.when(pl.int_range(pl.len()) % 2 == 0).then("y"))
    parts = split(holes, SPEC)
    assert parts.info.unlabelled == 250
    assert not parts.train["y"].null_count() + parts.test["y"].null_count()


def test_a_random_split_says_that_it_is_one():
    parts = split(TABLE, SPEC, seed=3)
    assert parts.info.method == "random"
    assert "random" in parts.info.warnings[0]
    assert split(TABLE, SPEC, seed=3).test.equals(parts.test)
    assert parts.info.train_rows + parts.info.test_rows == 500


@pytest.mark.parametrize("test", [0.0, 1.0, -1, 3])
def test_a_share_out_of_range_is_refused(test: float):
    with pytest.raises(LoopError, match="no share of the rows"):
        split(TABLE, SPEC, test=test)


def test_too_few_labels_are_refused_with_their_count():
    with pytest.raises(DataError, match="0 of 500 rows have a label that is known at 2024-01-01"):
        split(TABLE, SPEC, now=START)


def test_an_empty_part_is_refused_with_both_counts():
    with pytest.raises(DataError, match="0 rows to train"):
        split(TABLE, SPEC, test="300d")


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), min_size=2, max_size=60),
    st.floats(0.01, 0.99),
)
def test_whatever_the_times_nothing_leaks(times: list[tuple[int, int]], share: float):
    table = pl.DataFrame(
        {
            "at": [START + timedelta(hours=hour) for hour, _ in times],
            "known": [START + timedelta(hours=hour + delay) for hour, delay in times],
            "y": [1.0] * len(times),
        },
        schema_overrides={"at": pl.Datetime("us", "UTC"), "known": pl.Datetime("us", "UTC")},
    )
    try:
        parts = split(table, TableSpec(time="at", target="y", label_time="known"), test=share)
    except DataError:
        return
    assert parts.train["at"].max() < parts.test["at"].min()
    assert parts.train["known"].max() <= parts.test["at"].min()
    assert parts.info.train_rows + parts.info.purged + parts.info.test_rows == len(times)
