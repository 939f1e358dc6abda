"""Arrays and tables as bytes: names, dtypes, shapes and values, and nothing of how memory happens to be laid out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.core.fingerprint.framing import FingerprintError, Sink, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl


def write_data(sink: Sink, value: Any, write: Callable[[Any], None]) -> bool:
    """Write a numpy or polars value; False when it is neither an array nor a table.

    `write` takes what an array of Python objects holds.
    """
    if isinstance(value, np.ndarray):
        if type(value) is not np.ndarray:
            what = f"a {type(value).__name__} has no fingerprint"
            raise FingerprintError(what, hint="convert it with np.asarray")
        _write_array(sink, value, write)
        return True
    if isinstance(value, np.generic):
        frame(sink, "scalar")
        _write_array(sink, np.asarray(value), write)
        return True
    if isinstance(value, np.dtype):
        frame(sink, "dtype", repr(value).encode())
        return True
    polars = sys.modules.get("polars")
    if polars is None:
        return False
    if isinstance(value, polars.DataFrame):
        frame(sink, "frame", b"%d %d" % value.shape)
        for column in value.iter_columns():
            _write_column(sink, column)
    elif isinstance(value, polars.Series):
        frame(sink, "series", b"%d" % len(value))
        _write_column(sink, value)
    elif isinstance(value, polars.DataType) or (isinstance(value, type) and issubclass(value, polars.DataType)):
        frame(sink, "polars-dtype", dtype_name(value).encode())
    elif isinstance(value, (polars.Expr, polars.LazyFrame)):
        what = f"a polars {type(value).__name__} has no fingerprint: its serialised form changes between versions"
        raise FingerprintError(what, hint="build it inside the step, or collect it")
    else:
        return False
    return True


def _write_array(sink: Sink, array: np.ndarray[Any, Any], write: Callable[[Any], None]) -> None:
    shape = ",".join(map(str, array.shape))
    frame(sink, "array", f"{array.dtype.str} {shape}".encode())
    if array.dtype.names:
        for name in array.dtype.names:
            frame(sink, "field", name.encode())
            _write_array(sink, array[name], write)
    elif array.dtype.hasobject:
        write(array.ravel().tolist())
    else:
        _write_bytes(sink, _one_nan(np.ascontiguousarray(array)))


def _write_bytes(sink: Sink, array: np.ndarray[Any, Any]) -> None:
    flat = array.reshape(-1)
    frame(sink, "data", memoryview(flat.view(np.uint8).data) if flat.size else b"")


def _one_nan(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same array with every NaN in its one canonical form."""
    if array.dtype.kind not in "fc":
        return array
    missing = np.isnan(array)
    if not missing.any():
        return array
    return np.where(missing, np.array(np.nan, array.dtype), array)


def _write_column(sink: Sink, column: pl.Series) -> None:
    frame(sink, "column", column.name.encode())
    frame(sink, "dtype", dtype_name(column.dtype).encode())
    _write_cells(sink, column)


def _write_cells(sink: Sink, column: pl.Series) -> None:
    import polars as pl

    base = column.dtype.base_type()
    frame(sink, "cells", b"%d %d" % (len(column), column.null_count()))
    if column.null_count():
        _write_bytes(sink, np.packbits(column.is_null().to_numpy()))
    if base in (pl.Categorical, pl.Enum, pl.Decimal):
        _write_text(sink, column.cast(pl.String))
    elif base is pl.String:
        _write_text(sink, column)
    elif base is pl.Binary:
        _write_blobs(sink, [cell or b"" for cell in column.to_list()])
    elif base in (pl.List, pl.Array):
        listed = column.arr.to_list() if base is pl.Array else column
        _write_bytes(sink, listed.list.len().fill_null(0).to_numpy().astype("<u4"))
        _write_cells(sink, listed.drop_nulls().explode(empty_as_null=False))
    elif base is pl.Struct:
        for name in column.struct.fields:
            _write_column(sink, column.struct.field(name))
    elif base is pl.Object:
        what = f"column {column.name!r} holds Python objects, which have no fingerprint"
        raise FingerprintError(what, hint="convert the column to a polars type")
    elif base is not pl.Null:
        physical = column.to_physical()
        filled = physical.fill_null(physical.dtype.is_numeric() and 0) if column.null_count() else physical
        _write_bytes(sink, _one_nan(np.ascontiguousarray(filled.to_numpy())))


def _write_text(sink: Sink, column: pl.Series) -> None:
    filled = column.fill_null("")
    _write_bytes(sink, filled.str.len_bytes().to_numpy().astype("<u4"))
    frame(sink, "text", (filled.str.join("").item() if len(filled) else "").encode())


def _write_blobs(sink: Sink, cells: list[bytes]) -> None:
    _write_bytes(sink, np.array([len(cell) for cell in cells], "<u8"))
    frame(sink, "blobs", b"".join(cells))


def dtype_name(dtype: Any) -> str:
    """The name of a polars dtype, spelled here so that a new polars release does not rename it.

    Example:
        >>> import polars as pl
        >>> dtype_name(pl.List(pl.Datetime("us", "UTC")))
        'List(Datetime(us,UTC))'
    """
    name = str(dtype.base_type().__name__) if hasattr(dtype, "base_type") else str(dtype)
    if isinstance(dtype, type):
        return name
    match name:
        case "Datetime":
            inner = f"{dtype.time_unit},{dtype.time_zone or ''}"
        case "Duration":
            inner = dtype.time_unit
        case "Decimal":
            inner = f"{dtype.precision},{dtype.scale}"
        case "Enum":
            inner = ",".join(map(repr, dtype.categories.to_list()))
        case "List":
            inner = dtype_name(dtype.inner)
        case "Array":
            inner = f"{dtype_name(dtype.inner)},{dtype.shape}"
        case "Struct":
            inner = ",".join(f"{field.name!r}:{dtype_name(field.dtype)}" for field in dtype.fields)
        case _:
            return name
    return f"{name}({inner})"
