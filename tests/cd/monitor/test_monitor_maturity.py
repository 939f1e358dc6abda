"""Label maturity: what may be judged when, and that early labels never speak for late ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cd.labels.maturity import Maturity, labelled_between, learned, matured, microseconds
from homeostat.cd.monitor.performance import Champion, Outcomes, measure

NINE = datetime(2013, 3, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEVER = np.datetime64("NaT")


def at(*hours):
    """Times as hours after nine; None is never."""
    start = np.datetime64("2013-03-01T09:00", "us")
    return np.array([NEVER if hour is None else start + np.timedelta64(int(hour * 3600), "s") for hour in hours])


def mask(times, label_times, hours, **rule):
    return matured(at(*times), at(*label_times), NINE + hours * HOUR, Maturity(**rule)).tolist()


def test_a_cohort_is_mature_when_all_its_labels_are_in():
    assert mask([0.1, 0.2, 1.5], [1, 2, 1.8], 1.5) == [False, False, False]
    assert mask([0.1, 0.2, 1.5], [1, 2, 1.8], 2) == [True, True, True]


def test_a_cohort_that_has_not_ended_is_not_mature():
    assert mask([0.1], [0.2], 0.9) == [False]
    assert mask([0.1], [0.2], 1.0) == [True]


def test_cohorts_are_released_strictly_in_order():
    assert mask([0.5, 1.5], [9, 1.6], 3) == [False, False]


def test_a_label_that_never_comes_is_waited_for_and_then_missing():
    assert mask([0.5, 0.6], [None, 0.7], 24) == [False, False]
    assert mask([0.5, 0.6], [None, 0.7], 25, wait=24 * HOUR) == [True, True]


def test_a_share_of_labels_can_be_enough():
    assert mask([0.1, 0.2, 0.3, 0.4], [1, 1, 1, None], 2, complete=0.75) == [True] * 4


def test_no_rows_are_no_rows():
    assert mask([], [], 5) == []


def test_times_can_be_given_in_any_form():
    stamps = microseconds(at(0, 1))
    assert microseconds(stamps).tolist() == stamps.tolist()
    assert microseconds([NINE, NINE + HOUR]).tolist() == stamps.tolist()
    assert microseconds(np.array([NINE, None], dtype=object))[0] == stamps[0]


def test_labels_are_counted_between_two_looks():
    arrived = at(1, 2, 3, None)
    assert labelled_between(arrived, None, NINE + 2 * HOUR) == 2
    assert labelled_between(arrived, NINE + HOUR, NINE + 2 * HOUR) == 1


def test_the_wait_is_learned_from_past_delays():
    rule = learned(at(0, 1, 2), at(2, 4, None))
    assert (rule.wait, rule.every) == (6 * HOUR, HOUR)
    assert learned(at(0), at(None)) == Maturity()


def test_labels_that_never_came_teach_no_wait():
    never = np.array([microseconds(at(2))[0], 2**63 - 1])
    assert learned(microseconds(at(0, 1)), never).wait == 4 * HOUR
    assert learned(microseconds(at(0)), never[1:]) == Maturity()


def test_no_label_is_waited_for_longer_than_ninety_days():
    assert learned(at(0), at(24 * 365)).wait == timedelta(days=90)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 30)), max_size=40), st.floats(0, 60), st.floats(0, 60))
def test_a_mature_row_stays_mature(rows, first, second):
    times, labels = [hour for hour, _ in rows], [hour + delay for hour, delay in rows]
    early, late = sorted((first, second))
    before, after = mask(times, labels, early), mask(times, labels, late)
    assert all(now or not then for then, now in zip(before, after, strict=True))


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 30)), min_size=1, max_size=40), st.floats(0, 60))
def test_what_is_mature_is_a_prefix_of_the_requests(rows, hours):
    rows = sorted(rows)
    seen = mask([hour for hour, _ in rows], [hour + delay for hour, delay in rows], hours)
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("hours", [4, 12, 24, 36])
def test_good_news_that_arrives_early_does_not_flatter_and_bad_news_does_not_alarm(hours):
    # Positives report after 10 minutes, negatives after 12 hours; the model always says 0.6.
    rng = np.random.default_rng(0)
    asked = np.sort(rng.uniform(0, 48, 4_000))
    positive = rng.random(4_000) < 0.5
    outcomes = Outcomes(
        times=at(*asked),
        label_times=at(*(asked + np.where(positive, 1 / 6, 12))),
        labels=positive,
        predictions={1: np.tile([0.4, 0.6], (4_000, 1))},
    )
    champion = Champion(version=1, task="classification", metric="accuracy", classes=(False, True))
    measured = measure(champion, outcomes, NINE + hours * HOUR)
    assert all(one.value == pytest.approx(0.5, abs=0.06) for one in measured)
    assert bool(measured) == (hours > 13)


def test_a_label_is_known_from_its_own_moment_on():
    assert mask([0.1], [2], 1.9) == [False]
    assert mask([0.1], [2], 2) == [True]
    assert labelled_between(at(1, 2), NINE + HOUR, NINE + 1.5 * HOUR) == 0


def test_the_wait_is_counted_from_the_end_of_a_cohort():
    assert mask([0.1], [None], 5.9, wait=5 * HOUR) == [False]
    assert mask([0.1], [None], 6, wait=5 * HOUR) == [True]


def test_a_share_of_labels_that_is_too_small_is_waited_for():
    assert mask([0.1, 0.2, 0.3, 0.4], [1, 1, None, None], 2, complete=0.75) == [False] * 4


def test_a_cohort_is_as_long_as_it_is_told():
    assert mask([0.1, 2.5], [0.2, 2.6], 2.7, every=3 * HOUR) == [False, False]
    assert mask([0.1, 2.5], [0.2, 2.6], 3, every=3 * HOUR) == [True, True]


def test_a_cohort_that_is_complete_waits_for_the_one_before_it():
    assert mask([0.5, 1.5, 2.5], [0.6, None, 2.6], 20, wait=10 * HOUR) == [True, True, True]
    assert mask([0.5, 1.5, 2.5], [0.6, None, 2.6], 11, wait=10 * HOUR) == [True, False, False]


def test_the_wait_is_that_of_the_slowest_thousandth():
    times = at(*([0] * 2_000))
    arrived = at(*([1] * 1_997 + [5] * 3))
    assert learned(times, arrived).wait == 10 * HOUR
    assert learned(times, at(*([1] * 1_999 + [5]))).wait == 2 * HOUR
    assert learned(at(5), at(3)).wait == timedelta(0)


def test_a_learned_wait_leaves_the_rest_of_the_rule_alone():
    rule = Maturity(every=2 * HOUR, complete=0.9)
    assert learned(at(0), at(3), rule) == Maturity(every=2 * HOUR, complete=0.9, wait=6 * HOUR)
    assert learned(at(0), at(None), rule) == rule
