"""Where a stream's rows come from: a pipe, a file that grows, or files that arrive in a folder."""

from __future__ import annotations

import gzip
import os
import select
import zlib
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.ports import Taken, Unread
from homeostat.core.table.chunks import Chunks, Place
from homeostat.core.table.files import SUFFIXES
from homeostat.core.table.form import Form
from homeostat.core.table.rows import stored_form
from homeostat.core.text.read_json import quotes_of, refuse_twice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeostat.core.schema import Schema

BLOCK_BYTES = 1 << 20
LONGEST_LINE = 16 << 20
"""Bytes. What is longer is cut, so that no line can take all memory; its pieces are no rows and become dead letters."""

_HEAD_BYTES = 256
_SHOWN_BYTES = 100_000
"""Of a line that is no row: as much is kept."""


class InputSource:
    """Lines of JSON from a pipe. A pipe cannot be read again: what a crash had in hand is lost.

    Args:
        descriptor: An open file descriptor; standard input by default.
    """

    name = "-"

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._data = b""
        self._ended = False
        self._lines = 0

    def take(self, after: dict[str, Any], limit: int) -> Taken:
        """See `StreamSource.take`."""
        while not self._ended and len(self._data) < BLOCK_BYTES and select.select([self._descriptor], [], [], 0)[0]:
            more = os.read(self._descriptor, BLOCK_BYTES)
            self._ended = not more
            self._data += more
        lines, self._data = _cut(self._data, limit, ended=self._ended)
        taken = Taken({}, ended=self._ended and not self._data)
        for number, line in enumerate(lines, start=self._lines + 1):
            _add(taken, f"line {number}", line)
        self._lines += len(lines)
        return taken


class TailSource:
    """Lines of JSON from a file that grows, also when it is rotated: renamed or copied away, and begun anew.

    Rotated files are those beside it whose names begin with its own. One that is gone, or compressed, before it was
    read to its end is told as a loss.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).absolute()
        self.name = str(self._path)

    def take(self, after: dict[str, Any], limit: int) -> Taken:
        """See `StreamSource.take`."""
        files = self._files()
        if not files:
            return Taken(after)
        file, lost = self._current(files, after)
        number, offset = file.stat().st_ino, after.get("offset", 0) if lost is None else 0
        newer = [one for one in files[files.index(file) + 1 :] if one.stat().st_size]
        with file.open("rb") as opened:
            opened.seek(offset)
            # Nothing is appended any more once a newer file is there, so a last line without its end is whole.
            lines = _read_lines(opened, limit, closed=bool(newer))
            if not lines and newer:
                return Taken({"inode": newer[0].stat().st_ino}, lost=lost)
            taken = Taken({}, lost=lost)
            for line in lines:
                _add(taken, f"{self._path.name}/{number}/{offset}", line)
                offset += len(line)
            opened.seek(0)
            head = opened.read(min(_HEAD_BYTES, offset))
        taken.after = {"inode": number, "offset": offset, "head": zlib.crc32(head), "bytes": len(head)}
        return taken

    def _files(self) -> list[Path]:
        """The file and what was rotated away, oldest first."""
        beside = [
            one for one in self._path.parent.glob(f"{escape(self._path.name)}.*") if one.suffix not in {".gz", ".zst"}
        ]
        old = sorted((one for one in beside if one.is_file()), key=lambda one: one.stat().st_mtime_ns)
        return [*old, *([self._path] if self._path.is_file() else [])]

    def _current(self, files: list[Path], after: dict[str, Any]) -> tuple[Path, str | None]:
        """The file that a position is in: by its number on the disk, or, when it was copied, by how it begins."""
        if not after:
            return (self._path if self._path in files else files[-1]), None
        begun = [one for one in files if self._begins(one, after)]
        for one in begun:
            if one.stat().st_ino == after["inode"]:
                return one, None
        if begun and after.get("bytes"):
            return begun[0], None
        return files[-1], f"{self._path.name} was rotated away before it was read to its end"

    @staticmethod
    def _begins(file: Path, after: dict[str, Any]) -> bool:
        if file.stat().st_size < after.get("offset", 0):
            return False
        with file.open("rb") as opened:
            return bool(zlib.crc32(opened.read(after.get("bytes", 0))) == after.get("head", 0))


class FolderSource:
    """Files that arrive in a folder, oldest first: whatever batch inference reads, Delta tables excepted.

    A file has to be whole when it appears: write it under a hidden name, or one that ends in .tmp, and rename it. Each
    is read once, by its name, and may be moved away or deleted once it is read.

    Args:
        folder: The folder.
        schema: Of the model: text columns stay text even if they look like numbers.
        form: How files are written, as the training data's source declares it.

    Raises:
        NotFoundError: There is no such folder.
    """

    def __init__(self, folder: Path | str, schema: Schema, form: Form = Form()) -> None:  # noqa: B008 - immutable
        self._folder = Path(folder).absolute()
        if not self._folder.is_dir():
            raise NotFoundError(f"there is no folder {folder}", hint="create it, or give a file")
        self.name = str(self._folder)
        self._schema = schema
        self._form = form.with_text([one.name for one in schema.inputs if one.kind in {"category", "text"}])
        self._open: tuple[dict[str, Any], Iterator[tuple[Taken, Place]]] | None = None

    def take(self, after: dict[str, Any], limit: int) -> Taken:
        """See `StreamSource.take`."""
        there = self._files()
        done = [name for name in after.get("done", ()) if name in there]
        name = after.get("file") or next((one for one in there if one not in done), None)
        if name is None:
            return Taken(after)
        over = {"done": [*done, name]}
        try:
            taken, place = self._next(name, after, limit)
        except StopIteration:
            return Taken(over)
        except (DataError, NotFoundError, OSError, EOFError, zlib.error) as error:
            return Taken(over, unread=[Unread(name, "", " ".join(str(error).split()))])
        taken.after = {"done": done, "file": name, "place": msgspec.to_builtins(place)}
        assert self._open is not None
        self._open = (taken.after, self._open[1])
        return taken

    def _next(self, name: str, after: dict[str, Any], limit: int) -> tuple[Taken, Place]:
        """The next rows of a file; the reader stays open as long as the positions follow each other."""
        if self._open is None or self._open[0] != after:
            place = msgspec.convert(after.get("place", {}), Place)
            kind = name.lower().removesuffix(".gz")
            read = self._lines if kind.endswith((".jsonl", ".ndjson")) else self._rows
            self._open = (after, read(name, place, limit))
        return next(self._open[1])

    def _lines(self, name: str, place: Place, limit: int) -> Iterator[tuple[Taken, Place]]:
        path = self._folder / name
        with path.open("rb") as raw:
            opened = gzip.GzipFile(fileobj=raw) if name.lower().endswith(".gz") else raw
            opened.seek(place.offset)
            while lines := _read_lines(opened, limit, closed=True):
                taken = Taken({})
                for number, line in enumerate(lines, start=place.rows + 1):
                    _add(taken, f"{name}/{number}", line)
                taken.rows = [self._renamed(row) for row in taken.rows]
                place = Place(offset=place.offset + sum(map(len, lines)), rows=place.rows + len(lines))
                yield taken, place

    def _renamed(self, row: Any) -> Any:
        """A row with the names that the training data's source declares."""
        new = dict(self._form.rename)
        return {new.get(key, key): value for key, value in row.items()} if new and isinstance(row, dict) else row

    def _rows(self, name: str, place: Place, limit: int) -> Iterator[tuple[Taken, Place]]:
        chunks = Chunks(self._folder / name, self._schema.as_read, self._form, size=limit, block_bytes=BLOCK_BYTES)
        for chunk in chunks.read(place):
            times = {column.name: column.form for column in self._schema.columns if column.kind == "time"}
            rows, _ = stored_form(chunk.rows, times)
            first = chunk.after.rows - rows.height + 1
            names = [f"{name}/{number}" for number in range(first, first + rows.height)]
            finite = all(series.drop_nulls().is_finite().all() for series in rows if series.dtype.is_float())
            yield Taken({}, rows.to_dicts(), names, finite=finite), chunk.after

    def _files(self) -> list[str]:
        whole = [
            one
            for one in self._folder.iterdir()
            if one.is_file() and one.name[0] != "." and one.name.lower().endswith(SUFFIXES)
        ]
        return [one.name for one in sorted(whole, key=lambda one: (one.stat().st_mtime_ns, one.name))]


