"""Values in their columns: nothing that is taken becomes another value, one by one or by the column."""

from __future__ import annotations

from datetime import timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.errors import DataError
from homeostat.core.table.foreign import frame_of
from homeostat.core.table.rows import prepare
from homeostat.core.table.spec import TableSpec
from homeostat.core.times.columns import read_time, read_times
from homeostat.core.values import LONGEST_TEXT, found, inexact_whole, taken, text_problem, unfit

WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(2**53 - 3, 2**53 + 3) | st.integers(2**62, 2**63 - 1)
SPEC = TableSpec(time="at")
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.datetimes() | st.binary()
)
ANYTHING = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(st.text(), PLAIN, max_size=2) | st.decimals()
FORMS = (
    None,
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%d %b %Y",
    "%Y-%d-%m",
    "%d/%m/%y %H:%M",
    "%Y%m%d",
    "%d.%m.%Y %z",
)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(WHOLE)
def test_a_whole_number_is_taken_as_a_fraction_exactly_or_not_at_all(value):
    number, problem = taken(value, "number")
    assert (problem is None) == (int(float(value)) == value)
    assert problem is not None or number == value
    column = pl.Series("n", [value, 1], dtype=pl.Int64)
    mask = inexact_whole(column)
    assert (mask is None) == (problem is None)
    assert (unfit(column, "number") is None) == (problem is None)


@given(st.text() | st.text(st.characters()))
def test_a_text_that_is_taken_is_read_again_as_it_was(text):
    if text_problem(text) is None:
        assert text.encode().decode() == text
        assert pl.Series([text]).to_list() == [text]


@settings(deadline=None)
@given(ANYTHING)
def test_whatever_comes_is_answered_with_a_sentence_that_can_be_printed(value):
    for kind in ("number", "integer", "boolean", "category", "text", "time"):
        if value is not None:
            problem = taken(value, kind)[1]
            assert problem is None or (problem.encode() and len(problem) < 1_000)
    assert found(value).encode()


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("n", [2**63], dtype=pl.UInt64),
        pl.Series("n", [-(2**63) - 1], dtype=pl.Int128),
        pl.Series("n", [Decimal(2**63)], dtype=pl.Decimal(38, 0)),
        pl.Series("n", [Decimal(2**53 + 1)], dtype=pl.Decimal(38, 2)),
        pl.Series("n", [float("nan")]),
        pl.Series("n", ["a\0"]),
        pl.Series("n", ["x" * (LONGEST_TEXT + 1)]),
    ],
)
def test_a_column_that_would_lose_something_is_refused_by_row(column):
    rows = pl.DataFrame([pl.Series("at", ["2013-01-01"] * 2), pl.concat([column[:0], column[:1].clear(1), column])])
    with pytest.raises(DataError, match=r"'n' holds .* in row 2"):
        prepare(rows, SPEC)


def test_decimals_without_a_fraction_become_whole_numbers():
    rows = pl.DataFrame({"at": ["2013-01-01"], "n": pl.Series([Decimal(2**53 + 1)], dtype=pl.Decimal(38, 0))})
    assert prepare(rows, SPEC)["n"].to_list() == [2**53 + 1]


def test_decimals_become_the_nearest_fractions():
    rows = pl.DataFrame({"at": ["2013-01-01"] * 2, "n": [Decimal("0.1"), Decimal(9007199254740992)]})
    assert prepare(rows, SPEC)["n"].to_list() == [0.1, 2.0**53]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"n": 1.5}, {"n": 2**53 + 1}], "column 'n', row 2"),
        ([{"n": 1}, {"n": True}], "'n' mixes truth values"),
        ([{"n": "a"}, {"n": "\ud83d"}], "column 'n', row 2"),
        ([{"n": 1}, {"n": 10**400}], "column 'n', row 2"),
        ({"n": [1, "a"]}, "cannot be read as a table"),
    ],
)
def test_a_table_of_plain_values_says_which_one_it_does_not_hold(rows, words):
    with pytest.raises(DataError, match=words):
        frame_of(rows)


@settings(deadline=None)
@given(
    st.datetimes(timezones=OFFSETS | st.none()),
    st.sampled_from(FORMS),
    st.sampled_from(
        [*FORMS[1:], "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M", "%Y/%m/%d", "%Y-%m-%dT%H:%M:%S.%fZ", "%H:%M"]
    ),
)
def test_a_time_is_read_as_the_one_reader_of_times_reads_it(moment, form, written):
    text = moment.replace(fold=0).strftime(written)
    value, problem = taken(text, "time", form=form)
    try:
        assert value == read_time(text, form)
    except DataError:
        assert problem is not None


@settings(deadline=None)
@given(st.integers(-(10**19), 10**19) | st.integers(-(10**10), 10**10), st.sampled_from(["s", "ms", "us", "ns"]))
def test_a_number_since_1970_is_read_as_in_a_column(number, unit):
    for value in (number, str(number)):
        found_one, problem = taken(value, "time", form=unit)
        try:
            assert found_one == read_times(pl.Series("", [value]), unit)[0]
        except (DataError, OverflowError):
            assert problem is not None
