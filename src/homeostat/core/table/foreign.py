"""Other libraries' tables as Polars tables, without importing those libraries."""

from __future__ import annotations

from typing import Any

import polars as pl

from homeostat.core.errors import DataError
from homeostat.core.guarded import is_panic
from homeostat.core.values import taken


def frame_of(table: Any) -> pl.DataFrame:
    """A table as a Polars one.

    Args:
        table: A Polars DataFrame or LazyFrame; anything that speaks Arrow's C stream interface (a pyarrow Table, a
            DuckDB relation); a pandas DataFrame, whose index is no column and whose NaN is a missing value; a list of
            dictionaries, one per row; or a dictionary of columns.

    Raises:
        DataError: It is none of these, or cannot be read as a table.

    Example:
        >>> frame_of([{"n": 1, "who": "ada"}, {"n": 2, "who": None}]).height
        2
    """
    if isinstance(table, pl.DataFrame):
        return table
    try:
        if isinstance(table, pl.LazyFrame):
            return table.collect()
        if isinstance(table, list) and table and all(isinstance(row, dict) for row in table):
            names = dict.fromkeys(name for row in table for name in row)
            return pl.DataFrame([_series(name, [row.get(name) for row in table]) for name in names])
        if isinstance(table, dict):
            return pl.DataFrame([_column(values, name) for name, values in table.items()])
        if hasattr(table, "isna") and hasattr(table, "columns"):
            return pl.DataFrame([_column(table[name], name) for name in table.columns])
        if hasattr(table, "__arrow_c_stream__"):
            return pl.DataFrame(table)
    except DataError:
        raise
    except BaseException as error:  # whatever the other library raises, it could not be read
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        said = " ".join(str(error).split())[:300]
        raise DataError(f"the {type(table).__name__} cannot be read as a table: {said}", hint=_HINT) from error
    raise DataError(f"a {type(table).__name__} is no table", hint=_HINT)


_HINT = "give a Polars, pandas or Arrow table, or a list of dictionaries, one per row"


def _column(values: Any, name: Any) -> pl.Series:
    """A column of a dictionary, or of pandas: Polars' own way takes pyarrow for everything but plain numbers."""
    if isinstance(values, list):
        return _series(name, values)
    if not hasattr(values, "isna"):
        return pl.Series(str(name), values)
    plain = values.tolist()
    gone = values.isna()
    if gone.any():
        plain = [None if missing else value for value, missing in zip(plain, gone, strict=True)]
    return _series(name, plain)


def _series(name: Any, values: list[Any]) -> pl.Series:
    """A column of Python values, none of which becomes another one."""
    kinds = {type(value) for value in values if value is not None}
    if bool in kinds and len(kinds) > 1:
        raise DataError(f"column {str(name)!r} mixes truth values and others", hint="keep one type per column")
    try:
        if kinds != {int, float}:
            return pl.Series(str(name), values)
        _refuse(name, values, "number")
        return pl.Series(str(name), values, dtype=pl.Float64, strict=False)
    except UnicodeEncodeError:
        _refuse(name, values, "text")
        raise
    except OverflowError:
        _refuse(name, values, "integer")
        raise


def _refuse(name: Any, values: list[Any], kind: str) -> None:
    """Refuse values that Polars would change, or stumble over."""
    for row, value in enumerate(values, start=1):
        # NaN and infinity have their own check, which says what to do.
        finite = not isinstance(value, float) and value is not None
        if finite and (problem := taken(value, kind)[1]) is not None:
            raise DataError(f"column {str(name)!r}, row {row}: {problem}")
