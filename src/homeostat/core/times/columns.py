"""The one reader of times: training, batches, streams, requests and labels read what is written in the same way.

Without a declared form a time is written year first, as ISO 8601 and RFC 3339 have it. All else is read by a form that
was declared, because 01/02/2013 is two days and only who wrote it knows which.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from homeostat.core.errors import DataError, shown
from homeostat.core.times.forms import ISO, MONTHS, UNITS, TimeShape, candidates, shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

UTC_TIME = pl.Datetime("us", "UTC")

EVENT_EARLIEST = datetime(1678, 1, 1, tzinfo=UTC)
EVENT_LATEST = datetime(2262, 1, 1, tzinfo=UTC)
"""Where event and label times lie: 64-bit nanoseconds hold them, and windows before and behind them do not overflow."""

_FAST = (
    (r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-2][0-9]:[0-5][0-9]:[0-5][0-9]$", "%Y-%m-%d %H:%M:%S"),
    (r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]$", "%Y-%m-%dT%H:%M:%S"),
    (r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$", "%Y-%m-%dT%H:%M:%SZ"),
    (r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-2][0-9]:[0-5][0-9]$", "%Y-%m-%d %H:%M"),
    (r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "%Y-%m-%d"),
)
"""What Polars reads three times as fast and exactly as the grammar has it."""
_DAY = 86_400_000_000
_LOW, _HIGH = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The calendar in microseconds since 1970."""
_PLAUSIBLE = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
"""Where digits alone are taken to be times when a form is looked for."""
_SPREADSHEET_DAYS = (29_221, 80_000)
"""Days since 30 December 1899 from 1980 on: what Excel writes where a cell has lost its form."""
_PER_MICROSECOND = {"ms": 1_000, "us": 1}
_SAMPLE = 50


def read_times(series: pl.Series, form: str | None = None) -> pl.Series:
    """A column of times, in UTC and microseconds; smaller fractions are cut off.

    Args:
        series: Text, dates, date-times (naive ones are UTC), numbers if a form says what they count, or nulls.
        form: How its text is written, in the letters of `strptime` such as `%d.%m.%Y %H:%M`; or `s`, `ms`, `us`, `ns`
            for numbers since 1970. Without one, times are year first: `2013-01-31`, `2013/01/31 5:15`,
            `2013-01-31T05:15:00.25Z`, with offsets such as `+02:00`, `+0200`, `+02` or ` UTC`. Text that a declared
            form does not fit may still be written so, unless the form is year, day, month.

    Returns:
        Shape (n,), `Datetime("us", "UTC")`; null where the text is empty.

    Raises:
        DataError: Names the column, the first row that is no such time and how many are not, and the forms that would
            fit.

    Example:
        >>> read_times(pl.Series("at", ["31.01.2013 05:15"]), "%d.%m.%Y %H:%M")[0].isoformat()
        '2013-01-31T05:15:00+00:00'
    """
    moments = _moments(series, form)
    told = outside(moments)
    if told is not None:
        raise DataError(f"time column {series.name!r}: {told}")
    return moments


def read_time(text: str, form: str | None = None) -> datetime:
    """One time, as `read_times` reads it in a column.

    Example:
        >>> read_time("2013-01-31 5:15 +0100").isoformat()
        '2013-01-31T04:15:00+00:00'
    """
    try:
        moment = read_times(pl.Series("", [text], dtype=pl.String), form)[0]
    except DataError as error:
        raise DataError(error.what.removeprefix("time column '': row 1 has "), hint=error.hint) from error
    if moment is None:
        raise DataError("a time is empty")
    return moment  # type: ignore[no-any-return]


def outside(moments: pl.Series | datetime, *, event: bool = False) -> str | None:
    """Why a time, or the first such of a column in UTC, cannot be taken, if so.

    Args:
        moments: A datetime, or a column of type `Datetime("us", "UTC")`.
        event: Whether they are event or label times, which lie between 1678 and 2262, instead of any.
    """
    if isinstance(moments, datetime):
        moments = pl.Series([moments], dtype=UTC_TIME)
        return _outside(moments.to_physical(), event=event, one=True)
    return _outside(moments.to_physical(), event=event, one=False)


