"""Tables that may be larger than memory, chunk by chunk, from any place on.

Parquet files and Delta tables are read in slices of rows. Text files are cut into blocks of whole lines, and each block
is read by the same code as a whole file is for training, so that a code like 007 stays one. Only a .json file, which is
one array, is read at once.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec
import polars as pl

from homeostat.core.errors import DataError
from homeostat.core.guarded import LONGEST_LINE, refusing, without_panic_messages
from homeostat.core.table.files import SUFFIXES, as_declared, decode_text, in_folders, read_file
from homeostat.core.table.files.footers import refuse_parquet_bomb
from homeostat.core.table.files.texts import as_utf8, encoding_of, is_no_header
from homeostat.core.table.paths import Found, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from homeostat.core.table.form import Form
    from homeostat.core.table.spec import TableSpec

T = TypeVar("T")
BLOCK_BYTES = 8 << 20
_TEXT = (".csv", ".jsonl", ".ndjson")


class Place(msgspec.Struct, frozen=True):
    """How far a table has been read.

    Attributes:
        part: Number of the file, from 0.
        offset: Bytes of a text file (uncompressed) that were read, or rows of another.
        lines, rows: Of that file, before the place.
    """

    part: int = 0
    offset: int = 0
    lines: int = 0
    rows: int = 0


class Chunk(NamedTuple):
    """Some rows of a table.

    Attributes:
        rows: At least one, in the file's own types.
        where: How a message calls them; empty when they are the whole table.
        rest: Rows that are still to come; for text files estimated from the bytes.
        ragged: Whether a column that is null in all of these rows may be absent, as in lines of JSON.
    """

    rows: pl.DataFrame
    after: Place
    where: str
    rest: int
    ragged: bool


class TablePart(Protocol):
    """One file, Delta table or frame."""

    name: str
    ragged: bool

    def read(self, after: Place) -> Iterator[tuple[pl.DataFrame, Place]]:
        """Its rows behind a place, chunk by chunk."""

    def rows(self, now: Place) -> int:
        """How many rows it has; estimated when that is not known before the end."""


class Chunks:
    """A table, in chunks.

    Args:
        source: A DataFrame; a file, a Delta table's folder, a folder of files, or a pattern with `*`; or several paths.
        spec: What the columns mean.
        form: How text files are read.
        size: Rows of a chunk; text files are cut by bytes instead.
        block_bytes: Bytes of text that are read at a time.

    Attributes:
        fingerprint: Of the files' names, sizes and times of change, and the Delta tables' versions; None for a frame.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is no table.
    """

    def __init__(self, source: Any, spec: TableSpec, form: Form, *, size: int, block_bytes: int = BLOCK_BYTES) -> None:
        self.fingerprint: str | None = None
        self._parts: list[TablePart]
        if isinstance(source, pl.DataFrame):
            self._parts = [_Slices("the table", source.lazy(), size, form)]
            return
        patterns = [str(one) for one in (source if isinstance(source, (list, tuple)) else [source])]
        found = [
            one for pattern in patterns for one in find(pattern, SUFFIXES, partitions=form.partitions, tables=True)
        ]
        self._parts = [_InFolders(_part(one.path, spec, form, size, block_bytes), one, form) for one in found]
        state = [_state(one.path) for one in found]
        self.fingerprint = hashlib.sha256(msgspec.json.encode(state)).hexdigest()

    def read(self, after: Place = Place()) -> Iterator[Chunk]:  # noqa: B008 - immutable
        """The rows behind a place.

        Raises:
            DataError: A file cannot be read; names it and the line.
        """
        many = len(self._parts) > 1
        for number, part in enumerate(self._parts[after.part :], start=after.part):
            place = after if number == after.part else Place(part=number)
            later = sum(other.rows(Place()) for other in self._parts[number + 1 :])
            for rows, behind in part.read(place):
                here, first = part.rows(behind), behind.rows - rows.height + 1
                where = f"{part.name}: " if many else ""
                if first > 1 or here > rows.height:
                    where += f"rows {first:,} to {behind.rows:,}: "
                after = msgspec.structs.replace(behind, part=number)
                yield Chunk(rows, after, where, here - behind.rows + later, part.ragged)


class _InFolders:
    """A file with the columns that its folders tell."""

    def __init__(self, part: TablePart, found: Found, form: Form) -> None:
        self.name, self.ragged, self._part, self._found, self._form = part.name, part.ragged, part, found, form

    def rows(self, now: Place) -> int:
        return self._part.rows(now)

    def read(self, after: Place) -> Iterator[tuple[pl.DataFrame, Place]]:
        for rows, place in self._part.read(after):
            yield in_folders(rows, self._found.folders, self._form), place


class _Slices:
    """A lazy table."""

    ragged = False

    def __init__(self, name: str, frame: pl.LazyFrame, size: int, form: Form) -> None:
        self.name, self._frame, self._size, self._form = name, frame, size, form
        with _told(name), without_panic_messages():
            self._height = int(frame.select(pl.len()).collect().item())

    def rows(self, now: Place) -> int:
        return self._height

    def read(self, after: Place) -> Iterator[tuple[pl.DataFrame, Place]]:
        for start in range(after.offset, self._height, self._size):
            with _told(self.name, f"rows {start + 1:,} and on of "), without_panic_messages():
                rows = self._frame.slice(start, self._size).collect()
            rows = _named(self.name, as_declared, rows, self._form)
            yield rows, Place(offset=start + rows.height, rows=start + rows.height)


class _Whole:
    """A file that can only be read at once."""

    def __init__(self, path: Path, spec: TableSpec, form: Form) -> None:
        self.name, self._path, self._spec, self._form = path.name, path, spec, form
        self.ragged = False

    def rows(self, now: Place) -> int:
        return now.rows

    def read(self, after: Place) -> Iterator[tuple[pl.DataFrame, Place]]:
        if not after.rows:
            rows = read_file(self._path, self._spec, self._form)
            yield rows, Place(offset=self._path.stat().st_size, rows=rows.height)


class _Lines:
    """A text file with one row per line (in CSV, a quoted field may hold line ends)."""

    def __init__(self, path: Path, spec: TableSpec, form: Form, block_bytes: int) -> None:
        self.name, self._path, self._spec, self._form = path.name, path, spec, form
        self._block_bytes = block_bytes
        self._plain = path.name.lower().removesuffix(".gz")
        self._quoted = self._plain.endswith(".csv")
        self.ragged = not self._quoted
        self._share = 0.0
        """How much of the file was read."""

    def rows(self, now: Place) -> int:
        """Exact once the file was read to its end."""
        return now.rows if not self._share or self._share >= 1 else max(now.rows, round(now.rows / self._share))

    def read(self, after: Place) -> Iterator[tuple[pl.DataFrame, Place]]:
        with _told(self.name), self._path.open("rb") as raw:
            size = max(1, self._path.stat().st_size)
            file = self._opened(raw)
            top, header = self._header(file) if self._quoted else (b"", b"")
            place, rest = after, top
            if after.offset:
                rest = b""
                _skip(file, after.offset - len(top))
            ended = False
            while not ended:
                data, rest, ended = self._block(file, rest)
                self._share = 1.0 if ended else min(0.999, raw.tell() / size)
                rows = self._decoded(data, header if place.offset else b"", place)
                place = Place(
                    offset=place.offset + len(data),
                    lines=place.lines + data.count(b"\n"),
                    rows=place.rows + rows.height,
                )
                if rows.height:
                    yield rows, place
            if not place.rows:
                raise DataError(f"{self._path}: the file has no rows", hint="delete it, or write rows into it")

    def _opened(self, raw: IO[bytes]) -> IO[bytes]:
        """The file's text in UTF-8, whatever it is packed and written in."""
        file: Any = gzip.GzipFile(fileobj=raw) if self._path.name.lower().endswith(".gz") else raw
        encoding = encoding_of(file.read(2), self._form.encoding)
        file.seek(0)
        return file if codecs.lookup(encoding).name == "utf-8" else io.BufferedReader(_Recoded(file, encoding))

    @staticmethod
    def _header(file: IO[bytes]) -> tuple[bytes, bytes]:
        """What the file begins with up to the end of its header, and the header, which may have several lines."""
        top = line = file.readline(LONGEST_LINE)
        while line and is_no_header(line.removeprefix(codecs.BOM_UTF8)):
            line = file.readline(LONGEST_LINE)
            top += line
        header = line
        while line and header.count(b'"') % 2 and len(header) < LONGEST_LINE:
            line = file.readline(LONGEST_LINE)
            top, header = top + line, header + line
        return top, header

    def _block(self, file: Any, rest: bytes) -> tuple[bytes, bytes, bool]:
        """The next whole lines, the bytes behind them, and whether that was the end."""
        data, size = rest, self._block_bytes
        while size <= LONGEST_LINE + self._block_bytes:
            data += file.read(max(0, size - len(data)))
            if len(data) < size:
                return data, b"", True
            end = self._end(data[:size])
            if end:
                return data[:end], data[end:], False
            size += self._block_bytes
        raise DataError(f"{self._path}: a line is longer than 256 MB", hint="is a quote left open?")

    def _end(self, data: bytes) -> int:
        """Where the last whole line ends: behind a line end that no quoted field holds."""
        end = data.rfind(b"\n")
        if self._quoted:
            quotes = data.count(b'"', 0, end + 1)
            while end >= 0 and quotes % 2:
                before = data.rfind(b"\n", 0, end)
                quotes -= data.count(b'"', before + 1, end + 1)
                end = before
        return end + 1

    def _decoded(self, data: bytes, header: bytes, place: Place) -> pl.DataFrame:
        if not data.strip():
            return pl.DataFrame()
        form = self._form._replace(lines=place.lines - header.count(b"\n"), rows=place.rows, encoding="utf-8")
        try:
            return decode_text(as_utf8(header + data, form, _silent), self._plain, self._spec, form)
        except DataError as error:
            raise DataError(f"{self._path}: {error.what}", hint=error.hint) from error


