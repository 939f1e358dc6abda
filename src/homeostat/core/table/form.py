"""How a source's files are written, as declared: training, batches and streams read them alike."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, NamedTuple

from homeostat.core.errors import DataError
from homeostat.core.table.spec import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

ALL = ""
"""Stands for every column that is not named itself."""
UNNAMED = ""
"""The name of a column without one, in `rename` and `ignore`."""
NULLS = (
    *("NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "Null", "None", "none", "NONE", "NaT", "nil"),
    *("\\N", "?", "-", "--", "."),
)
"""Words for an unknown value, in a column of numbers, truth values or times. Elsewhere they are text like any other."""

SPACES = " \u00a0\u2009\u202f"
APOSTROPHES = "'\u2019"


class Form(NamedTuple):
    """How to read a source's files; made by `form_of`.

    Attributes:
        text: Columns that stay text even if they look like numbers.
        decimal, thousands: Marks in numbers, by column. A column that is named is one of numbers.
        nulls: Words for an unknown value, by column, in place of `NULLS`.
        rename: Old and new names of columns, applied before everything else.
        ignore: Columns that are not taken in; `UNNAMED` stands for those without a name.
        partitions: Whether folders called `key=value` are columns; None refuses them.
        lines, rows: How many came before, where only a part of a file is read; messages count from the file's start.
    """

    separator: str = ","
    text: tuple[str, ...] = ()
    decimal: tuple[tuple[str, str], ...] = ()
    thousands: tuple[tuple[str, str], ...] = ()
    nulls: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    ignore: tuple[str, ...] = ()
    encoding: str = "utf-8"
    partitions: bool | None = None
    lines: int = 0
    rows: int = 0

    def marks(self, name: str) -> tuple[str, str]:
        """The decimal mark of a column, and its thousands mark or an empty string."""
        decimal, thousands = dict(self.decimal), dict(self.thousands)
        return decimal.get(name, decimal.get(ALL, ".")), thousands.get(name, thousands.get(ALL, ""))

    def is_number(self, name: str) -> bool:
        """Whether a column was declared to hold numbers."""
        return any(name == one for one, _ in (*self.decimal, *self.thousands))

    def words(self, name: str) -> tuple[str, ...] | None:
        """The declared words for an unknown value of a column, which count whatever it holds; None without any."""
        nulls = dict(self.nulls)
        return nulls.get(name, nulls.get(ALL))

    def named(self) -> list[tuple[str, str]]:
        """The argument and the name of each column that was declared, but for those to ignore."""
        pairs = [("text", name) for name in self.text]
        pairs += [("decimal", name) for name, _ in self.decimal] + [("thousands", name) for name, _ in self.thousands]
        pairs += [("nulls", name) for name, _ in self.nulls] + [("rename", name) for _, name in self.rename]
        return [(argument, name) for argument, name in pairs if name != ALL]

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names of columns that are not taken in."""
        return tuple(name for name in self.ignore if name != UNNAMED)

    def without(self, rows: pl.DataFrame, where: str) -> pl.DataFrame:
        """The rows without the ignored columns, all of which must be there."""
        for name in self.ignored:
            if name not in rows.columns:
                raise DataError(f"{where} has no column {name!r} to ignore", hint=did_you_mean(name, rows.columns))
        return rows.drop(self.ignored)

    def with_text(self, names: Sequence[str]) -> Form:
        """The same, with more columns that stay text."""
        return self._replace(text=tuple(dict.fromkeys((*self.text, *names))))


def form_of(
    *,
    separator: str = ",",
    text: str | Sequence[str] = (),
    decimal: str | Mapping[str, str] = ".",
    thousands: str | Mapping[str, str] = "",
    nulls: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    rename: Mapping[str, str] | None = None,
    ignore: str | Sequence[str] = (),
    encoding: str = "utf-8",
    partitions: bool | None = None,
    declared: Sequence[str] = (),
) -> Form:
    """A `Form` from what a user writes; see `FileSource` for the arguments. What is `declared` cannot be ignored.

    Raises:
        DataError: It does not hold together.
    """
    if len(separator) != 1 or not separator.isascii() or separator in '"\r\n':
        raise DataError(f"separator is {separator!r}, not one character", hint="separator=';'")
    form = Form(
        separator=separator,
        text=_names(text),
        decimal=_by_column(decimal, "."),
        thousands=_by_column(thousands, ""),
        nulls=_null_words(nulls),
        rename=tuple((rename or {}).items()),
        ignore=_names(ignore),
        encoding=encoding,
        partitions=partitions,
    )
    _refuse_odd_marks(form)
    _refuse_odd_names(form)
    if both := sorted(set(form.ignore) & set(declared)):
        what = f"columns are both declared and ignored: {', '.join(map(repr, both))}"
        raise DataError(what, hint="take them out of ignore=")
    try:
        "".encode(codecs.lookup(encoding).name)
    except LookupError as error:
        raise DataError(f"there is no encoding {encoding!r}", hint="encoding='cp1252', for example") from error
    return form


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _by_column(mark: str | Mapping[str, str], usual: str) -> tuple[tuple[str, str], ...]:
    if isinstance(mark, str):
        return () if mark == usual else ((ALL, mark),)
    return tuple(sorted(mark.items()))


def _null_words(nulls: Sequence[str] | Mapping[str, Sequence[str]] | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if nulls is None:
        return ()
    if isinstance(nulls, str):
        raise DataError(f"nulls is the text {nulls!r}", hint=f"write nulls=[{nulls!r}]")
    by_column = nulls if hasattr(nulls, "items") else {ALL: nulls}
    return tuple(sorted((name, _names(words)) for name, words in by_column.items()))


def _refuse_odd_marks(form: Form) -> None:
    for name in sorted({name for name, _ in (*form.decimal, *form.thousands)}):
        decimal, thousands = form.marks(name)
        of = f" of column {name!r}" if name else ""
        if decimal not in (".", ","):
            raise DataError(f"the decimal mark{of} is {decimal!r}", hint="it is '.' or ','")
        if thousands and thousands not in (".", ",", " ", "'", "_"):
            raise DataError(f"the thousands mark{of} is {thousands!r}", hint="it is '.', ',', ' ', \"'\" or '_'")
        if thousands == decimal:
            other = "." if decimal == "," else ","
            hint = f"declare both, such as decimal={other!r}, thousands={thousands!r}"
            raise DataError(f"{decimal!r} is both the decimal mark and the thousands mark{of}", hint=hint)
    both = sorted({name for name, _ in (*form.decimal, *form.thousands)} & set(form.text))
    if both:
        raise DataError(f"column {both[0]!r} is declared as text and as a number", hint="take it out of one of them")


def _refuse_odd_names(form: Form) -> None:
    new = [name for _, name in form.rename]
    if not all(new):
        raise DataError("rename gives a column an empty name", hint="leave columns out with ignore=[...]")
    twice = sorted({name for name in new if new.count(name) > 1})
    if twice:
        raise DataError(f"rename gives two columns the name {twice[0]!r}", hint="give each column its own name")
