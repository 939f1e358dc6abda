"""Which values are taken into which columns: one table, which every door holds alike.

What passes here can be stored, logged, joined, encoded and read again as it was: by Parquet and Arrow, by SQLite, in
JSON and MessagePack. What would not is refused before anything is done with it: in a request with 400, in a file with
the row and the column, in a stream by setting the row aside.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from homeostat.core.clock import utc
from homeostat.core.errors import DataError
from homeostat.core.times.forms import UNITS
from homeostat.core.times.moments import counted, read_moment

if TYPE_CHECKING:
    import polars as pl

_DIGITS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_LONGEST_TIME = 100
"""Characters of a time, however it is written."""


LONGEST_TEXT = 1_000_000
"""Bytes of a text in UTF-8."""
EXACT = 2**53
"""Fractions of 64 bits hold every whole number up to here, and only some beyond."""
LEAST_WHOLE, MOST_WHOLE = -(2**63), 2**63 - 1
FIRST_YEAR, LAST_YEAR = 1678, 2261
"""Of event and label times, as `core.times` has it."""

NAMES = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "category": "a text",
    "text": "a text",
    "time": "a time such as 2013-03-01T12:00:00Z",
}
"""What a value of a kind is called in a message."""


class Rule(NamedTuple):
    """One line of the table.

    Attributes:
        what: The value in words.
        value: An example, as Python or JSON has it.
    """

    kind: str
    what: str
    value: Any
    taken: bool
    note: str


_GONE = "write null for what is unknown"
_BITS = "a fraction has 53 bits, so it would become another number"
_TYPE = "nothing is converted by guessing"

RULES: tuple[Rule, ...] = (
    Rule("number", "a fraction", 1.5, True, "as it is"),
    Rule("number", "a whole number up to 2^53", 2**53, True, "exactly"),
    Rule("number", "minus zero", -0.0, True, "as it is; in a key it is zero"),
    Rule("number", "the largest fraction", 1.7976931348623157e308, True, "as it is"),
    Rule("number", "2^53 + 1", 2**53 + 1, False, _BITS),
    Rule("number", "10^400", 10**400, False, "beyond 64 bits"),
    Rule("number", "NaN", math.nan, False, _GONE),
    Rule("number", "infinity", math.inf, False, _GONE),
    Rule("number", "minus infinity", -math.inf, False, _GONE),
    Rule("number", "true", True, False, _TYPE),
    Rule("number", "a number as text", "1.5", False, _TYPE),
    Rule("integer", "a whole number", 7, True, "exactly"),
    Rule("integer", "2^53 + 1", 2**53 + 1, True, "exactly"),
    Rule("integer", "2^63 - 1", 2**63 - 1, True, "exactly"),
    Rule("integer", "-2^63", -(2**63), True, "exactly"),
    Rule("integer", "a whole fraction", 3.0, True, "3"),
    Rule("integer", "a fraction", 3.5, False, "nothing is rounded"),
    Rule("integer", "a fraction beyond 2^53", 2.0**53 + 2, False, "it may stand for several whole numbers"),
    Rule("integer", "2^63", 2**63, False, "beyond 64 bits"),
    Rule("integer", "10^400", 10**400, False, "beyond 64 bits"),
    Rule("integer", "NaN", math.nan, False, _GONE),
    Rule("integer", "true", True, False, _TYPE),
    Rule("integer", "a number as text", "7", False, _TYPE),
    Rule("boolean", "true", True, True, "as it is"),
    Rule("boolean", "1", 1, False, _TYPE),
    Rule("boolean", "true as text", "true", False, _TYPE),
    Rule("category", "a value that was never seen", "never seen", True, "the model sees it as a missing one"),
    Rule("text", "empty text", "", True, "it is not null; a key of one column cannot be empty"),
    Rule("text", "any Unicode", "Grüße/~ \U0001f6eb", True, "as it is"),
    Rule("text", "1,000,000 bytes", "x" * 1_000_000, True, "as it is"),
    Rule("text", "more than 1,000,000 bytes", "ü" * 500_001, False, "longer than the bound"),
    Rule("text", "half of a surrogate pair", "\ud83d", False, "no Unicode character: it has no UTF-8"),
    Rule("text", "the character NUL", "a\0b", False, "text files and databases end there"),
    Rule("text", "a number", 5, False, _TYPE),
    Rule("time", "with an offset", "2013-03-01T14:00:00+02:00", True, "in UTC"),
    Rule("time", "without an offset", "2013-03-01T12:00:00", True, "it is UTC"),
    Rule("time", "without seconds", "2013-03-01 12:00", True, "it is UTC"),
    Rule("time", "a date", "2013-03-01", True, "its midnight in UTC"),
    Rule("time", "before the year 1 in UTC", "0001-01-01T00:00:00+10:00", False, "outside of the calendar"),
    Rule("time", "after the year 9999 in UTC", "9999-12-31T23:59:59-10:00", False, "outside of the calendar"),
    Rule("time", "an event or a label before 1678", "1500-01-01", False, "64-bit nanoseconds do not hold it"),
    Rule("time", "an event or a label after 2261", "2500-01-01", False, "64-bit nanoseconds do not hold it"),
    Rule("time", "a word", "noon", False, "no time"),
    Rule("time", "a number", 1362139200, False, "unless the source declares what it counts"),
)
"""The table. `docs/tables.md` has it for people, and a test drives every door with it."""


def taken(value: Any, kind: str, *, event: bool = False, form: str | None = None) -> tuple[Any, str | None]:
    """A value as its column holds it, or a sentence without its subject that says why it is refused.

    Args:
        value: Anything that JSON can say, or a datetime; not None.
        kind: Of the column.
        event: Of a time: whether it is an event or a label time, for which the calendar is shorter.
        form: Of a time: how the column's text is written, where that was declared.

    Example:
        >>> taken(3.0, "integer"), taken(2**53 + 1, "number")[1]
        ((3, None), 'holds 9007199254740993, which a fraction of 64 bits cannot hold exactly')
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None, f"holds {value}; write null for what is unknown"
    match kind:
        case "number":
            return _number(value)
        case "integer":
            return _whole(value)
        case "boolean":
            return (value, None) if isinstance(value, bool) else (None, _should(kind, value))
        case "time":
            return _time(value, event=event, form=form)
    if not isinstance(value, str):
        return None, _should(kind, value)
    problem = text_problem(value)
    return (value, None) if problem is None else (None, problem)