class _Recoded(io.RawIOBase):
    """A text file in another encoding, as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file, self._decoder, self._ready = file, codecs.getincrementaldecoder(encoding)(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = b"."
        while not self._ready and block:
            block = self._file.read(1 << 20)
            self._ready = self._decoder.decode(block, final=not block).encode()
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def _skip(file: IO[bytes], size: int) -> None:
    if file.seekable():
        file.seek(size, io.SEEK_CUR)
        return
    while size > 0 and (block := file.read(min(size, 1 << 20))):
        size -= len(block)


def _named(name: str, function: Callable[..., T], *arguments: Any) -> T:
    """What a function gives, or its refusal with the name of the table."""
    try:
        return function(*arguments)
    except DataError as error:
        raise DataError(f"{name}: {error.what}", hint=error.hint) from error


def _silent(_: str) -> None:
    return None


@contextmanager
def _told(name: str, place: str = "") -> Iterator[None]:
    """Reading errors as one clear error that names the table."""
    with refusing(f"{place or 'the table '}{name}", hint="is it complete?"):
        yield


def _part(path: Path, spec: TableSpec, form: Form, size: int, block_bytes: int) -> TablePart:
    name = path.name.lower()
    if path.is_dir():
        from homeostat.core.table.delta import scan_table

        with _told(path.name):
            frame = scan_table(path)
        return _Slices(path.name, frame, size, form)
    if name.endswith(".parquet"):
        with _told(path.name), path.open("rb") as file:
            _named(path.name, refuse_parquet_bomb, file)
        return _Slices(path.name, pl.scan_parquet(path, glob=False), size, form)
    if name.removesuffix(".gz").endswith(_TEXT):
        return _Lines(path, spec, form, block_bytes)
    return _Whole(path, spec, form)


def _state(path: Path) -> Sequence[Any]:
    """What tells that a file is the one that was read before."""
    if path.is_dir():
        from homeostat.core.table.delta import open_table

        return (str(path.resolve()), open_table(path).version())
    with _told(path.name):
        status = path.stat()
    return (str(path.resolve()), status.st_size, status.st_mtime_ns)
