"""One reader of times: ISO without a word, anything else by a form that was declared, and the rest refused."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.clock import utc
from homeostat.core.errors import DataError
from homeostat.core.times.columns import (
    EVENT_EARLIEST,
    EVENT_LATEST,
    UTC_TIME,
    outside,
    possible_forms,
    read_time,
    read_times,
)
from homeostat.core.times.forms import candidates


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


def naive(*parts: int) -> datetime:
    return moment(*parts).replace(tzinfo=None)


READ = [
    ("2013-01-31", None, moment(2013, 1, 31)),
    ("2013/01/31", None, moment(2013, 1, 31)),
    ("2013-01-31 5:15", None, moment(2013, 1, 31, 5, 15)),
    (" 2013-01-31T05:15:07 ", None, moment(2013, 1, 31, 5, 15, 7)),
    ("2013-01-31T05:15:07.1234567", None, moment(2013, 1, 31, 5, 15, 7, 123456)),
    ("2013-01-31T05:15:07,5Z", None, moment(2013, 1, 31, 5, 15, 7, 500000)),
    ("2013-01-31 05:15:07 UTC", None, moment(2013, 1, 31, 5, 15, 7)),
    ("2013-01-31 05:15+02:00", None, moment(2013, 1, 31, 3, 15)),
    ("2013-01-31 05:15 +0530", None, moment(2013, 1, 30, 23, 45)),
    ("2013-01-31 05:15:00-03", None, moment(2013, 1, 31, 8, 15)),
    ("1600-02-29", None, moment(1600, 2, 29)),
    ("31/01/2013", "%d/%m/%Y", moment(2013, 1, 31)),
    ("1/31/2013 5:15 PM", "%m/%d/%Y %I:%M %p", moment(2013, 1, 31, 17, 15)),
    ("1/31/2013 12:15:09 a.m.", "%m/%d/%Y %I:%M:%S %p", moment(2013, 1, 31, 0, 15, 9)),
    ("31.01.2013 05:15", "%d.%m.%Y %H:%M:%S", moment(2013, 1, 31, 5, 15)),
    ("31.01.2013", "%d.%m.%Y %H:%M", moment(2013, 1, 31)),
    ("31.01.2013 05:15:07.25", "%d.%m.%Y %H:%M:%S.%f", moment(2013, 1, 31, 5, 15, 7, 250000)),
    ("31.01.2013 05:15:07.25", "%d.%m.%Y %H:%M:%S%.f", moment(2013, 1, 31, 5, 15, 7, 250000)),
    ("20130131", "%Y%m%d", moment(2013, 1, 31)),
    ("01/31/69", "%m/%d/%y", moment(1969, 1, 31)),
    ("01/31/68", "%m/%d/%y", moment(2068, 1, 31)),
    ("Thu, 31 Jan 2013 05:15:00 +0100", "%a, %d %b %Y %H:%M:%S %z", moment(2013, 1, 31, 4, 15)),
    ("31 Sept 2013", "%d %b %Y", None),
    ("30 sept 2013", "%d %B %Y", moment(2013, 9, 30)),
    ("Jan 2013", "%b %Y", moment(2013, 1, 1)),
    ("1359609300", "s", moment(2013, 1, 31, 5, 15)),
    ("1359609300.25", "s", moment(2013, 1, 31, 5, 15, 0, 250000)),
    ("1359609300000", "ms", moment(2013, 1, 31, 5, 15)),
    ("1359609300000000999", "ns", moment(2013, 1, 31, 5, 15)),
    ("-1", "s", moment(1969, 12, 31, 23, 59, 59)),
    ("2013-01-31", "%d/%m/%Y", moment(2013, 1, 31)),
    ("2013-01-31T05:15Z", "s", moment(2013, 1, 31, 5, 15)),
    ("2013-31-01", "%Y-%d-%m", moment(2013, 1, 31)),
]
"""Text, form, and the time that it is; None where it is none."""

NO_TIMES = [
    *("x", "2013-02-30", "2013-13-01", "2013-01-31 24:00", "2013-01-31 05:60", "2013-01-31 05:15:60", "0000-01-01"),
    *("+2013-01-31", "12013-01-31", "2013-1", "2013- 1-31", "2013-01-31 05:15+24:00", "2013-01-31 05:15 EST"),
    *("20130131", "1359609300", "٢٠١٣-٠١-٣١", "2013-01-31 05", "2013-01-31x", "2013.01.31", "31-01-2013"),
]


@pytest.mark.parametrize(("text", "form", "expected"), READ)
def test_a_time_is_read_alike_alone_and_in_a_column(text, form, expected):
    if expected is None:
        with pytest.raises(DataError, match=r"is no date or time|is not written"):
            read_time(text, form)
        return
    assert read_time(text, form) == expected
    column = read_times(pl.Series("at", ["2013-05-01", text, None, ""] if "%Y-%d" not in str(form) else [text]), form)
    assert column.dtype == UTC_TIME
    assert expected in column.to_list()


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_not_year_first_is_no_time_without_a_form(text):
    with pytest.raises(DataError):
        read_time(text)


def test_a_year_first_form_with_the_day_before_the_month_takes_no_iso_time_beside_it():
    with pytest.raises(DataError, match="row 1 has '2013-01-31', which is not written as '%Y-%d-%m'"):
        read_times(pl.Series("at", ["2013-01-31"]), "%Y-%d-%m")


@pytest.mark.parametrize(
    ("values", "dtype", "form", "expected"),
    [
        ([20130131, None], pl.Int64, "%Y%m%d", moment(2013, 1, 31)),
        ([20130131.0, None], pl.Float64, "%Y%m%d", moment(2013, 1, 31)),
        ([31_0113], pl.Int32, "%d%m%y", moment(2013, 1, 31)),
        ([1_02_13], pl.Int32, "%d%m%y", moment(2013, 2, 1)),
        ([1359609300], pl.UInt32, "s", moment(2013, 1, 31, 5, 15)),
        ([1359609300.5], pl.Float64, "s", moment(2013, 1, 31, 5, 15, 0, 500000)),
        ([naive(2013, 1, 31, 5, 15)], pl.Datetime("ns"), None, moment(2013, 1, 31, 5, 15)),
        ([naive(2013, 1, 31, 5, 15)], pl.Datetime("ms", "Europe/Berlin"), None, moment(2013, 1, 31, 4, 15)),
        ([naive(2013, 1, 31).date()], pl.Date, "%d/%m/%Y", moment(2013, 1, 31)),
        ([None], pl.Null, None, None),
        ([None], pl.Float64, None, None),
    ],
)
def test_a_typed_column_is_read_as_what_it_is(values, dtype, form, expected):
    assert read_times(_typed(values, dtype), form)[0] == expected


def _typed(values, dtype):
    series = pl.Series("at", values)
    if getattr(dtype, "time_zone", None):
        return series.dt.replace_time_zone(dtype.time_zone).dt.cast_time_unit(dtype.time_unit)
    return series.cast(dtype)


def test_a_text_that_could_be_two_days_is_refused_with_both_and_the_declaration():
    with pytest.raises(DataError) as refused:
        read_times(pl.Series("at", ["01/02/2013", "03/04/2013"]))
    assert "row 1 has '01/02/2013', which could be 1 February 2013 (%d/%m/%Y) or 2 January 2013 (%m/%d/%Y)" in str(
        refused.value
    )
    assert 'FileSource(..., dates="%d/%m/%Y") or FileSource(..., dates="%m/%d/%Y")' in str(refused.value)


def test_the_hint_names_only_forms_that_read_the_whole_column():
    with pytest.raises(DataError) as refused:
        read_times(pl.Series("at", ["01/02/2013", "03/14/2013"]))
    assert refused.value.hint is not None
    assert refused.value.hint.endswith('FileSource(..., dates="%m/%d/%Y")')


def test_numbers_are_no_times_until_a_form_says_what_they_count():
    with pytest.raises(DataError, match=r'holds numbers such as 1359609300\n.*dates="s"'):
        read_times(pl.Series("at", [1359609300]))


@pytest.mark.parametrize("wrong", ["29.02.2025 10:00", "31.12.2024 24:00", "31.04.2025 10:00", "01.13.2025", "soon"])
@pytest.mark.parametrize("place", [0, 3, 9])
def test_the_one_row_that_is_no_day_is_named_and_not_the_others(wrong: str, place: int):
    values = [f"{day:02}.01.2025 10:00" for day in range(11, 21)]
    values[place] = wrong
    with pytest.raises(DataError) as refused:
        read_times(pl.Series("at", values))
    assert f"row {place + 1} has '{wrong}'" in refused.value.what
    assert "%d.%m.%Y %H:%M" in refused.value.what
    assert "(1 of 10 rows)" in refused.value.what


@pytest.mark.parametrize("values", [[46023, 46024], [46023.25, 46023.5], [30_000]])
def test_the_days_that_a_spreadsheet_counts_are_told_and_not_called_seconds(values: list[float]):
    with pytest.raises(DataError, match="the days that a spreadsheet counts") as refused:
        read_times(pl.Series("at", values))
    assert "dates=" not in (refused.value.hint or "")


def test_numbers_that_no_form_makes_a_time_of_are_not_called_seconds():
    with pytest.raises(DataError, match="no times of our days") as refused:
        read_times(pl.Series("at", [1, 2, 3]))
    assert "dates=" not in (refused.value.hint or "")


def test_a_later_value_that_contradicts_the_form_is_told_with_its_row():
    with pytest.raises(DataError, match=r"row 2 has '01/31/2013', which is not written as '%d/%m/%Y' \(1 of 3 rows\)"):
        read_times(pl.Series("at", ["31/01/2013", "01/31/2013", "2013-01-31"]), "%d/%m/%Y")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("%d/%m", "lacks a year"),
        ("%d %Y", "lacks a month"),
        ("%Y-%m-%d %I:%M", "lacks both %I and %p"),
        ("%Y %Y", "has %Y twice"),
        ("%Y-%q", "which is not known"),
    ],
)
def test_a_form_that_tells_no_day_is_refused(form, said):
    with pytest.raises(DataError, match=said):
        read_time("2013", form)


@pytest.mark.parametrize(
    ("values", "forms"),
    [
        (["2013-01-31", "2013/02/01 5:15"], ("",)),
        (["01/02/2013"], ("%d/%m/%Y", "%m/%d/%Y")),
        (["01/02/2013", "13/02/2013"], ("%d/%m/%Y",)),
        (["01/02/2013", "2013-02-01"], ("%d/%m/%Y", "%m/%d/%Y")),
        (["03/03/2013", "04/04/2013"], ("%d/%m/%Y",)),
        (["1/31/2013 5:15 PM"], ("%m/%d/%Y %I:%M %p",)),
        (["31.1.13 5:15:07"], ("%d.%m.%y %H:%M:%S",)),
        (["31-Jan-2013"], ("%d-%b-%Y",)),
        (["Thu, 31 Jan 2013 05:15:00 +0100"], ("%a, %d %b %Y %H:%M:%S %z",)),
        (["20130131"], ("%Y%m%d",)),
        ([20130131, 20130201], ("%Y%m%d",)),
        ([1359609300], ("s",)),
        (["1359609300000"], ("ms",)),
        ([1359609300.5], ("s",)),
        ([1359609300000000000], ("ns",)),
        ([17, 4], ()),
        (["Monday", "01/02/2013"], ()),
        ([None, ""], ()),
        ([True, False], ()),
    ],
)
def test_the_possible_forms_are_those_that_read_every_value_and_differ(values, forms):
    assert possible_forms(pl.Series("at", values)) == forms


def test_a_value_far_down_decides_between_two_forms():
    values = ["01/02/2013"] * 5_000 + ["01/31/2013"]
    assert possible_forms(pl.Series("at", values)) == ("%m/%d/%Y",)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+10:00", "9999-12-31 23:59-01:00"])
def test_a_time_that_leaves_the_calendar_in_utc_is_refused(text):
    with pytest.raises(DataError, match="outside of the years 0001 to 9999"):
        read_time(text)
    with pytest.raises(DataError, match="outside of the years 0001 to 9999"):
        utc(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    "series",
    [
        pl.Series([10**17], dtype=pl.Int64).cast(pl.Datetime("ms")),
        pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime("us")),
        pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date),
        pl.Series([-(2**31)], dtype=pl.Int32).cast(pl.Date),
    ],
)
def test_a_typed_time_outside_of_the_calendar_is_refused(series):
    with pytest.raises(DataError, match="outside of the years 0001 to 9999"):
        read_times(series)


@pytest.mark.parametrize(
    ("when", "taken"),
    [
        (EVENT_EARLIEST, True),
        (EVENT_LATEST, True),
        (EVENT_EARLIEST - timedelta(seconds=1), False),
        (EVENT_LATEST + timedelta(seconds=1), False),
        (moment(9999, 12, 31), False),
    ],
)
def test_event_times_lie_where_nanoseconds_can_hold_them(when, taken):
    assert (outside(when, event=True) is None) is taken
    assert outside(when) is None
    told = outside(pl.Series([None, when], dtype=UTC_TIME), event=True)
    assert (told is None) if taken else (told is not None and told.startswith("row 2 has"))


MOMENTS = st.datetimes(min_value=naive(1970, 1, 1), max_value=naive(2060, 1, 1))


@given(st.lists(MOMENTS, min_size=1, max_size=5), st.sampled_from([form for form, _ in candidates()]))
def test_what_a_form_writes_it_reads(moments, form):
    written = [one.replace(tzinfo=UTC).strftime(form) for one in moments]
    # What the form does not write cannot be read: what it writes of the time read is the same text.
    read = [read_time(text, form) for text in written]
    assert [one.strftime(form) for one in read] == written
    assert read_times(pl.Series("at", written), form).to_list() == read


OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.lists(st.tuples(st.datetimes(min_value=naive(2, 1, 1), max_value=naive(9998, 1, 1)), OFFSETS), min_size=1))
def test_iso_times_of_mixed_zones_are_those_of_the_standard_library(pairs):
    aware = [one.replace(tzinfo=zone) for one, zone in pairs]
    read = read_times(pl.Series("at", [one.isoformat() for one in aware]))
    assert read.to_list() == [one.astimezone(UTC) for one in aware]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_time_of_another_zone_is_the_moment_that_it_was_and_not_the_hour_on_its_wall(unit):
    """In Paris it is 14:30 in the summer and 13:30 in the winter when it is 12:30 in UTC."""
    moments = [datetime(2024, 7, 1, 12, 30, tzinfo=UTC), datetime(2024, 1, 1, 12, 30, tzinfo=UTC), None]
    series = pl.Series("at", moments, dtype=pl.Datetime(unit, "UTC")).dt.convert_time_zone("Europe/Paris")
    assert series.dt.hour().to_list() == [14, 13, None]
    assert read_times(series).to_list() == moments
