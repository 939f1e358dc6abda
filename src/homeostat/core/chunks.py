"""Tables that may be larger than memory, chunk by chunk, from any place on.

Parquet files and Delta tables are read in slices of rows. Text files are cut into blocks of whole lines, and each block
is read by the same code as a whole file is for training, so that a code like 007 stays one. Only a .json file, which is
one array, is read at once.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import polars as pl

from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.reading import SUFFIXES, Form, decode_text, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from homeostat.core.spec import TableSpec

BLOCK_BYTES = 8 << 20
_LONGEST_LINE = 256 << 20
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
        after: The place behind them.
        where: How a message calls them; empty when they are the whole table.
        rest: Rows that are still to come; for text files estimated from the bytes.
        ragged: Whether a column that is null in all of these rows may be absent, as in lines of JSON.
    """

    rows: pl.DataFrame
    after: Place
    where: str
    rest: int
    ragged: bool


class Part(Protocol):
    """One file, Delta table or frame."""

    name: str
    ragged: bool

    def read(self, after: Place) -> Iterator[tuple[pl.DataFrame, Place]]:
        """Its rows behind a place, chunk by chunk."""
        ...

    def rows(self, now: Place) -> int:
        """How many rows it has; estimated when that is not known before the end."""
        ...


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
        self._parts: list[Part]
        if isinstance(source, pl.DataFrame):
            self._parts = [_Slices("the table", source.lazy(), size)]
            return
        several = isinstance(source, (list, tuple))
        paths = [path for one in (source if several else [source]) for path in _paths(one)]
        self._parts = [_part(path, spec, form, size, block_bytes) for path in paths]
        self.fingerprint = hashlib.sha256(msgspec.json.encode([_state(path) for path in paths])).hexdigest()

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


class _Slices:
    """A lazy table."""

    ragged = False

    def __init__(self, name: str, frame: pl.LazyFrame, size: int) -> None:
        self.name, self._frame, self._size = name, frame, size
        with _told(name):
            self._height = int(frame.select(pl.len()).collect().item())

    def rows(self, now: Place) -> int:
        return self._height

    def read(self, after: Place) -> Iterator[tuple[pl.DataFrame, Place]]:
        for start in range(after.offset, self._height, self._size):
            with _told(self.name, f"rows {start + 1:,} and on of "):
                rows = self._frame.slice(start, self._size).collect()
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
        size = max(1, self._path.stat().st_size)
        with _told(self.name), self._path.open("rb") as raw:
            file = gzip.GzipFile(fileobj=raw) if self._path.name.lower().endswith(".gz") else raw
            header = file.readline(_LONGEST_LINE) if self._quoted else b""
            file.seek(after.offset)
            place, rest = after, b""
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
                raise DataError("the file has no rows", hint="delete it, or write rows into it")

    def _block(self, file: Any, rest: bytes) -> tuple[bytes, bytes, bool]:
        """The next whole lines, the bytes behind them, and whether that was the end."""
        data, size = rest, self._block_bytes
        while size <= _LONGEST_LINE + self._block_bytes:
            data += file.read(max(0, size - len(data)))
            if len(data) < size:
                return data, b"", True
            end = self._end(data[:size])
            if end:
                return data[:end], data[end:], False
            size += self._block_bytes
        raise DataError("a line is longer than 256 MB", hint="is a quote left open?")

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
        lines = place.lines - bool(header)
        form = self._form._replace(lines=lines, rows=place.rows)
        try:
            return decode_text(header + data, self._plain, self._spec, form)
        except DataError as error:
            raise DataError(f"{self._path}: {error.what}", hint=error.hint) from error


@contextmanager
def _told(name: str, place: str = "") -> Iterator[None]:
    """Reading errors as one clear error that names the table."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        said = str(error).partition("\n")[0][:300]
        raise DataError(f"{place or 'the table '}{name} cannot be read: {said}", hint="is it complete?") from error


def _paths(given: Path | str) -> list[Path]:
    path = Path(given)
    if path.is_dir() and not (path / "_delta_log").is_dir():
        found = sorted(one for one in path.iterdir() if one.is_file() and one.name.lower().endswith(SUFFIXES))
        if not found:
            raise NotFoundError(
                f"the folder {path} holds no table", hint=f"give a folder of {', '.join(SUFFIXES)} files"
            )
        return found
    if path.exists():
        return [path]
    root = Path(path.anchor)
    found = sorted(root.glob(str(path.relative_to(root)))) if set("*?[") & set(str(path)) else []
    if not found:
        raise NotFoundError(f"there is no table {path}", hint="check the path")
    return found


def _part(path: Path, spec: TableSpec, form: Form, size: int, block_bytes: int) -> Part:
    name = path.name.lower()
    if path.is_dir():
        with _told(path.name):
            frame = pl.scan_delta(str(path))
        return _Slices(path.name, frame, size)
    if not name.endswith(SUFFIXES):
        hint = f"give a {', '.join(SUFFIXES)} file, or a Delta table"
        raise DataError(f"{path.name} is no table that can be read", hint=hint)
    if name.endswith(".parquet"):
        return _Slices(path.name, pl.scan_parquet(path), size)
    if name.removesuffix(".gz").endswith(_TEXT):
        return _Lines(path, spec, form, block_bytes)
    return _Whole(path, spec, form)


def _state(path: Path) -> Sequence[Any]:
    """What tells that a file is the one that was read before."""
    if path.is_dir():
        from homeostat.core.delta import open_table

        return (str(path.resolve()), open_table(path).version())
    status = path.stat()
    return (str(path.resolve()), status.st_size, status.st_mtime_ns)
