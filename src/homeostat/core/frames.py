"""Other libraries' tables as Polars tables, without importing those libraries."""

from __future__ import annotations

from typing import Any

import polars as pl

from homeostat.core.errors import DataError
from homeostat.core.guarded import is_panic


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
            return pl.from_dicts(table, infer_schema_length=None)
        if isinstance(table, dict):
            return pl.DataFrame(table)
        if hasattr(table, "isna") and hasattr(table, "columns"):
            return pl.DataFrame([_column(table[name], name) for name in table.columns])
        if hasattr(table, "__arrow_c_stream__"):
            return pl.DataFrame(table)
    except BaseException as error:  # whatever the other library raises, it could not be read
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        said = " ".join(str(error).split())[:300]
        raise DataError(f"the {type(table).__name__} cannot be read as a table: {said}", hint=_HINT) from error
    raise DataError(f"a {type(table).__name__} is no table", hint=_HINT)


_HINT = "give a Polars, pandas or Arrow table, or a list of dictionaries, one per row"


def _column(series: Any, name: Any) -> pl.Series:
    """A pandas column; Polars' own way takes pyarrow for everything but plain numbers."""
    values = series.tolist()
    gone = series.isna()
    if gone.any():
        values = [None if missing else value for value, missing in zip(values, gone, strict=True)]
    return pl.Series(str(name), values)
