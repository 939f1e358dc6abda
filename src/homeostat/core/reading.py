"""Files into frames: CSV, Parquet, JSON lines and JSON, with an error that names the file, the row and the way out."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import polars as pl

from homeostat.core.errors import DataError, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from homeostat.core.spec import TableSpec

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz")
"""How the names of files end that can be read, for training as for batch inference."""

NULLS = ("", "NA", "N/A", "null", "NULL", "None")
"""What stands for an unknown value in a CSV file. `NaN` does not: it is refused as a number that is none."""

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_MOSTLY = 0.9
"""A text column of which this share are numbers is a number column with something else in it."""


class Form(NamedTuple):
    """How to read a source's files.

    Attributes:
        separator: Between the columns of a CSV file.
        text: Columns that stay text even if they look like numbers.
        lines, rows: How many came before, where only a part of a file is read; messages count from the file's start.
    """

    separator: str = ","
    text: tuple[str, ...] = ()
    lines: int = 0
    rows: int = 0


def read_file(path: Path, spec: TableSpec, form: Form) -> pl.DataFrame:
    """The rows of one file.

    Args:
        path: A file whose name ends in .csv, .parquet, .jsonl, .ndjson or .json; all but Parquet may end in .gz too.
        spec: What its columns mean; used to recognise a wrong separator.
        form: How to read it.

    Returns:
        At least one row, in the file's own types (`core.rows.prepare` brings them to stored types).

    Raises:
        DataError: The file is unreadable, empty, torn, or not what its name says; names the file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}", hint="check that it is a file and its permissions"
        ) from error
    try:
        rows = decode(data, path.name, spec, form)
    except DataError as error:
        raise DataError(f"{path}: {error.what}", hint=error.hint) from error
    return rows


def decode(data: bytes, name: str, spec: TableSpec, form: Form) -> pl.DataFrame:
    """The rows in the bytes of a file of that name; see `read_file`."""
    name = name.lower()
    if name.endswith(".gz"):
        data, name = _inflate(data), name.removesuffix(".gz")
    if not data[:4_096].strip() and not data.strip():
        raise DataError("the file is empty", hint="delete it, or write a header and rows into it")
    rows = _parquet(data) if name.endswith(".parquet") else decode_text(data, name, spec, form)
    if not rows.height:
        raise DataError("the file has columns and no rows", hint="delete it, or write rows into it")
    return rows


def decode_text(data: bytes, name: str, spec: TableSpec, form: Form) -> pl.DataFrame:
    """The rows, perhaps none, in the text of a CSV or JSON file, or in a part of it that `form` places."""
    if name.endswith(".csv"):
        return _csv(data, spec, form)
    return _json(data, form, lines=not name.endswith(".json"))


def _inflate(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"the file is no whole gzip file: {error}", hint="copy it again") from error


def _parquet(data: bytes) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"the file is no readable Parquet file: {str(error)[:200]}", hint="copy or write it again"
        ) from error


def _csv(data: bytes, spec: TableSpec, form: Form) -> pl.DataFrame:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = form.lines + data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {line} holds the byte 0x{data[error.start]:02x}, so the file is not UTF-8 text",
            hint="convert it first, for example: iconv -f latin1 -t utf-8",
        ) from error
    if b"\0" in data:
        line = form.lines + data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(f"line {line} holds the byte 0x00, so the file is not text", hint="write it again as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    header = _header(data, spec, form.separator)
    _same_width(data, len(header), form)
    try:
        rows = pl.read_csv(data, separator=form.separator, null_values=list(NULLS), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"the file is no readable CSV: {str(error)[:200]}") from error
    rows = rows.filter(~pl.all_horizontal(pl.all().is_null()))
    as_text = {*form.text, *spec.times}
    return rows.with_columns(_number_or_text(series, form) for series in rows if series.name not in as_text)


def _header(data: bytes, spec: TableSpec, separator: str) -> list[str]:
    line = data.partition(b"\n")[0].decode()
    names = next(csv.reader([line.strip("\r")], delimiter=separator), [])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the header has {', '.join(map(repr, twice))} more than once", hint="give each column its own name"
        )
    for other, called in _SEPARATORS.items():
        found = next(csv.reader([line.strip("\r")], delimiter=other), [])
        if other != separator and len(found) > len(names) and set(spec.declared) - set(names) and spec.time in found:
            raise DataError(
                f"the columns are separated by {called}, not by {_SEPARATORS.get(separator, repr(separator))}",
                hint=f"FileSource(..., separator={other!r})",
            )
    return names


