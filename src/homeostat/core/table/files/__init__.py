"""Files into frames: CSV, Parquet, JSON lines and JSON, with an error that names the file, the row and the way out."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import polars as pl

from homeostat.core.errors import DataError
from homeostat.core.guarded import MOST_COLUMNS, read_whole, refusing, unpacked, without_panic_messages
from homeostat.core.table.column_names import named, renamed
from homeostat.core.table.files.cells import NumberForm, declared_values, number_forms, values_of
from homeostat.core.table.files.footers import refuse_parquet_bomb
from homeostat.core.table.files.objects import read_json
from homeostat.core.table.files.texts import as_utf8, read_csv
from homeostat.core.table.form import Form

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from homeostat.core.table.spec import TableSpec

__all__ = [
    "SUFFIXES",
    "NumberForm",
    "as_declared",
    "decode_text",
    "in_folders",
    "number_forms",
    "read_file",
    "same_types",
]

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz")
"""How the names of files end that can be read, for training as for batch inference."""


def _silent(_: str) -> None:
    return None


def read_file(path: Path, spec: TableSpec, form: Form, tell: Callable[[str], None] = _silent) -> pl.DataFrame:
    """The rows of one file.

    Args:
        path: A file whose name ends in .csv, .parquet, .jsonl, .ndjson or .json; all but Parquet may end in .gz too.
        spec: What its columns mean; used to recognise a wrong separator, and which columns are times.
        form: How to read it.
        tell: Called with a sentence for whatever of the file was not taken as it is.

    Returns:
        At least one row, in the file's own types (`core.rows.prepare` brings them to stored types).

    Raises:
        DataError: The file is unreadable, empty, torn, or not what its name says; names the file.
    """
    data = read_whole(path)
    try:
        return decode(data, path.name, spec, form, lambda said: tell(f"{path.name}: {said}"))
    except DataError as error:
        raise DataError(f"{path}: {error.what}", hint=error.hint) from error


def decode(data: bytes, name: str, spec: TableSpec, form: Form, tell: Callable[[str], None] = _silent) -> pl.DataFrame:
    """The rows in the bytes of a file of that name; see `read_file`."""
    name = name.lower()
    with refusing("the file"):
        if name.endswith(".gz"):
            data, name = unpacked(data), name.removesuffix(".gz")
        if not data[:4_096].strip() and not data.strip():
            raise DataError("the file is empty", hint="delete it, or write a header and rows into it")
        if name.endswith(".parquet"):
            rows = as_declared(_parquet(data), form)
        else:
            rows = decode_text(as_utf8(data, form, tell), name, spec, form, tell)
    if not rows.height:
        raise DataError("the file has columns and no rows", hint="delete it, or write rows into it")
    if not rows.width:
        raise DataError("the file has no columns", hint="delete it, or write rows into it")
    return rows


def decode_text(
    data: bytes, name: str, spec: TableSpec, form: Form, tell: Callable[[str], None] = _silent
) -> pl.DataFrame:
    """The rows, perhaps none, in the UTF-8 text of a CSV or JSON file, or in a part of it that `form` places."""
    if name.endswith(".csv"):
        return read_csv(data, spec, form, tell)
    return read_json(data, form, lines=not name.endswith(".json"))


def as_declared(rows: pl.DataFrame, form: Form) -> pl.DataFrame:
    """Rows of a file that has types, with what was declared of them: names, text in bytes, numbers in text.

    Raises:
        DataError: Columns hold bytes that nobody declared to be text, or names that a table cannot hold.
    """
    rows = named(rows, form)
    for series in rows:
        if series.dtype == pl.Binary and series.name not in form.ignore:
            rows = rows.with_columns(_text_of_bytes(series, form))
    return declared_values(rows, form)


def in_folders(rows: pl.DataFrame, folders: Sequence[tuple[str, str | None]], form: Form) -> pl.DataFrame:
    """Rows with the columns that the folders of their file tell, those excepted that the file has itself."""
    new = {name: value for name, value in folders if name not in rows.columns}
    if not new:
        return rows
    names = dict(zip(new, renamed(list(new), form), strict=True))
    told = [pl.Series(names[name], [value] * rows.height, dtype=pl.String) for name, value in new.items()]
    return rows.with_columns(values_of(series, form) for series in told)


def _text_of_bytes(series: pl.Series, form: Form) -> pl.Series:
    if series.name not in form.text:
        raise DataError(
            f"column {series.name!r} holds bytes, and nothing says that they are text",
            hint=f"FileSource(..., text=({series.name!r},)) reads them as UTF-8; else leave it out with ignore=",
        )
    try:
        return series.cast(pl.String)
    except pl.exceptions.PolarsError as error:
        what = f"column {series.name!r} is declared as text and holds bytes that are no UTF-8"
        raise DataError(what, hint=f"leave it out with ignore=[{series.name!r}]") from error


def _parquet(data: bytes) -> pl.DataFrame:
    refuse_parquet_bomb(io.BytesIO(data))
    try:
        with refusing("it"), without_panic_messages():
            width = len(pl.read_parquet_schema(io.BytesIO(data)))
            if width <= MOST_COLUMNS:
                return pl.read_parquet(io.BytesIO(data), glob=False)
    except DataError as error:
        said = error.what.removeprefix("it cannot be read: ")
        raise DataError(f"the file is no readable Parquet file: {said[:200]}", hint="copy or write it again") from error
    raise DataError(f"the file has {width:,} columns; {MOST_COLUMNS:,} are the most", hint="is it a table?")


def same_types(
    frames: Sequence[tuple[str, pl.DataFrame]], stored: dict[str, pl.DataType], spec: TableSpec
) -> list[pl.DataFrame]:
    """Bring frames that will share a table to common types: whole numbers beside fractions become fractions.

    Times are left as they are.

    Raises:
        DataError: A column has types that do not go together; names two files.
    """
    wanted: dict[str, tuple[pl.DataType, str]] = {name: (dtype, "the table") for name, dtype in stored.items()}
    problems = []
    for source, rows in frames:
        for name, dtype in rows.schema.items():
            if name in stored or name in spec.times or dtype == pl.Null:
                continue
            known, where = wanted.setdefault(name, (dtype, source))
            if known != dtype and known.is_numeric() and dtype.is_numeric():
                wanted[name] = (pl.Float64(), where)
            elif known != dtype:
                problems.append(f"column {name!r} holds {known} in {where} and {dtype} in {source}")
    if problems:
        raise DataError("; ".join(problems[:20]), hint="give the column one type in all files")
    return [
        rows.with_columns(
            pl.col(name).cast(wanted[name][0])
            for name, dtype in rows.schema.items()
            if name in wanted and (dtype == pl.Null or (name not in stored and dtype != wanted[name][0]))
        )
        for _, rows in frames
    ]
