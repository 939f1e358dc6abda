"""CSV files: their bytes, their header, lines of equal width, and columns without a name."""

from __future__ import annotations

import codecs
import csv
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from homeostat.core.errors import DataError, shown
from homeostat.core.guarded import LONGEST_LINE, MOST_COLUMNS, refusing
from homeostat.core.table.column_names import renamed
from homeostat.core.table.files.cells import values_of
from homeostat.core.table.form import UNNAMED, Form

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from homeostat.core.table.spec import TableSpec

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_SIGNATURES = {
    b"\x1f\x8b": "packed by gzip",
    b"PK\x03\x04": "a zip archive, such as an .xlsx workbook",
    b"\xd0\xcf\x11\xe0": "an .xls workbook",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"SQLite format 3\0": "an SQLite database",
    b"PAR1\x15": "Parquet",
}
"""How files begin that are no text, whatever their names say."""
_TELLS = re.compile(rb'^"?sep=[^\r\n]"?[\r\n]*$', re.IGNORECASE)
_HEAD = 1_000
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def encoding_of(head: bytes, declared: str) -> str:
    """The encoding of a text file: UTF-16 where it begins by saying so, else the declared one."""
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), declared)


def as_utf8(data: bytes, form: Form, tell: Callable[[str], None]) -> bytes:
    """Text in UTF-8, without a byte order mark.

    Raises:
        DataError: It is not in the declared encoding, or holds the byte 0.
    """
    for signature, called in _SIGNATURES.items():
        if data.startswith(signature):
            raise DataError(
                f"the file is {called}, not text", hint="give it the ending that it should have, or export it"
            )
    encoding = encoding_of(data[:2], form.encoding)
    if encoding != form.encoding:
        tell("the file is UTF-16, as its first bytes say, and was read so")
    _refuse_zero_bytes(data[:_HEAD], encoding, form)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = form.lines + data.count(b"\n", 0, error.start) + 1
        other = "cp1252" if encoding.replace("-", "").lower() == "utf8" else "utf-8"
        raise DataError(
            f"line {line} holds the byte 0x{data[error.start]:02x}, so the file is not "
            f"{'UTF-8' if other == 'cp1252' else encoding} text",
            hint=f"FileSource(..., encoding={other!r}), or convert it first: iconv -f latin1 -t utf-8",
        ) from error
    except UnicodeError as error:
        raise DataError(f"the file is not {encoding} text: {error}", hint="FileSource(..., encoding=...)") from error
    if codecs.lookup(encoding).name != "utf-8":
        data = text.encode(errors="strict")
    _refuse_zero_bytes(data, "utf-8", form)
    return data.removeprefix(codecs.BOM_UTF8)


def _refuse_zero_bytes(data: bytes, encoding: str, form: Form) -> None:
    """Refuse what no text of one byte a letter holds; beside every other letter, it is text of two or four bytes."""
    at = data.find(b"\0")
    if at < 0 or encoding.replace("-", "").lower().startswith(("utf16", "utf32")):
        return
    width = 4 if data[:_HEAD].count(b"\0\0\0") > len(data[:_HEAD]) // 8 else 2
    likely = f"utf-{8 * width}-{'be' if at == 0 else 'le'}"
    line = form.lines + data.count(b"\n", 0, at) + 1
    raise DataError(
        f"line {line} holds the byte 0x00, so the file is not text in {encoding}",
        hint=f"write it again as UTF-8, or say what it is: FileSource(..., encoding={likely!r})",
    )


def refuse_endless_lines(data: bytes) -> None:
    """Refuse lines that no table has, before anything is made of them."""
    start = 0
    while len(data) - start > LONGEST_LINE:
        end = data.rfind(b"\n", start, start + LONGEST_LINE)
        if end < 0:
            raise DataError("a line is longer than 256 MB", hint="is a quote left open?")
        start = end + 1


def is_no_header(line: bytes) -> bool:
    """Whether a line may stand before the header: a blank one, or what Excel is told the separator with."""
    return not line.strip() or bool(_TELLS.match(line))


def header_end(data: bytes) -> int:
    """Where the header ends: behind a line end that no quoted name holds."""
    end, quotes = 0, 0
    while end < len(data):
        after = data.find(b"\n", end) + 1 or len(data)
        quotes += data.count(b'"', end, after)
        end = after
        if quotes % 2 == 0:
            break
    return end