def text_problem(text: str) -> str | None:
    """Why a text cannot be stored, if so; a sentence without its subject."""
    if "\0" in text:
        return f"holds the character NUL in {found(text)}"
    if len(text) * 4 > LONGEST_TEXT or not text.isascii():
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            half = ord(text[error.start])
            return f"holds half of a surrogate pair, U+{half:04X}, which is no character, in {found(text)}"
        if size > LONGEST_TEXT:
            return f"has {size:,} bytes, and a text has at most {LONGEST_TEXT:,}"
    return None


def found(value: Any) -> str:
    """A refused value as it stands in a message: short, whatever it is, and fit to be printed."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"the number {value}" if abs(value) < 10**20 else "a number beyond 64 bits"
    if isinstance(value, float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}" + ("…" if len(value) > 40 else "")
    if isinstance(value, datetime):
        return f"the time {value.isoformat()}"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else type(value).__name__


def unfit(series: pl.Series, kind: str | None = None) -> tuple[pl.Series, str] | None:
    """Which values of a column cannot enter it though they are of its kind, and why; None when all can.

    Returns:
        A mask of shape (n,), and what is wrong with those values.
    """
    import polars as pl

    if series.dtype == pl.String:
        return _unfit_text(series)
    if series.dtype.is_float():
        # A sum is finite only if every value is, and costs a third of asking each one.
        if not math.isfinite(series.sum()):
            wild = ~series.is_finite().fill_null(value=True)
            if wild.any():
                return wild, "write null for what is unknown"
        if kind == "integer" and (vague := (series.abs() > EXACT).fill_null(value=False)).any():
            return vague, "beyond 2^53 a fraction may stand for several whole numbers"
    elif kind == "number" and series.dtype.is_integer():
        inexact = inexact_whole(series)
        if inexact is not None:
            return inexact, "a fraction of 64 bits cannot hold it exactly"
    return None


def inexact_whole(series: pl.Series) -> pl.Series | None:
    """Which whole numbers, or decimals beyond 2^53, would become others as fractions; None when none would."""
    import polars as pl

    fractions = series.cast(pl.Float64, strict=False)
    large = (fractions.abs() >= EXACT).fill_null(value=False)
    if not large.any():
        return None
    wrong = large & ~(fractions.cast(series.dtype, strict=False) == series).fill_null(value=False)
    return wrong if wrong.any() else None


def _number(value: Any) -> tuple[float | None, str | None]:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None, _should("number", value)
    try:
        number = float(value)
    except (OverflowError, ValueError):
        number = math.inf
    if not math.isfinite(number):
        return None, f"should be a number; found {found(value) if isinstance(value, int) else value}"
    if not isinstance(value, float) and abs(number) >= EXACT and number != value:
        return None, f"holds {value}, which a fraction of 64 bits cannot hold exactly"
    return number, None


def _whole(value: Any) -> tuple[int | None, str | None]:
    if isinstance(value, float) and value.is_integer():
        if abs(value) > EXACT:
            return None, f"holds the fraction {value!r}, which may stand for several whole numbers"
        return int(value), None
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST_WHOLE <= value <= MOST_WHOLE:
        return None, _should("integer", value)
    return value, None


def _time(value: Any, *, event: bool, form: str | None) -> tuple[datetime | None, str | None]:
    try:
        moment = utc(value) if isinstance(value, datetime) else _read_time(value, form)
    except DataError as error:
        # What the calendar does not hold is said so; all else is no time.
        told = f"holds a time {error.what}" if "outside of" in error.what else _should("time", value)
        return None, told
    if event and not FIRST_YEAR <= moment.year <= LAST_YEAR:
        from homeostat.core.times.columns import outside

        if (told_outside := outside(moment, event=True)) is not None:
            return None, f"holds {found(value)}: {told_outside}"
    return moment, None


def _read_time(value: Any, form: str | None) -> datetime:
    if form in UNITS:
        return _counted(value, form)
    moment = read_moment(value, form) if isinstance(value, str) and len(value) <= _LONGEST_TIME else None
    if moment is None:
        raise DataError("no time")
    return moment


def _counted(value: Any, unit: str) -> datetime:
    """A number since 1970, as a number or as its text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return counted(value, unit)
    if not isinstance(value, (str, float)) or len(str(value)) > _LONGEST_TIME:
        raise DataError("no time")
    if isinstance(value, str):
        if (plain := read_moment(value)) is not None:
            return plain
        if not _DIGITS.fullmatch(value):
            raise DataError("no time")
    import polars as pl

    from homeostat.core.times.columns import read_times

    moment = read_times(pl.Series("", [value]), unit)[0]
    if moment is None:
        raise DataError("no time")
    return moment  # type: ignore[no-any-return]


def _should(kind: str, value: Any) -> str:
    return f"should be {NAMES[kind]}; found {found(value)}"


def _unfit_text(series: pl.Series) -> tuple[pl.Series, str] | None:
    size = series.str.len_bytes()
    long = (size > LONGEST_TEXT).fill_null(value=False)
    if long.any():
        return long, f"a text has at most {LONGEST_TEXT:,} bytes"
    nul = series.str.contains("\0", literal=True).fill_null(value=False)
    return (nul, "no text holds the character NUL") if nul.any() else None