def possible_forms(series: pl.Series) -> tuple[str, ...]:
    """Every way in which all values of a column can be read as times; "" stands for times that are year first.

    Of forms that read all values alike, one is given. So none means that the column holds no times, and more than one
    that it is ambiguous. Digits alone count as times between 1990 and 2100 only.

    Example:
        >>> possible_forms(pl.Series(["01/02/2013", "03/04/2013"]))
        ('%d/%m/%Y', '%m/%d/%Y')
        >>> possible_forms(pl.Series(["01/02/2013", "13/04/2013"]))
        ('%d/%m/%Y',)
    """
    if series.dtype.is_temporal():
        return ("",) if series.dtype not in (pl.Time, pl.Duration) else ()
    values = series.drop_nulls().unique(maintain_order=True)
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        values = _bare(values).drop_nulls()
    elif not values.dtype.is_numeric():
        return ()
    rest = values.filter(_read(values, "").is_null()) if values.dtype == pl.String else values
    if not rest.len():
        return ("",) if values.len() else ()
    found: dict[str, pl.Series] = {}
    for form in _fitting(rest.head(_SAMPLE)):
        read = _read(values, form)
        if not read.null_count() and not any(read.equals(other) for other in found.values()):
            found[form] = read
    return tuple(form for form, read in found.items() if not _digits_alone(form) or _plausible(read))


def _fitting(sample: pl.Series) -> list[str]:
    """Forms that may fit, by a few values."""
    if sample.dtype.is_numeric():
        return [*UNITS, *(form for form, _ in candidates() if _digits_alone(form))]
    texts = sample.to_list()
    units = list(UNITS) if all(text.strip("-.0123456789") == "" for text in texts) else []
    return units + [form for form, pattern in candidates() if all(map(pattern.fullmatch, texts))]


def _digits_alone(form: str) -> bool:
    return form in UNITS or shape_of(form).width is not None


def _plausible(read: pl.Series) -> bool:
    low, high = read.min(), read.max()
    return bool(low is not None and low >= _PLAUSIBLE[0] and high < _PLAUSIBLE[1])  # type: ignore[operator]


