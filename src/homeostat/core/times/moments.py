"""One time at a time: what `core.times` reads in a column, for requests, where a column would cost a hundredfold."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone

from homeostat.core.clock import utc
from homeostat.core.errors import DataError
from homeostat.core.times.forms import ISO, MONTHS, UNITS, TimeShape, shape_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_moment(text: str, form: str | None = None) -> datetime | None:
    """A time in UTC from its text, by the same patterns as in a column; None when it is none.

    Raises:
        DataError: In UTC it lies outside of the years 1 to 9999.

    Example:
        >>> read_moment("31.01.2013 5:15", "%d.%m.%Y %H:%M").isoformat()
        '2013-01-31T05:15:00+00:00'
    """
    text = text.strip()
    shape = shape_of(form or "")
    for one in (shape, ISO) if shape.iso_too else (shape,):
        match = _compiled(one.pattern).fullmatch(text)
        if match is not None and (moment := _moment(match.groupdict(), one)) is not None:
            return utc(moment)
    return None


def counted(number: int, unit: str) -> datetime:
    """A whole number of seconds, milliseconds, microseconds or nanoseconds since 1970 as a time in UTC.

    Raises:
        DataError: It lies outside of the years 1 to 9999.
    """
    try:
        return _EPOCH + timedelta(microseconds=number * UNITS[unit] if UNITS[unit] else number // 1_000)
    except OverflowError as error:
        raise DataError(f"{number} is outside of the years 0001 to 9999") from error


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _moment(found: dict[str, str | None], shape: TimeShape) -> datetime | None:
    def number(letter: str, default: int = 0) -> int:
        return int(found.get(letter) or default)

    year = number("Y")
    if "y" in shape.fields:
        year = number("y") + (2_000 if number("y") < 69 else 1_900)
    name = (found.get("b") or "")[:3].lower()
    month = MONTHS.index(name) + 1 if name else number("m", 1)
    hour = number("H")
    if "I" in shape.fields:
        half = number("I", 12)
        if not 1 <= half <= 12:
            return None
        hour = half % 12 + 12 * (found.get("p") or "").lower().startswith("p")
    micro = int((found.get("f") or "").ljust(9, "0")[:6])
    try:
        moment = datetime(year, month, number("d", 1), hour, number("M"), number("S"), micro)  # noqa: DTZ001 - just below
    except ValueError:
        return None
    return moment.replace(tzinfo=_zone(found.get("z") or ""))


def _zone(text: str) -> timezone:
    digits = re.sub("[^0-9]", "", text)
    east = timedelta(hours=int(digits[:2] or 0), minutes=int(digits[2:4] or 0))
    return timezone(-east if text.startswith("-") else east) if east else UTC
