"""Names of columns that tables, models, requests and ledgers can all hold."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from homeostat.core.errors import DataError, shown
from homeostat.core.table.form import UNNAMED, Form

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl


LONGEST_NAME = 255
"""Bytes of UTF-8."""
_RESERVED = ("__known",)


def named(rows: pl.DataFrame, form: Form) -> pl.DataFrame:
    """Rows with the names that the source declares, without columns that have none if those are left out."""
    names = dict(zip(rows.columns, renamed(rows.columns, form), strict=True))
    rows = rows.rename(names)
    return rows.drop(UNNAMED, strict=False) if UNNAMED in form.ignore else rows


def renamed(names: Sequence[str], form: Form, *, unnamed: bool = False) -> list[str]:
    """Names as the source declares them.

    Raises:
        DataError: One is there twice, differs from another in case only, or cannot be held.
    """
    new = dict(form.rename)
    if names.count(UNNAMED) > 1 and UNNAMED in new:
        raise DataError(f"{names.count(UNNAMED)} columns have no name, and rename gives one", hint="name them all")
    given = [new.get(name, name) for name in names]
    taken = [name for name in given if name not in form.ignore and not (unnamed and name == UNNAMED)]
    problem = _twice(taken) or _alike(taken) or next(filter(None, map(_unholdable, taken)), None)
    if problem:
        raise problem
    return given


def refuse_names(names: Sequence[str]) -> None:
    """Refuse names that a table cannot hold beside each other."""
    problem = _twice(names) or _alike(names) or next(filter(None, map(_unholdable, names)), None)
    if problem:
        raise problem


def _twice(names: Sequence[str]) -> DataError | None:
    if len(set(names)) == len(names):
        return None
    twice = sorted({name for name in names if names.count(name) > 1})
    what = f"the header has {', '.join(map(shown, twice[:20]))} more than once"
    return DataError(what, hint="give each column its own name")


def _alike(names: Sequence[str]) -> DataError | None:
    """Tables compare names without regard to case."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            return DataError(
                f"the columns {shown(other)} and {shown(name)} differ in case only, which a table cannot hold",
                hint=f'give one of them another name, such as rename={{{other!r}: "{other}_2"}}, or leave one out '
                f"with ignore=[{other!r}]",
            )
    return None


def _unholdable(name: str) -> DataError | None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return DataError(f"the name of column {shown(name)} is no text: it holds half a character", hint=_RENAME)
    if not name.strip():
        return DataError(f"the name of a column is {name!r}", hint=_RENAME)
    if size > LONGEST_NAME:
        what = f"the name of column {shown(name)} has {size:,} bytes; {LONGEST_NAME} are the most"
        return DataError(what, hint=_RENAME)
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return DataError(f"the name of column {shown(name)} holds a control character", hint=_RENAME)
    if name in _RESERVED:
        return DataError(f"the name of column {name!r} is one that Homeostat uses itself", hint=_RENAME)
    return None


_RENAME = "write it with another name, or give it one with rename={...} in the source"
