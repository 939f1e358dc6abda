"""How times are written: a form such as `%d.%m.%Y %H:%M` as a pattern, and the forms that exports are known to use."""

from __future__ import annotations

import functools
import re
from itertools import pairwise
from typing import NamedTuple

from homeostat.core.errors import DataError

UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0}
"""Forms of numbers since 1970, and how many microseconds one is; a nanosecond is less than one."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_LONG = ("uary", "ruary", "ch", "il", "", "e", "y", "ust", "(?:t|tember|t\\.)", "ober", "ember", "ember")
_OFFSET = r"[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
_ZONE = rf"(?P<z>[Zz]|UTC|GMT|{_OFFSET})"
_PATTERNS = {
    "Y": r"(?P<Y>[0-9]{4})",
    "y": r"(?P<y>[0-9]{2})",
    "m": r"(?P<m>[0-9]{1,2})",
    "d": r"(?P<d>[0-9]{1,2})",
    "H": r"(?P<H>[0-9]{1,2})",
    "I": r"(?P<I>[0-9]{1,2})",
    "M": r"(?P<M>[0-5][0-9])",
    "S": r"(?P<S>[0-5][0-9])",
    "f": r"(?P<f>[0-9]{1,9})",
    "p": r"(?P<p>[AaPp]\.?[Mm]\.?)",
    "b": "(?P<b>(?i:" + "|".join(f"{m}(?:{end})?" for m, end in zip(MONTHS, _LONG, strict=True)) + "))",
    "a": "(?i:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?i:day)?",
    "z": _ZONE,
    "%": "%",
}
_SAME = {"e": "d", "k": "H", "l": "I", "P": "p", "B": "b", "h": "b", "A": "a", "Z": "z"}
_SHORT = {"%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y", "%F": "%Y-%m-%d", "%.f": ".%f", "%:z": "%z", "%#z": "%z"}
_TOKEN = re.compile(r"%[-_0]?[A-Za-z%]|\s+|.", re.DOTALL)
_CLOCK = ("H", "I", "M", "S", "f", "p", "z")


class TimeShape(NamedTuple):
    """A form, ready to read.

    Attributes:
        pattern: What a value must match as a whole; its groups are the letters of the fields that it has.
        iso_too: Whether a value that does not match may be written year first all the same.
        width: How many digits a value has, if it is digits alone: a number lost its leading zeros.
    """

    pattern: str
    fields: tuple[str, ...]
    iso_too: bool
    width: int | None = None


ISO = TimeShape(
    r"^(?P<Y>[0-9]{4})[-/](?P<m>[0-9]{1,2})[-/](?P<d>[0-9]{1,2})"
    r"(?:(?:[Tt]| +)(?P<H>[0-9]{1,2}):(?P<M>[0-5][0-9])(?::(?P<S>[0-5][0-9])(?:[.,](?P<f>[0-9]{1,9}))?)?"
    rf"(?: ?{_ZONE})?)?$",
    ("Y", "m", "d", "H", "M", "S", "f", "z"),
    iso_too=False,
)
"""Year first: a date, perhaps with a time, perhaps with a zone."""


@functools.cache
def shape_of(form: str) -> TimeShape:
    """What a form says.

    A time of the day, its seconds and their fraction may be missing in a value although the form has them: many
    programs leave out zeros.

    Raises:
        DataError: It is no form, or does not tell a day.
    """
    if not form:
        return ISO
    for short, long in _SHORT.items():
        form = form.replace(short, long)
    tokens = _TOKEN.findall(form)
    letters = [_letter(token, form) for token in tokens]
    fields = [letter for letter in letters if letter is not None and letter not in "a%"]
    _refuse_senseless(form, fields)
    pieces = [_piece(token, letter) for token, letter in zip(tokens, letters, strict=True)]
    for place, letter in enumerate(letters[1:]):
        if letter in ("p", "z") and pieces[place] == r"\s+":
            pieces[place] = r"\s*"
    for place, (one, other) in enumerate(pairwise(letters)):
        # Digits beside digits: only their number tells where one field ends.
        if one in _PATTERNS and other in _PATTERNS and not {one, other} & {"%", "a", "b", "p", "z"}:
            for at in (place, place + 1):
                pieces[at] = pieces[at].replace("{1,2}", "{2}")
    pattern = "".join(_optional_tail(pieces, letters))
    day_before_month = "d" in fields and fields.index("d") < min(fields.index(m) for m in "mb" if m in fields)
    digits = all(letter in {"Y", "y", "m", "d", "H", "M", "S"} for letter in letters)
    return TimeShape(
        f"^{pattern}$",
        tuple(fields),
        iso_too=not (fields[0] in "Yy" and day_before_month),
        width=sum(4 if letter == "Y" else 2 for letter in letters) if digits else None,
    )


def refuse_unknown_form(form: str) -> None:
    """Refuse what is no form that `homeostat.core.times.columns.read_times` takes.

    Raises:
        DataError: Says what it lacks.
    """
    if form not in UNITS:
        shape_of(form)


def _letter(token: str, form: str) -> str | None:
    if not token.startswith("%"):
        return None
    letter = _SAME.get(token[-1], token[-1])
    if letter not in _PATTERNS:
        known = " ".join(f"%{one}" for one in [*_PATTERNS, *_SAME])
        raise DataError(f"the form of times {form!r} has {token!r}, which is not known", hint=f"there are {known}")
    return letter


def _refuse_senseless(form: str, fields: list[str]) -> None:
    twice = sorted({one for one in fields if fields.count(one) > 1})
    missing = []
    if not {"Y", "y"} & set(fields):
        missing.append("a year (%Y)")
    if "d" in fields and not {"m", "b"} & set(fields):
        missing.append("a month (%m)")
    if ("I" in fields) != ("p" in fields):
        missing.append("both %I and %p, as in 05:15 PM")
    if twice or missing:
        lacks = f"has %{twice[0]} twice" if twice else f"lacks {' and '.join(missing)}"
        raise DataError(
            f"the form of times {form!r} {lacks}",
            hint="write it like %d.%m.%Y, %m/%d/%Y %I:%M %p, or s, ms, us or ns for numbers since 1970",
        )


def _piece(token: str, letter: str | None) -> str:
    if letter is not None:
        return _PATTERNS[letter]
    return r"\s+" if token.isspace() else re.escape(token)


def _optional_tail(pieces: list[str], letters: list[str | None]) -> list[str]:
    """The pieces with what a value may leave out made optional: a fraction, seconds, a whole time behind a date."""
    pieces, letters = list(pieces), list(letters)

    def wrap(start: int, end: int) -> None:
        pieces[start:end] = [f"(?:{''.join(pieces[start:end])})?"]
        letters[start:end] = ["S"]

    if "f" in letters:
        at = letters.index("f")
        if at and pieces[at - 1] in (r"\.", ","):
            pieces[at - 1] = "[.,]"
            wrap(at - 1, at + 1)
            letters[at - 1] = "f"
    if "S" in letters:
        at = letters.index("S")
        end = at + 2 if letters[at + 1 : at + 2] == ["f"] else at + 1
        if at and pieces[at - 1] == ":":
            wrap(at - 1, end)
    clock = [place for place, letter in enumerate(letters) if letter in _CLOCK]
    behind = clock and not any(one is not None and one not in _CLOCK for one in letters[clock[0] :])
    if behind and clock[0] and (pieces[clock[0] - 1] in (r"\s+", "T")):
        wrap(clock[0] - 1, len(pieces))
    return pieces


_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
_DAYS = (
    *(
        f"{day}{mark}{month}{mark}{year}"
        for year in ("%Y", "%y")
        for mark in "/.-"
        for day, month in (("%d", "%m"), ("%m", "%d"))
    ),
    *("%Y.%m.%d", "%Y-%d-%m", "%Y/%d/%m", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y", "%b %d %Y", "%b %d, %Y"),
    *("%a, %d %b %Y", "%a %d %b %Y", "%a %b %d %Y", "%Y-%b-%d", "%d%b%Y"),
)
_OTHERS = (
    *("%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S%z", "%Y-%m", "%b %Y"),
    *("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %z %Y", "%d/%b/%Y:%H:%M:%S %z", "%d%b%Y:%H:%M:%S"),
)


@functools.cache
def candidates() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The forms that exports are known to use, beside year first, and what a value in each looks like."""
    forms = list(_DAYS)
    forms += [
        f"{day}{mark}{clock}{zone}" for zone in ("", " %z") for clock in _CLOCKS for day in _DAYS for mark in " T"
    ]
    return tuple((form, re.compile(shape_of(form).pattern)) for form in (*forms, *_OTHERS))
