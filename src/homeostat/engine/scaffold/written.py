"""How files are written, found out by `homeostat init` and declared in the source that it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.core.errors import DataError, shown
from homeostat.core.table.files.cells import as_numbers, declared_values
from homeostat.core.table.form import ALL, form_of
from homeostat.engine.scaffold.survey import MOST_WORDS, NumberColumn, Survey

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import polars as pl

    from homeostat.core.table.files import NumberForm

_SAID = "as you said"
_BY_COLUMN = ("decimal", "thousands", "nulls")


class Written:
    """The arguments of a source that reads these files, each with its reason.

    Raises:
        DataError: Numbers can be read in two ways.
    """

    def __init__(self, found: Survey, said: Mapping[str, Any], text: Collection[str | None]) -> None:
        self.notes: list[str] = []
        self._dates: dict[str, str] = {}
        self._said = dict(said)
        self._found: dict[str, dict[str, Any]] = {name: {} for name in _BY_COLUMN}
        for name, column in found.numbers.items():
            if name not in text and name not in found.times:
                self._number(name, column, found.rows[name])

    def date(self, name: str, form: str) -> None:
        """A column's times are written in a form; an empty one is year first."""
        if form:
            self._dates[name] = form

    def typed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the numbers that the declaration reads."""
        decimal, thousands, nulls = (self._found[name] for name in _BY_COLUMN)
        return declared_values(rows, form_of(decimal=decimal, thousands=thousands, nulls=nulls or None))

    def arguments(self, times: tuple[str, ...]) -> dict[str, tuple[Any, str]]:
        """Argument to its value and why.

        Args:
            times: Time and label time; where all are written alike, one form stands for them.
        """
        made: dict[str, tuple[Any, str]] = {
            name: (value, "these folders are columns" if name == "partitions" else _SAID)
            for name, value in self._said.items()
        }
        for name, found in self._found.items():
            if found:
                said = self._said.get(name)
                value = found if said is None else {ALL: said, **found}
                made[name] = (
                    value,
                    "how its numbers are written" if name != "nulls" else "words for an unknown number",
                )
        forms = set(self._dates.values())
        if len(forms) == 1 and set(times) == self._dates.keys():
            made["dates"] = (forms.pop(), "all rows are written so")
        elif self._dates:
            made["dates"] = (self._dates, "all rows are written so")
        return made

    def _number(self, name: str, column: NumberColumn, sample: pl.Series) -> None:
        first = column.forms[0]
        if len(column.words) > MOST_WORDS:
            told = f"{first.share:.0%} of the values of {name!r} are numbers ({first.told(name)})"
            self.notes.append(f"{told}; it stays text because of others, such as {shown(column.words[0])}")
            return
        if len(column.forms) > 1:
            raise _ambiguous(name, column.forms, sample)
        for argument, value in first.declaration(name).items():
            if argument != "nulls":
                self._found[argument] |= value
        words = [*first.nulls, *column.words]
        if column.words:
            self._found["nulls"][name] = words
        told = f"{name!r} is text that is read as numbers: {first.told(name)}"
        self.notes.append(f"{told}, with {', '.join(map(shown, words))} as unknown" if words else told)


def _ambiguous(name: str, forms: tuple[NumberForm, ...], sample: pl.Series) -> DataError:
    """Both readings of a value that they read as two numbers."""
    values = sample.drop_nulls().unique(maintain_order=True)
    first, second = (as_numbers(values, form.decimal, form.thousands, decorated=True) for form in forms[:2])
    place = (first != second).fill_null(value=False).arg_true()
    row = int(place[0]) if len(place) else 0
    readings = [f"{read[row]:,} ({_flags(form)})" for read, form in zip((first, second), forms, strict=False)]
    return DataError(
        f"column {name!r} can be read in {len(forms)} ways: {shown(values[row])} is {' or '.join(readings)}",
        hint=f"say which it is: {' or '.join(map(_flags, forms[:4]))}; or keep it as text: --text {name}",
    )


def _flags(form: NumberForm) -> str:
    marks = [f"--decimal '{form.decimal}'"] if form.decimal != "." else []
    marks += [f"--thousands '{form.thousands}'"] if form.thousands else []
    return " ".join(marks) or "--decimal '.'"