def _add(taken: Taken, name: str, line: bytes) -> None:
    """Take a line of JSON; blank ones are none."""
    if not line.strip():
        return
    try:
        row = msgspec.json.decode(line)
        if line.count(b'"') != quotes_of(row):
            refuse_twice(line)
    except DataError as error:
        taken.unread.append(Unread(name, _shown(line), error.what))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        taken.unread.append(Unread(name, _shown(line), f"is no JSON: {error}"))
    else:
        taken.rows.append(row)
        taken.names.append(name)


def _shown(line: bytes) -> str:
    return line[:_SHOWN_BYTES].decode(errors="replace").rstrip("\n") + "…" * (len(line) > _SHOWN_BYTES)


def _read_lines(opened: Any, limit: int, *, closed: bool) -> list[bytes]:
    """Whole lines with their ends, at most `limit` and about a megabyte; `closed` if the last one may lack its end."""
    lines: list[bytes] = []
    size = 0
    while len(lines) < limit and size < BLOCK_BYTES and (line := opened.readline(LONGEST_LINE)):
        if line[-1:] != b"\n" and len(line) < LONGEST_LINE and not closed:
            break
        lines.append(line)
        size += len(line)
    return lines


def _cut(data: bytes, limit: int, *, ended: bool) -> tuple[list[bytes], bytes]:
    """Up to `limit` whole lines, with their ends, and what is left."""
    lines: list[bytes] = []
    start = 0
    while len(lines) < limit and start < len(data):
        end = data.find(b"\n", start) + 1
        if not end:
            if not ended and len(data) - start < LONGEST_LINE:
                break
            end = len(data)
        lines.append(data[start:end])
        start = end
    return lines, data[start:]