def _same_width(data: bytes, width: int, form: Form) -> None:
    """Refuse lines with more or fewer fields than the header; Polars would fill the shorter ones with nulls."""
    codes = np.frombuffer(data, dtype=np.uint8)
    quotes = np.flatnonzero(codes == ord('"'))

    def outside_quotes(code: int) -> NDArray[np.intp]:
        places = np.flatnonzero(codes == code)
        return places[np.searchsorted(quotes, places) % 2 == 0] if quotes.size else places

    ends = outside_quotes(ord("\n"))
    ends = ends if data.endswith(b"\n") else np.append(ends, codes.size)
    starts = np.concatenate([[0], ends[:-1] + 1])
    separators = outside_quotes(ord(form.separator))
    fields = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
    blank = (ends - starts == 0) | ((ends - starts == 1) & (codes[np.minimum(starts, codes.size - 1)] == ord("\r")))
    wrong = np.flatnonzero((fields != width) & ~blank)
    if wrong.size:
        line = wrong[0]
        text = data[starts[line] : ends[line]].decode().strip()
        raise DataError(
            f"line {form.lines + line + 1} has {fields[line]} fields where the header has {width} "
            f"({wrong.size:,} such lines): {shown(text)}",
            hint="quote fields that hold the separator, or complete the line if the file was cut off",
        )


def _json(data: bytes, form: Form, *, lines: bool) -> pl.DataFrame:
    try:
        if lines:
            return _all_unmixed(pl.read_ndjson(data, infer_schema_length=None), form)
        if not data.lstrip().startswith(b"["):
            raise DataError(
                "the file holds no array of objects", hint="write [{...}, {...}], or one object a line as .jsonl"
            )
        return _all_unmixed(pl.read_json(io.BytesIO(data), infer_schema_length=None), form)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _where_broken(data, str(error), form, lines=lines) from error


def _all_unmixed(rows: pl.DataFrame, form: Form) -> pl.DataFrame:
    """Polars reads numbers among which there is a text as text."""
    for series in rows:
        if series.dtype == pl.String and series.name not in form.text:
            _unmixed(series, series.cast(pl.Float64, strict=False), form)
    return rows


def _where_broken(data: bytes, said: str, form: Form, *, lines: bool) -> DataError:
    documents = data.splitlines() if lines else [data]
    for number, line in enumerate(documents, start=form.lines + 1):
        if not line.strip():
            continue
        place = f"line {number}" if lines else "the file"
        try:
            value = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            return DataError(f"{place} is no JSON: {error}", hint="complete or delete it")
        wrong = value if lines else next((one for one in value if not isinstance(one, dict)), {})
        if not isinstance(wrong, dict):
            return DataError(f"{place} holds {shown(wrong)} where an object should be", hint="write one object per row")
    return DataError(f"the rows do not share their types: {said[:200]}", hint="keep one type per column")


def _number_or_text(series: pl.Series, form: Form) -> pl.Series:
    """What a column of text holds: truth values, whole numbers, fractions, or text."""
    present = series.count()
    if not present:
        return pl.Series(series.name, [None] * series.len(), dtype=pl.Null)
    whole = series.cast(pl.Int64, strict=False)
    if whole.count() == present:
        return series if _coded(series) else whole
    fractions = series.cast(pl.Float64, strict=False)
    if fractions.count() < present:
        bare = series.str.strip_chars()
        if bare.n_unique() <= 3 and bare.drop_nulls().str.to_lowercase().is_in(["true", "false"]).all():
            return bare.str.to_lowercase() == "true"
        fractions = bare.cast(pl.Float64, strict=False)
    if fractions.count() < present:
        return _unmixed(series, fractions, form)
    return series if _coded(series) else fractions


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
    raise DataError(
        f"column {series.name!r} mixes numbers and text: row {form.rows + wrong[0] + 1} has {shown(series[wrong[0]])} "
        f"({len(wrong):,} of {series.len():,} rows)",
        hint=f"mend or empty those cells, or keep the column as text: FileSource(..., text=({series.name!r},))",
    )


def same_types(
    frames: Sequence[tuple[str, pl.DataFrame]], stored: dict[str, pl.DataType], spec: TableSpec
) -> list[pl.DataFrame]:
    """Bring frames that will share a table to common types: whole numbers beside fractions become fractions.

    Args:
        frames: Names and rows.
        stored: Types that the table has already; empty when it is new.
        spec: What the columns mean; times are left as they are.

    Returns:
        The frames in the same order.

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
