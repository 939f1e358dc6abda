"""Ids of rows: two keys are the same only if their ids are, whatever is in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from homeostat.core.clock import utc
from homeostat.core.table.ids import LONGEST_ID, id_problem, row_id

TEXT = st.text(st.characters(codec="utf-8")) | st.text("ab/~01\\%")
KINDS = {
    "text": TEXT,
    "integer": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "time": st.datetimes(timezones=st.just(UTC)),
}


@given(st.data(), st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4))
def test_keys_of_the_same_columns_have_one_id_only_if_they_are_equal(data, kinds):
    one, other = (tuple(data.draw(KINDS[kind]) for kind in kinds) for _ in range(2))
    assert (row_id(one) == row_id(other)) == (one == other)


@given(st.lists(TEXT, min_size=2, max_size=4), st.lists(TEXT, min_size=2, max_size=4))
def test_texts_tell_their_columns_apart(one, other):
    assume(one != other)
    assert row_id(one) != row_id(other)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["UA/9"], "UA/9"),
        (["a/b", "c1"], "a~1b/c1"),
        (["a", "b/c1"], "a/b~1c1"),
        (["~", ""], "~0/"),
        ([7, True], "7/true"),
        ([-0.0], "0.0"),
        ([datetime(2013, 3, 1, 12, tzinfo=UTC)], "2013-03-01T12:00:00Z"),
        (["a", None], None),
        ([None], None),
    ],
)
def test_ordinary_keys_stay_readable(values, expected):
    assert row_id(values) == expected


def test_a_time_has_one_id_whatever_its_zone():
    there = datetime(2013, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert row_id([utc(there)]) == "2013-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("one", "word"),
    [("", "empty"), ("x" * (LONGEST_ID + 1), "201 characters"), ("a\0", "NUL"), ("\ud83d", "surrogate")],
)
def test_what_is_no_id_is_told(one, word):
    assert word in id_problem(one)
    assert id_problem("x" * LONGEST_ID) is None
