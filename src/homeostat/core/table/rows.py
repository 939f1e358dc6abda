"""Rows before they enter a table: one set of types, declared columns that hold what they promise, stable hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from homeostat.core.errors import DataError, shown
from homeostat.core.table.column_names import refuse_names
from homeostat.core.table.ids import LONGEST_ID
from homeostat.core.table.spec import TableSpec, did_you_mean
from homeostat.core.times.columns import UTC_TIME, outside, read_times
from homeostat.core.values import inexact_whole, unfit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray


NEVER = np.int64(2**63 - 1)
"""The label time, in microseconds, of a row that has no label yet."""

_SHOWN = 20


def prepare(rows: pl.DataFrame, spec: TableSpec, times: Sequence[str] = ()) -> pl.DataFrame:
    """Bring rows to the types that a table stores and refuse those that break their declaration.

    Integers become Int64, floats Float64, categories String, date-times `Datetime("us", "UTC")` (a naive one is taken
    to be UTC). Nothing is dropped and the order is kept.

    Args:
        rows: Any number of rows.
        spec: What the columns mean.
        times: Columns that are known to be times beside the declared ones.

    Raises:
        DataError: Lists every problem: declared columns that are missing, column types that cannot be stored, event
            times that are null or unparsable, null keys, NaN or infinity, labels from before their event.

    Example:
        >>> from homeostat.core.table.spec import TableSpec
        >>> prepare(pl.DataFrame({"at": ["2013-01-01 05:15"], "n": [1]}), TableSpec(time="at"))["at"].dtype
        Datetime(time_unit='us', time_zone='UTC')
    """
    problems = [
        f"declared column {name!r} is missing; {did_you_mean(name, rows.columns)}"
        for name in dict.fromkeys((*spec.declared, *spec.times))
        if name not in rows.columns
    ]
    try:
        refuse_names(rows.columns)
    except DataError as error:
        problems.append(f"{error.what}; {error.hint}")
    rows, mistyped = stored_form(rows, dict.fromkeys(times) | dict(spec.times))
    problems += mistyped
    if not problems:
        problems = _broken_rows(rows, spec)
    if problems:
        raise DataError(bulleted("the rows do not hold what was declared", problems))
    return rows


def stored_form(rows: pl.DataFrame, times: Mapping[str, str | None]) -> tuple[pl.DataFrame, list[str]]:
    """Rows in the types that a table stores, and a sentence for each column that cannot be and stays as it is."""
    columns, problems = [], []
    for series in rows:
        try:
            columns.append(read_times(series, times[series.name]) if series.name in times else _as_stored(series))
        except DataError as error:
            columns.append(series)
            problems.append(error.what if error.hint is None else f"{error.what}; {error.hint}")
    return pl.DataFrame(columns), problems


def known_at(rows: pl.DataFrame, spec: TableSpec) -> NDArray[np.int64]:
    """When each row's label became known, in microseconds since 1970; `NEVER` where it is not known.

    Returns:
        Array of shape (rows,). A target without a label time counts as unknown, so that it is never trained on early.
    """
    if spec.target is None or spec.target not in rows.columns:
        return np.full(rows.height, NEVER, dtype=np.int64)
    moment = pl.col(spec.label_time or spec.time).dt.timestamp("us")
    known = rows.select(pl.when(pl.col(spec.target).is_not_null()).then(moment).fill_null(int(NEVER)))
    return known.to_series().to_numpy()


def row_hashes(rows: pl.DataFrame, columns: Sequence[str] | None = None) -> NDArray[np.uint64]:
    """One 64-bit hash per row, the same on every machine, version and column order.

    Not cryptographic: it tells rows apart, it does not defend against forgery. Among n rows the chance that any two
    differing rows share a hash is about n²/2⁶⁵ (3e-9 for 300,000 rows). Strings are hashed by the multilinear family
    of Carter and Wegman (1979), numbers by the finaliser of SplitMix64 (Steele et al. 2014).
    """
    total = np.zeros(rows.height, dtype=np.uint64)
    for name in sorted(columns if columns is not None else rows.columns):
        series = rows[name]
        seed = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
        values = _mix(_column_hash(series) ^ seed)
        if series.null_count():
            values[series.is_null().to_numpy()] = _mix(_mix(np.array([seed])))[0]
        total += values
    return _mix(total)


def bulleted(title: str, problems: Sequence[str]) -> str:
    """A title and its problems, one a line, at most twenty of them."""
    lines = [f"{title}:", *(f"  - {problem}" for problem in problems[:_SHOWN])]
    if len(problems) > _SHOWN:
        lines.append(f"  - … and {len(problems) - _SHOWN} more")
    return "\n".join(lines)


def _as_stored(series: pl.Series) -> pl.Series:
    dtype = series.dtype
    if dtype in (pl.Int64, pl.Float64, pl.Boolean, pl.String, pl.Date, UTC_TIME):
        return series
    if dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0):
        return _exactly(series, pl.Int64(), series.is_not_null(), "beyond 64-bit integers")
    if dtype.is_decimal():
        inexact = inexact_whole(series)
        doubtful = pl.repeat(value=False, n=series.len(), eager=True) if inexact is None else inexact
        return _exactly(series, pl.Float64(), doubtful, "which a fraction of 64 bits cannot hold exactly")
    if dtype.is_float():
        return series.cast(pl.Float64)
    if dtype in (pl.Categorical, pl.Enum, pl.Null):
        return series.cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        return read_times(series)
    raise DataError(
        f"column {series.name!r} has the type {dtype}, which a table does not store",
        hint="keep one number, text, truth value or time per cell: unnest, explode or drop the column first",
    )


def _exactly(series: pl.Series, dtype: pl.DataType, doubtful: pl.Series, why: str) -> pl.Series:
    """The column in another type, in which those values that are doubtful have to be there still."""
    cast = series.cast(dtype, strict=False)
    lost = doubtful & (cast.is_null() if dtype.is_integer() else True)
    if lost.any():
        row = lost.arg_true()[0]
        raise DataError(
            f"column {series.name!r} holds {series[row]} in row {row + 1}, {why} ({lost.sum():,} of {series.len():,} "
            "rows)",
            hint="give the column as text",
        )
    return cast


def _broken_rows(rows: pl.DataFrame, spec: TableSpec) -> list[str]:
    problems = []
    for name in dict.fromkeys((spec.time, *spec.key)):
        if rows[name].null_count():
            nulls = rows[name].is_null()
            problems.append(
                f"column {name!r} is null in {nulls.sum():,} of {rows.height:,} rows, first in row "
                f"{nulls.arg_true()[0] + 1}; every row needs its {'time' if name == spec.time else 'key'}"
            )
    for name in dict.fromkeys(filter(None, (spec.time, spec.label_time))):
        told = outside(rows[name], event=True)
        if told is not None:
            problems.append(f"column {name!r}: {told}")
    for series in rows:
        if (found := unfit(series)) is not None:
            wrong, what = found
            row = wrong.arg_true()[0]
            problems.append(
                f"column {series.name!r} holds {shown(series[row])} in row {row + 1} ({wrong.sum():,} of "
                f"{rows.height:,} rows); {what}"
            )
    problems += key_problems(rows, spec)
    if spec.label_time is not None:
        early = (rows[spec.label_time] < rows[spec.time]).fill_null(value=False)
        if early.any():
            row = early.arg_true()[0]
            problems.append(
                f"label time {spec.label_time!r} is before event time {spec.time!r} in {early.sum():,} of "
                f"{rows.height:,} rows, first in row {row + 1}: {_moment(rows[spec.label_time][row])} "
                f"before {_moment(rows[spec.time][row])}; mend "
                "those rows, or declare the columns the other way round"
            )
    return problems


def key_problems(rows: pl.DataFrame, spec: TableSpec) -> list[str]:
    """A sentence for keys of which no id can be made, so that nobody could ask for or label the row later."""
    if not spec.key or not set(spec.key) <= set(rows.columns):
        return []
    single = len(spec.key) == 1
    length = pl.sum_horizontal(_length(rows, name, single=single) for name in spec.key) + len(spec.key) - 1
    lengths = rows.select(length.alias("length"))["length"]
    wrong = ((lengths > LONGEST_ID) | (lengths < 1)).fill_null(value=False)
    if not wrong.any():
        return []
    row = wrong.arg_true()[0]
    what = "empty" if lengths[row] < 1 else f"longer than {LONGEST_ID} characters"
    names = " and ".join(map(repr, spec.key))
    return [f"the key of {names} is {what} in {wrong.sum():,} of {rows.height:,} rows, first in row {row + 1}"]


def _length(rows: pl.DataFrame, name: str, *, single: bool) -> pl.Expr:
    """Characters of a key's values in an id; of numbers and times, which are never many, about so many."""
    if rows.schema[name] != pl.String:
        return pl.lit(1)
    value = pl.col(name)
    # `core.ids` writes these two as two characters each, where there are several columns.
    return value.str.len_chars() + (0 if single else value.str.count_matches("[~/]"))


