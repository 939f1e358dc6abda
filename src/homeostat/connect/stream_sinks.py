"""Where a stream's answers go: standard output, a file of JSON lines, or a folder of Parquet files.

The sinks that write files keep the source's position beside the output, in one small file that is renamed into place
when output and dead letters are on the disk. What is there without its position is undone at the next start: nothing is
missing, and nothing is there twice.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core.errors import ConflictError, DataError, StoreError
from homeostat.core.files import lock, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from homeostat.core.ports import DeadRow, RowAnswer

FORMAT = 1


class OutputSink:
    """JSON lines on standard output, dead letters on standard error. It keeps no position: a restart says all again."""

    def begin(self, source: str) -> dict[str, Any]:
        """See `StreamSink.begin`."""
        return {}

    def write(self, answers: Sequence[RowAnswer], dead: Sequence[DeadRow], after: dict[str, Any]) -> None:
        """See `StreamSink.write`."""
        for stream, items in ((sys.stdout, answers), (sys.stderr, dead)):
            stream.write(_lines(items).decode())
            stream.flush()

    def close(self) -> None:
        """See `StreamSink.close`."""


class _Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink holds: `parts` files or `size` bytes of answers, `dead` bytes of dead letters, and up to where."""

    format: int = FORMAT
    source: str
    after: dict[str, Any] = {}
    size: int = 0
    parts: int = 0
    dead: int = 0


class _FileSink:
    """What the two sinks that write files have in common: dead letters, the position, and one writer at a time."""

    def __init__(self, path: Path, position: Path, dead: Path | str | None) -> None:
        self._path, self._position = path, position
        self._dead_path = Path(dead) if dead is not None else path.with_name(f"{path.stem}.dead.jsonl")
        self._descriptors: list[int] = []
        self._state = _Committed(source="")

    def _open(self, source: str, **found: int) -> None:
        """Take up the position, or keep the first one, so that a crash before any answer leaves one too.

        Args:
            source: The source's name.
            found: What the output holds already, where there is no position yet.
        """
        self._dead_path.parent.mkdir(parents=True, exist_ok=True)
        self._dead = self._opened(self._dead_path)
        self._state = self._committed(source, found)
        os.ftruncate(self._dead, self._state.dead)
        self._commit((), self._state.after)

    def _opened(self, path: Path) -> int:
        """The file, for this process alone."""
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._descriptors.append(descriptor)
        if not lock(descriptor):
            raise ConflictError(f"another process writes {path} now", hint="end it, or choose another output")
        return descriptor

    def _committed(self, source: str, found: dict[str, int]) -> _Committed:
        try:
            kept = msgspec.json.decode(self._position.read_bytes(), type=_Committed)
        except FileNotFoundError:
            return msgspec.structs.replace(_Committed(source=source, dead=os.fstat(self._dead).st_size), **found)
        except msgspec.MsgspecError as error:
            raise StoreError(f"{self._position} holds no position: {error}", hint="choose another output") from error
        if kept.format > FORMAT:
            raise StoreError(f"{self._position} is of a newer Homeostat", hint="upgrade homeostat")
        if kept.source != source:
            raise DataError(f"{self._path} holds the answers to {kept.source}", hint="choose another output")
        return kept

    def _commit(self, dead: Sequence[DeadRow], after: dict[str, Any], **more: int) -> None:
        if dead:
            _append(self._dead, _lines(dead))
        size = os.fstat(self._dead).st_size
        state = msgspec.structs.replace(self._state, after=after, dead=size, **more)
        write_whole(self._position, msgspec.json.encode(state))
        self._state = state

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What the disk says, as one clear error."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            hint = "mend that; the same command goes on where this one stopped"
            raise StoreError(f"{self._path} cannot be written: {reason}", hint=hint) from error

    def close(self) -> None:
        """See `StreamSink.close`."""
        while self._descriptors:
            os.close(self._descriptors.pop())


class JsonLinesSink(_FileSink):
    """A file that answers are appended to, one JSON object a line.

    Args:
        path: The file.
        dead: The file of dead letters; by default `NAME.dead.jsonl` beside it.
    """

    def __init__(self, path: Path | str, *, dead: Path | str | None = None) -> None:
        file = Path(path)
        super().__init__(file, file.with_name(f".{file.name}.position"), dead)

    def begin(self, source: str) -> dict[str, Any]:
        """See `StreamSink.begin`."""
        with self._telling():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._opened(self._path)
            self._open(source, size=os.fstat(self._file).st_size)
            size = os.fstat(self._file).st_size
            if size < self._state.size:
                what = f"{self._path} is shorter than it was: {size:,} bytes, and {self._state.size:,} were written"
                raise StoreError(what, hint="restore it, or choose another output")
            os.ftruncate(self._file, self._state.size)
        return self._state.after

    def write(self, answers: Sequence[RowAnswer], dead: Sequence[DeadRow], after: dict[str, Any]) -> None:
        """See `StreamSink.write`."""
        with self._telling():
            if answers:
                _append(self._file, _lines(answers))
            self._commit(dead, after, size=os.fstat(self._file).st_size)


class ParquetSink(_FileSink):
    """A folder of Parquet files, one for each batch of answers: id, value, version, and `score` or `score_<class>`.

    A file has its name only once its position is kept; until then it is hidden.

    Args:
        folder: The folder; created when absent.
        dead: The file of dead letters; by default `NAME.dead.jsonl` beside the folder.
    """

    def __init__(self, folder: Path | str, *, dead: Path | str | None = None) -> None:
        path = Path(folder)
        super().__init__(path, path / ".position", dead)

    def begin(self, source: str) -> dict[str, Any]:
        """See `StreamSink.begin`."""
        with self._telling():
            self._path.mkdir(parents=True, exist_ok=True)
            self._open(source, parts=max(map(_number, self._path.glob("part-*.parquet")), default=0))
            for hidden in self._path.glob(".part-*.parquet"):
                if _number(hidden) <= self._state.parts:
                    hidden.replace(hidden.with_name(hidden.name[1:]))
                else:
                    hidden.unlink()
        return self._state.after

    def write(self, answers: Sequence[RowAnswer], dead: Sequence[DeadRow], after: dict[str, Any]) -> None:
        """See `StreamSink.write`."""
        with self._telling():
            if not answers:
                self._commit(dead, after)
                return
            number = self._state.parts + 1
            hidden = self._path / f".part-{number:08d}.parquet"
            write_whole(hidden, _table(answers).write_parquet, private=False)
            self._commit(dead, after, parts=number)
            hidden.replace(hidden.with_name(hidden.name[1:]))


def _number(part: Path) -> int:
    return int(part.stem.rpartition("-")[2])


def _append(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _lines(items: Sequence[Any]) -> bytes:
    return b"".join(msgspec.json.encode(item) + b"\n" for item in items)


def _table(answers: Sequence[RowAnswer]) -> Any:
    import polars as pl

    columns: dict[str, list[Any]] = {
        "id": [one.id for one in answers],
        "value": [one.value for one in answers],
        "version": [one.version for one in answers],
    }
    first = answers[0]
    if first.score is not None:
        columns["score"] = [one.score for one in answers]
    for name in first.probabilities or {}:
        columns[f"score_{name}"] = [(one.probabilities or {})[name] for one in answers]
    return pl.DataFrame(columns)