def _moments(series: pl.Series, form: str | None) -> pl.Series:
    dtype = series.dtype
    if dtype == UTC_TIME:
        return series
    if dtype == pl.Null or series.null_count() == series.len():
        return pl.Series(series.name, [None] * series.len(), dtype=UTC_TIME)
    if dtype in (pl.Categorical, pl.Enum):
        return _moments(series.cast(pl.String), form)
    if dtype == pl.Date:
        return _scaled(series.to_physical(), _DAY)
    if isinstance(dtype, pl.Datetime):
        # What is stored counts from 1970 in UTC whatever the zone, some of which Polars cannot convert.
        physical = series.to_physical()
        return (
            (physical // 1_000).cast(UTC_TIME)
            if dtype.time_unit == "ns"
            else _scaled(physical, _PER_MICROSECOND[dtype.time_unit])
        )
    if dtype == pl.String:
        text = _bare(series)
    elif dtype.is_numeric() and form:
        text = series
    else:
        raise _no_times(series)
    read = _read(text, form or "")
    failed = text.is_not_null() & read.is_null()
    if failed.any():
        raise _unread(series, failed, form or "")
    return read


def _scaled(counts: pl.Series, factor: int) -> pl.Series:
    """Days or milliseconds as times; what 64 bits cannot hold is put right outside of the calendar."""
    return (counts.cast(pl.Int64).clip(_LOW // factor - 1, _HIGH // factor + 1) * factor).cast(UTC_TIME)


def _bare(series: pl.Series) -> pl.Series:
    text = series.str.strip_chars()
    return text.set(text == "", None) if (text == "").any() else text


def _read(values: pl.Series, form: str) -> pl.Series:
    """Text without blanks around it, or numbers, as times; null where the form does not fit."""
    if form in UNITS:
        read = _counted(values, form)
        return read if values.dtype.is_numeric() else _filled(read, values, ISO)
    shape = shape_of(form)
    if values.dtype.is_numeric():
        return _parsed(_as_digits(values, shape.width), shape)
    read = _fast(values) if shape is ISO else pl.Series(values.name, [None] * values.len(), dtype=UTC_TIME)
    read = _filled(read, values, shape)
    return _filled(read, values, ISO) if shape.iso_too else read


def _filled(read: pl.Series, values: pl.Series, shape: TimeShape) -> pl.Series:
    """What was read so far, and of the rest what a shape reads."""
    rest = read.is_null() & values.is_not_null()
    if not rest.any():
        return read
    if rest.all():
        return _parsed(values, shape)
    places = rest.arg_true()
    return read.scatter(places, _parsed(values.gather(places), shape))


def _fast(text: pl.Series) -> pl.Series:
    """What is written like the first value, if that is in one of the usual ways; null for the rest."""
    first = text.drop_nulls().head(1)
    for pattern, form in _FAST:
        if first.str.contains(pattern).all():
            fits = text.str.contains(pattern)
            chosen = text if fits.all() else text.set(~fits, None)
            return chosen.str.to_datetime(form, time_unit="us", strict=False).dt.replace_time_zone("UTC")
    return pl.Series(text.name, [None] * text.len(), dtype=UTC_TIME)


def _counted(values: pl.Series, unit: str) -> pl.Series:
    """Numbers since 1970, as numbers or as text."""
    factor = UNITS[unit]
    if values.dtype in (pl.UInt64, pl.Int128):
        wide = values.cast(pl.Int128)
        wide = wide if factor else wide // pl.Series([1_000], dtype=pl.Int128)
        return (_within_calendar(wide, factor or 1).cast(pl.Int64) * (factor or 1)).cast(UTC_TIME)
    if values.dtype.is_integer() or values.dtype == pl.String:
        whole = values.cast(pl.Int64, strict=False)
    else:
        whole = pl.Series(values.name, [None] * values.len(), dtype=pl.Int64)
    micros = _within_calendar(whole, factor) * factor if factor else whole // 1_000
    if whole.null_count() == values.null_count():
        return micros.cast(UTC_TIME)
    fractions = values.cast(pl.Float64, strict=False)
    fractions = fractions.set(~fractions.is_finite(), None) * (factor or 1e-3)
    rounded = fractions.set((fractions < _LOW) | (fractions > _HIGH), None).round().cast(pl.Int64)
    return micros.zip_with(micros.is_not_null(), rounded).cast(UTC_TIME)


def _within_calendar(counts: pl.Series, factor: int) -> pl.Series:
    return counts.set((counts < _LOW // factor) | (counts > _HIGH // factor), None)


def _as_digits(values: pl.Series, width: int | None) -> pl.Series:
    """Whole numbers as the text that they were, with the zeros that a number loses."""
    whole = values.cast(pl.Int64, strict=False)
    if width is None:
        return pl.Series(values.name, [None] * values.len(), dtype=pl.String)
    if values.dtype.is_float():
        whole = whole.set(whole.cast(pl.Float64) != values, None)
    return whole.set(whole < 0, None).cast(pl.String).str.zfill(width)


def _parsed(text: pl.Series, shape: TimeShape) -> pl.Series:
    """Text that matches a shape and is a day of the calendar; null for the rest."""
    found = text.str.extract_groups(shape.pattern).struct.unnest()
    lacking = np.zeros(text.len(), dtype=np.int64)

    def number(letter: str, default: int = 0) -> NDArray[np.int64]:
        if letter not in shape.fields:
            return lacking + default
        return found[letter].cast(pl.Int64, strict=False).fill_null(default).to_numpy()

    year = number("Y") if "Y" in shape.fields else number("y")
    if "y" in shape.fields:
        year = year + np.where(year < 69, 2_000, 1_900)
    month = number("m", 1)
    if "b" in shape.fields:
        names = found["b"].str.slice(0, 3).str.to_lowercase()
        month = names.replace_strict(MONTHS, range(1, 13), default=None, return_dtype=pl.Int64).fill_null(1).to_numpy()
    day, hour = number("d", 1), number("H")
    valid = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (hour <= 23)
    if "I" in shape.fields:
        half = number("I", 12)
        valid &= (half >= 1) & (half <= 12)
        hour = half % 12 + 12 * found["p"].str.to_lowercase().str.starts_with("p").fill_null(value=False).to_numpy()
    months = ((year - 1970) * 12 + np.where(valid, month, 1) - 1).astype("datetime64[M]")
    first, after = (
        months.astype("datetime64[D]").astype(np.int64),
        (months + 1).astype("datetime64[D]").astype(np.int64),
    )
    valid &= day <= after - first
    seconds = ((first + day - 1) * 24 + hour) * 3_600 + number("M") * 60 + number("S")
    micros = seconds * 1_000_000
    if "f" in shape.fields:
        micros += found["f"].str.pad_end(9, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0).to_numpy()
    if "z" in shape.fields:
        micros -= _offsets(found["z"])
    matched = found["Y" if "Y" in shape.fields else "y"].is_not_null()
    moments = pl.Series(text.name, micros).set(~pl.Series(valid), None).set(~matched, None)
    return moments.cast(UTC_TIME)


def _offsets(zones: pl.Series) -> NDArray[np.int64]:
    """Microseconds east of Greenwich; a column has few zones, whatever its length."""
    known = zones.drop_nulls().unique()
    digits = known.str.replace_all("[^0-9]", "")
    hours, minutes = (digits.str.slice(at, 2).cast(pl.Int64, strict=False).fill_null(0) for at in (0, 2))
    east = (hours * 60 + minutes) * 60_000_000
    east = east.zip_with(~known.str.starts_with("-"), -east)
    offsets = zones.replace_strict(known, east, default=0, return_dtype=pl.Int64).to_numpy()
    return np.asarray(offsets, dtype=np.int64)


def _no_times(series: pl.Series) -> DataError:
    name, dtype = series.name, series.dtype
    if not dtype.is_numeric():
        return DataError(f"time column {name!r} has the type {dtype}, which is no point in time")
    values = series.drop_nulls()
    what = f"time column {name!r} holds numbers such as {shown(values[0])}"
    forms = possible_forms(series)
    if forms:
        return DataError(what, hint=_declare(forms))
    if values.is_between(*_SPREADSHEET_DAYS).all():
        return DataError(
            f"{what}, which may be the days that a spreadsheet counts", hint="export them as text like 2013-01-31 05:15"
        )
    return DataError(f"{what}, which are no times of our days in any form", hint="is it the time?")


def _unread(series: pl.Series, failed: pl.Series, form: str) -> DataError:
    """What the first value is that is no time, how it could be read, and what would read the whole column."""
    row = failed.arg_true()[0]
    value = series[row]
    what = f"time column {series.name!r}: row {row + 1} has {shown(value)}"
    count = f" ({failed.sum():,} of {series.len():,} rows)" if series.len() > 1 else ""
    if form:
        hint = f"mend those rows, or declare another form; times like 2013-01-31 05:15:00 are {_also(form)}"
        return DataError(f"{what}, which is not written as {form!r}{count}", hint=hint)
    if series.len() > 1 and (misfit := _misfit(series)) is not None:
        likely, rest = misfit
        row = rest.arg_true()[0]
        return DataError(
            f"time column {series.name!r}: row {row + 1} has {shown(series[row])}, which is not written as {likely!r} "
            f"or is no day of the calendar, as the others are ({rest.sum():,} of {series.len():,} rows)",
            hint="mend those rows, or write all times as 2013-01-31 05:15:00",
        )
    readings = [
        f"{moment:%-d %B %Y} ({form})"
        for form in possible_forms(pl.Series([value]))
        if form and (moment := read_times(pl.Series([value]), form)[0])
    ]
    if not readings:
        return DataError(
            f"{what}, which is no date or time{count}",
            hint="write times as 2013-01-31 05:15:00 or 2013-01-31T05:15:00Z",
        )
    fitting = possible_forms(series) if series.len() > 1 else tuple(one.rpartition("(")[2][:-1] for one in readings)
    return DataError(
        f"{what}, which could be {' or '.join(readings[:4])}{count}",
        hint=_declare(fitting)
        if fitting
        else "no one form reads the whole column: write its times as 2013-01-31 05:15:00",
    )


def _misfit(series: pl.Series) -> tuple[str, pl.Series] | None:
    """The form that reads most rows of a column though not all, if there is one, and the rows that it does not read."""
    text = _bare(series)
    sample = text.drop_nulls().unique(maintain_order=True).head(_SAMPLE).to_list()
    forms = [form for form, pattern in candidates() if any(map(pattern.fullmatch, sample))]
    if not forms:
        return None
    reads = {form: _read(text, form) for form in forms}
    likely = max(forms, key=lambda form: reads[form].count())
    if _read(text, "").count() >= reads[likely].count():
        return None  # most are year first
    rest = text.is_not_null() & reads[likely].is_null()
    return (likely, rest) if rest.any() and 2 * rest.sum() < text.count() else None


def _also(form: str) -> str:
    return "read too" if form in UNITS or shape_of(form).iso_too else "not read, because their year is first too"


def _declare(forms: tuple[str, ...]) -> str:
    return "say how its times are written: " + " or ".join(f'FileSource(..., dates="{form}")' for form in forms[:4])


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _outside(micros: pl.Series, *, event: bool, one: bool) -> str | None:
    low, high = (_micros(EVENT_EARLIEST), _micros(EVENT_LATEST)) if event else (_LOW, _HIGH)
    lowest, highest = micros.min(), micros.max()
    if lowest is None or (lowest >= low and highest <= high):  # type: ignore[operator]
        return None
    wrong = ((micros < low) | (micros > high)).fill_null(value=False)
    row = wrong.arg_true()[0]
    span = "1678-01-01 to 2262-01-01, where event and label times lie" if event else "the years 0001 to 9999"
    moment = micros.gather([row]).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%d %H:%M:%S")[0]
    if one:
        return f"{moment} UTC is outside of {span}"
    return f"row {row + 1} has {moment} UTC, outside of {span} ({wrong.sum():,} of {micros.len():,} rows)"