def _moment(moment: datetime) -> str:
    return moment.isoformat(sep=" ").removesuffix("+00:00")


def _column_hash(series: pl.Series) -> NDArray[np.uint64]:
    dtype = series.dtype
    if dtype == pl.String:
        return _text_hash(series)
    if dtype.is_float():
        values = np.asarray(series.to_numpy(), dtype=np.float64) + 0.0
        values[np.isnan(values)] = np.nan
        return np.asarray(values.view(np.uint64))
    numbers = series if dtype == pl.Int64 else series.to_physical().cast(pl.Int64)
    filled = numbers.fill_null(0) if numbers.null_count() else numbers
    return np.asarray(filled.to_numpy(), dtype=np.int64).view(np.uint64)


def _text_hash(series: pl.Series) -> NDArray[np.uint64]:
    filled = series.fill_null("") if series.null_count() else series
    length = filled.str.len_bytes().to_numpy().astype(np.int64)
    data = np.frombuffer((filled.str.join("").item() if series.len() else "").encode(), dtype=np.uint8)
    end = np.cumsum(length)
    start = end - length
    position = np.arange(data.size, dtype=np.int64) - np.repeat(start, length)
    factor = _mix(np.arange(int(length.max(initial=0)), dtype=np.uint64) + np.uint64(257)) | np.uint64(1)
    terms = _mix(np.arange(256, dtype=np.uint64))[data] * factor[position]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
    hashes: NDArray[np.uint64] = sums[end] - sums[start] + length.astype(np.uint64)
    return hashes


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