def read_csv(data: bytes, spec: TableSpec, form: Form, tell: Callable[[str], None]) -> pl.DataFrame:
    """The rows, perhaps none, of a CSV file in UTF-8 or of a part of it behind its header."""
    refuse_endless_lines(data)
    bare = data
    while bare and is_no_header(line := bare[: bare.find(b"\n") + 1 or len(bare)]):
        bare = bare[len(line) :]
    form = form._replace(lines=form.lines + data.count(b"\n", 0, len(data) - len(bare)))
    if b"\n" not in bare and b"\r" in bare.strip():
        raise DataError("the lines end with a carriage return alone", hint="convert it first: tr '\\r' '\\n'")
    end = header_end(bare)
    if bare.count(b'"', 0, end) % 2:
        raise DataError("a quote in the header is never closed", hint='close it, or write it twice: ""')
    names = _header(bare[:end].decode(), spec, form.separator)
    _same_width(bare, len(names), form)
    columns = renamed(names, form, unnamed=True)
    if not bare[end:].strip():
        return pl.DataFrame(schema=dict.fromkeys((name for name in columns if name != UNNAMED), pl.String))
    places = [f"{number}" for number in range(len(columns))]
    with refusing("the CSV text"):
        rows = pl.read_csv(
            bare[end:],
            separator=form.separator,
            has_header=False,
            schema=dict.fromkeys(places, pl.String),
            null_values=[""],
        )
    rows = rows.filter(~pl.all_horizontal(pl.all().is_null()))
    taken = [
        (place, name)
        for place, name in zip(places, columns, strict=True)
        if name != UNNAMED or not _leaves_out(rows[place], int(place), form, tell)
    ]
    return pl.DataFrame([values_of(rows[place].alias(name), form, is_time=name in spec.times) for place, name in taken])


def _leaves_out(series: pl.Series, place: int, form: Form, tell: Callable[[str], None]) -> bool:
    """Whether a column without a name can be left out: it is empty, or only counts the rows; refused otherwise."""
    if UNNAMED in form.ignore:
        return True
    if not series.count():
        tell(f"column {place + 1} has no name and no values, and was left out")
        return True
    counted = series.cast(pl.Int64, strict=False)
    from_zero = counted - form.rows - pl.Series(np.arange(series.len()))
    if not counted.null_count() and bool(from_zero.is_in([0, 1]).all()) and from_zero.n_unique() == 1:
        tell(f"column {place + 1} has no name and only counts the rows, and was left out")
        return True
    first = series.is_not_null().arg_true()[0]
    raise DataError(
        f"column {place + 1} has no name; row {form.rows + first + 1} has {shown(series[first])}",
        hint="name it in the file or with rename={'': NAME}, or leave it out with ignore=['']",
    )


def _header(text: str, spec: TableSpec, separator: str) -> list[str]:
    names = _cells(text, separator)
    if len(names) > MOST_COLUMNS:
        raise DataError(f"the header has {len(names):,} columns; {MOST_COLUMNS:,} are the most", hint="is it a table?")
    for other, called in _SEPARATORS.items():
        found = _cells(text, other)
        if other != separator and len(found) > len(names) and set(spec.declared) - set(names) and spec.time in found:
            raise DataError(
                f"the columns are separated by {called}, not by {_SEPARATORS.get(separator, repr(separator))}",
                hint=f"FileSource(..., separator={other!r})",
            )
    return names


def _cells(text: str, separator: str) -> list[str]:
    """Names of a header; blanks and line ends within are one blank, and those around it none."""
    previous = csv.field_size_limit(LONGEST_LINE)
    try:
        cells: Sequence[Any] = next(csv.reader(io.StringIO(text.rstrip("\r\n"), newline=""), delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"the header cannot be read: {error}", hint="is a quote left open?") from error
    finally:
        csv.field_size_limit(previous)
    return [" ".join(cell.split()) for cell in cells]


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
        row = wrong[0]
        text = data[starts[row] : ends[row]].decode().strip()
        line = data.count(b"\n", 0, int(starts[row])) + 1
        header = data[: header_end(data)].decode()
        other = next((mark for mark in _SEPARATORS if mark != form.separator and mark in header), None)
        if width == 1 and other:
            hint = f"is it separated by {_SEPARATORS[other]}? FileSource(..., separator={other!r})"
        else:
            hint = "quote fields that hold the separator, or complete the line if the file was cut off"
        raise DataError(
            f"line {form.lines + line} has {fields[row]} fields where the header has {width} "
            f"({wrong.size:,} such lines): {shown(text)}",
            hint=hint,
        )
