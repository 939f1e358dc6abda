"""Cells of text into values: numbers as they were declared, words for what is unknown, and what stays text."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from homeostat.core.errors import DataError, shown
from homeostat.core.table.form import APOSTROPHES, NULLS, SPACES, Form

_MOSTLY = 0.9
"""A text column of which this share are numbers is a number column with something else in it."""
_EXACT = 2**53
_SIGNS = r"(?:[$€£¥₹₽₩₺฿]|R\$|US\$|USD|EUR|GBP|CHF|JPY|kr\.?|Rs\.?)"
_WAYS = tuple((decimal, mark) for mark in ("", ",", ".", " ", "'") for decimal in (".", ",") if mark != decimal)
_LOOKED_AT = 1_000


class NumberForm(NamedTuple):
    """A declaration that reads text as numbers.

    Attributes:
        decimal, thousands: The marks; thousands may be empty.
        nulls: Words for an unknown value that are there.
        share: How many of the other values it reads (0..1).
        decorated: Whether some have a currency sign, a percent sign or parentheses.
        other: The first value that it does not read, if any.
    """

    decimal: str
    thousands: str
    nulls: tuple[str, ...]
    share: float
    decorated: bool
    other: str | None

    @property
    def plain(self) -> bool:
        """Whether it needs no declaration of marks."""
        return self.decimal == "." and not self.thousands and not self.decorated

    def declaration(self, name: str) -> dict[str, dict[str, object]]:
        """The arguments of a source that read a column so: argument to column to value."""
        said: dict[str, dict[str, object]] = {}
        if not self.plain:
            said["decimal"] = {name: self.decimal}
        if self.thousands:
            said["thousands"] = {name: self.thousands}
        if self.other is not None and self.share >= _MOSTLY:
            said["nulls"] = {name: [*self.nulls, self.other]}
        return said

    def told(self, name: str) -> str:
        """The same as one would write it."""
        return ", ".join(f"{argument}={value!r}" for argument, value in self.declaration(name).items())


def number_forms(series: pl.Series) -> tuple[NumberForm, ...]:
    """The declarations that read most of a text column as numbers, if any do.

    Returns:
        The one that reads the largest share; several when those read the same share and mean other numbers, as in
        `1,234`: then the column is ambiguous. Nothing if none reads a value, or the column is no text.

    Example:
        >>> number_forms(pl.Series(["1.204,50", "12,5", "?"]))[0].told("price")
        "decimal={'price': ','}, thousands={'price': '.'}"
    """
    if series.dtype != pl.String:
        return ()
    values = series.drop_nulls().str.strip_chars().unique(maintain_order=True)
    known = values.is_in(NULLS)
    words, values = tuple(values.filter(known)), values.filter(~known & (values != ""))
    if not values.head(_LOOKED_AT).str.contains("[0-9]").any():
        return ()
    found: list[tuple[NumberForm, pl.Series]] = []
    for decimal, thousands in _WAYS:
        for decorated in (False, True):
            read = as_numbers(values, decimal, thousands, decorated=decorated)
            count = read.count()
            best = max((form.share for form, _ in found), default=0.0)
            if not count or count / values.len() < best:
                continue
            if count / values.len() > best:
                found = []
            if not any(read.cast(pl.Float64).equals(other.cast(pl.Float64)) for _, other in found):
                first = values.filter(read.is_null()).head(1)
                form = NumberForm(
                    *(decimal, thousands, words, count / values.len(), decorated), first[0] if first.len() else None
                )
                found.append((form, read))
    return tuple(form for form, _ in found)


def as_numbers(text: pl.Series, decimal: str, thousands: str, *, decorated: bool) -> pl.Series:
    """Text as whole numbers or fractions; null where it is none.

    Args:
        text: The cells.
        decimal: The mark before a fraction.
        thousands: The mark between groups of three digits (two in Indian lakhs), or nothing.
        decorated: Take off currency and percent signs, read parentheses and a minus at the end as negative. 45% is 45.
    """
    bare = text.str.strip_chars()
    if decorated:
        bare = bare.str.replace_all("\u2212", "-", literal=True).str.replace(r"^\((.*)\)$", "-$1")
        bare = bare.str.replace(rf"^([+-]?)\s*{_SIGNS}\s*([+-]?)", "$1$2").str.replace(rf"\s*(?:{_SIGNS}|%)$", "")
        bare = bare.str.replace(r"^(.*[0-9].*)-$", "-$1").str.replace(r"^([+-])\s+", "$1")
    group = {" ": f"[{SPACES}]", "'": f"[{APOSTROPHES}]"}.get(thousands, f"\\{thousands}" if thousands else "")
    digits = f"[0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}}|[0-9]+" if group else "[0-9]+"
    pattern = rf"^[+-]?(?:(?:{digits})(?:\{decimal}[0-9]*)?|\{decimal}[0-9]+)(?:[eE][+-]?[0-9]+)?$"
    bare = bare.set(~bare.str.contains(pattern), None)
    bare = bare.str.replace_all(group, "") if group else bare
    bare = bare.str.replace(decimal, ".", literal=True)
    whole = bare.cast(pl.Int64, strict=False)
    return whole if whole.count() == bare.count() else bare.cast(pl.Float64, strict=False)


def values_of(series: pl.Series, form: Form, *, is_time: bool = False) -> pl.Series:
    """A column of a CSV file, read as text, in the type that it holds.

    Raises:
        DataError: A number among numbers is broken, or a declared column holds something else.
    """
    name, words = series.name, form.words(series.name)
    if words is not None:
        series = _without(series, words)
    elif is_time or form.is_number(name):
        series = _without(series, NULLS)
    if is_time or name in form.text:
        return series
    if not series.count():
        return pl.Series(name, [None] * series.len(), dtype=pl.Null)
    if form.is_number(name):
        return _declared_number(series, form)
    rest = series if words is not None else _without(series, NULLS)
    if not rest.count():
        return pl.Series(name, [None] * series.len(), dtype=pl.Null)
    typed = _number_or_text(rest, form)
    # Words for the unknown are such among numbers only: a country may be called NA, a class None.
    return series if typed.dtype == pl.String else typed


def declared_values(rows: pl.DataFrame, form: Form) -> pl.DataFrame:
    """What was declared of columns of text, in files that have types: their numbers and their words for the unknown."""
    if not (form.decimal or form.thousands or form.nulls):
        return rows
    return pl.DataFrame([_declared(series, form) if series.dtype == pl.String else series for series in rows])


def _declared(series: pl.Series, form: Form) -> pl.Series:
    series = _without(series, form.words(series.name) or ())
    return _declared_number(series, form) if form.is_number(series.name) and series.count() else series


def _without(series: pl.Series, words: tuple[str, ...]) -> pl.Series:
    unknown = series.str.strip_chars().is_in(words)
    return series.set(unknown, None) if unknown.any() else series


def _declared_number(series: pl.Series, form: Form) -> pl.Series:
    decimal, thousands = form.marks(series.name)
    read = as_numbers(series, decimal, thousands, decorated=True)
    wrong = (read.is_null() & series.is_not_null()).arg_true()
    if not len(wrong):
        return read
    marks = f"decimal {decimal!r}" + (f" and thousands {thousands!r}" if thousands else "")
    raise DataError(
        f"column {series.name!r} is declared as numbers with {marks}: row {form.rows + wrong[0] + 1} has "
        f"{shown(series[wrong[0]])} ({len(wrong):,} of {series.len():,} rows)",
        hint=f"mend those cells, or say that they are unknown: nulls={{{series.name!r}: [{series[wrong[0]][:60]!r}]}}",
    )


def _number_or_text(series: pl.Series, form: Form) -> pl.Series:
    """What a column of text holds: truth values, whole numbers, fractions, or text."""
    present = series.count()
    marks = form.marks(series.name)
    if marks != (".", ""):
        read = as_numbers(series, *marks, decorated=False)
        return read if read.count() == present and not _coded(series) else _truth(series)
    whole = series.cast(pl.Int64, strict=False)
    if whole.count() == present:
        return series if _coded(series) else whole
    bare = series.str.strip_chars()
    fractions = bare.cast(pl.Float64, strict=False)
    if fractions.count() < present:
        truth = _truth(series)
        return truth if truth.dtype == pl.Boolean else _unmixed(series, fractions, form)
    if _coded(series):
        return series
    _refuse_inexact(series, whole, form)
    return fractions


def _truth(series: pl.Series) -> pl.Series:
    bare = series.str.strip_chars()
    if bare.n_unique() <= 3 and bare.drop_nulls().str.to_lowercase().is_in(["true", "false"]).all():
        return bare.str.to_lowercase() == "true"
    return series


def _refuse_inexact(series: pl.Series, whole: pl.Series, form: Form) -> None:
    """Fractions hold whole numbers up to 2^53 exactly."""
    large = ((whole.abs() > _EXACT) & (whole.cast(pl.Float64).cast(pl.Int64, strict=False) != whole)).arg_true()
    if len(large):
        raise DataError(
            f"column {series.name!r} holds fractions, and row {form.rows + large[0] + 1} has the whole number "
            f"{series[large[0]]}, which a fraction cannot hold exactly",
            hint=f"is it a code? then keep the column as text: FileSource(..., text=({series.name!r},))",
        )


def _coded(numbers: pl.Series) -> bool:
    """Whether text that reads as numbers is a code: 007, or digits beyond 64 bits, would lose what tells them apart."""
    bare = numbers.str.strip_chars_start(" +-")
    zero = bare.str.starts_with("0") & (bare.str.len_bytes() > 1) & (bare.str.slice(1, 1) != ".")
    if zero.any() and bare.str.contains(r"^0\d").any():
        return True
    long = bare.filter(bare.str.len_bytes() > 18)
    return bool(long.str.contains(r"^\d+$").any())


def _unmixed(series: pl.Series, numbers: pl.Series, form: Form) -> pl.Series:
    """Refuse text in which nearly all are numbers: somewhere a number is broken."""
    present = series.count()
    if not present or not _MOSTLY <= numbers.count() / present < 1:
        return series
    wrong = (numbers.is_null() & series.is_not_null()).arg_true()
    value = series[wrong[0]]
    raise DataError(
        f"column {series.name!r} mixes numbers and text: row {form.rows + wrong[0] + 1} has {shown(value)} "
        f"({len(wrong):,} of {series.len():,} rows)",
        hint=f"mend or empty those cells, {_way_out(series, value)}, or keep the column as text: "
        f"FileSource(..., text=({series.name!r},))",
    )


def _way_out(series: pl.Series, value: str) -> str:
    forms = [form for form in number_forms(series) if form.share == 1 and not form.plain]
    said = forms[0].told(series.name) if forms else f"nulls={{{series.name!r}: [{value[:60]!r}]}}"
    return f"declare how they are read: FileSource(..., {said})"


def refuse_mixed(rows: pl.DataFrame, form: Form) -> None:
    """Refuse columns of text, in rows that have types, in which nearly all are numbers.

    Raises:
        DataError: Names the column and the first row.
    """
    for series in rows:
        if series.dtype == pl.String and series.name not in form.text:
            _unmixed(series, series.cast(pl.Float64, strict=False), form)
