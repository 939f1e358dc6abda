"""Looks at every row of every file that a source would read, so that `homeostat init` declares what holds for all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
import polars as pl

from homeostat.core.errors import DataError
from homeostat.core.table.files.cells import NumberForm, as_numbers, number_forms
from homeostat.core.times.columns import possible_forms, read_times

TIME_NAMES = ("time", "timestamp", "datetime", "date", "scheduled", "event_time", "created_at", "created", "ts", "at")
MOST_WORDS = 10
"""So many words for an unknown value a column may have."""
_ENOUGH_ROWS = 1_000_000
_LOOKED_AT = 10_000
_MOSTLY = 0.9


class TimeColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column that holds times.

    Attributes:
        spans: Every form that reads all of its values (`homeostat.core.times`), with the first and the last time that
            it reads; several forms make the column ambiguous.
    """

    spans: dict[str, tuple[datetime, datetime]]
    whole: bool

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms that read it, the likeliest first."""
        return tuple(self.spans)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """First and last time, by the first of the forms."""
        return next(iter(self.spans.values()))


class NumberColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of text in which most values are numbers.

    Attributes:
        forms: The declarations that read most of its values; several mean other numbers, and so make it ambiguous.
        words: Values that are no numbers in any of them, at most eleven.
    """

    forms: tuple[NumberForm, ...]
    words: tuple[str, ...]


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What the files hold.

    Attributes:
        rows: The first million rows, as the reader gives them.
        times: Columns that hold times in all rows that have a value.
        numbers: Columns of text that are read as numbers if it is declared how.
    """

    rows: pl.DataFrame
    total: int
    times: dict[str, TimeColumn]
    numbers: dict[str, NumberColumn]


def survey(
    frames: Iterable[tuple[str, pl.DataFrame]], *, named: tuple[str, ...] = (), form: str | None = None
) -> Survey:
    """Look at frames that make one table.

    Args:
        frames: The name and the rows of each file, as the reader gives them.
        named: Columns that are said to hold times; numbers are otherwise looked at only where a column is called so.
        form: How times are written, where it is said; the named ones have to be.

    Raises:
        DataError: A named column cannot be read in the form that was said, or a time is outside of the calendar.
    """
    kept: list[pl.DataFrame] = []
    total = height = 0
    found: dict[str, TimeColumn] = {}
    other: set[str] = set()
    texts: dict[str, pl.Series | None] = {}
    for name, frame in frames:
        if height < _ENOUGH_ROWS:
            kept.append(frame)
            height += frame.height
        try:
            here = {
                series.name: _times(series, form, named)
                for series in frame
                if series.name not in other and series.null_count() < series.len()
            }
        except DataError as error:
            raise DataError(f"{name}: {error.what}", hint=error.hint) from error
        for column, times in here.items():
            merged = None if times is None else _both(found.get(column), times, first=total == 0)
            if merged is None:
                other.add(column)
                found.pop(column, None)
            else:
                found[column] = merged
        for series in frame.select(pl.col(pl.String).exclude(found)):
            _collect_numbers(series, texts)
        total += frame.height
    rows = pl.concat(kept, how="diagonal_relaxed")
    return Survey(
        rows=rows,
        total=total,
        times={name: _with_gaps(one, rows[name]) for name, one in found.items()},
        numbers={name: made for name, values in texts.items() if (made := _numbers(values)) is not None},
    )


def _collect_numbers(series: pl.Series, texts: dict[str, pl.Series | None]) -> None:
    """Keep the distinct values of a column for as long as most of them may be numbers; None once they are not."""
    before = texts.get(series.name)
    if series.name in texts and before is None:
        return
    values = series.drop_nulls().unique(maintain_order=True)
    if before is not None:
        values = pl.concat([before, values]).unique(maintain_order=True)
    forms = number_forms(values.head(_LOOKED_AT))
    texts[series.name] = values if not values.len() or (forms and forms[0].share >= _MOSTLY) else None


def _numbers(values: pl.Series | None) -> NumberColumn | None:
    """What reads most of the distinct values of a column as numbers, unless they are read without a declaration."""
    forms = () if values is None else number_forms(values)
    if values is None or not forms or forms[0].share < _MOSTLY or forms[0].plain:
        return None
    read = as_numbers(values, forms[0].decimal, forms[0].thousands, decorated=True)
    words = values.filter(read.is_null() & ~values.str.strip_chars().is_in(["", *forms[0].nulls]))
    return NumberColumn(forms=forms, words=tuple(words.head(MOST_WORDS + 1)))


def _times(series: pl.Series, said: str | None, named: tuple[str, ...]) -> TimeColumn | None:
    """The series as a column of times, if it is one."""
    forms: tuple[str, ...]
    if said is not None and series.name in named:
        forms = (said,)
    elif series.dtype.is_numeric() and series.name not in named and series.name.lower() not in TIME_NAMES:
        return None
    else:
        forms = possible_forms(series)
        forms = (said,) if said in forms else forms
    spans = {}
    for form in forms:
        moments = read_times(series, form or None)
        first, last = moments.min(), moments.max()
        if isinstance(first, datetime) and isinstance(last, datetime):
            spans[form] = (first, last)
    return TimeColumn(spans=spans, whole=series.null_count() == 0) if spans else None


def _both(before: TimeColumn | None, here: TimeColumn, *, first: bool) -> TimeColumn | None:
    """What holds for the files before and for this one; None where no form reads both."""
    if before is None:
        return here if first else msgspec.structs.replace(here, whole=False)
    older, newer = before.spans, here.spans
    if not older.keys() & newer.keys():
        # Times that are year first are read beside most forms that are declared.
        if "" in older:
            older = dict.fromkeys(newer, older[""])
        elif "" in newer:
            newer = dict.fromkeys(older, newer[""])
    spans = {
        form: (min(older[form][0], newer[form][0]), max(older[form][1], newer[form][1]))
        for form in older
        if form in newer
    }
    return TimeColumn(spans=spans, whole=before.whole and here.whole) if spans else None


def _with_gaps(found: TimeColumn, sample: pl.Series) -> TimeColumn:
    return found if sample.null_count() == 0 else msgspec.structs.replace(found, whole=False)
