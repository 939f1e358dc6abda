"""Collect rows from files and frames into a table: each file once, each row once, all of it or nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.events import RowsAppended
from homeostat.core.spec import TableSpec, did_you_mean, table_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import polars as pl

    from homeostat.core.clock import Clock
    from homeostat.core.ledger import Ledger
    from homeostat.core.reading import Form
    from homeostat.core.tables import Table

_MARK = " sha256:"


@dataclass(frozen=True)
class Part:
    """Rows that are collected together or not at all, such as a file.

    Attributes:
        name: What to call it.
        digest: SHA-256 of its content: a part with a digest that was collected before is skipped.
        read: Gives its rows.
    """

    name: str
    digest: str
    read: Callable[[], pl.DataFrame]


class Source(Protocol):
    """Where rows come from, and what their columns mean.

    Attributes:
        separator: What separates the columns of CSV files, also of those that batch inference is given.
        ignore: Columns that are not taken in.
    """

    separator: str
    ignore: tuple[str, ...]

    @property
    def spec(self) -> TableSpec:
        """What the columns mean."""
        ...

    def parts(self) -> Iterable[Part]:
        """Everything that is there now."""
        ...


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What one collection brought.

    Attributes:
        parts: Files (or frames) that were new and were taken in.
        skipped: Files that had been collected before.
        rows: New rows.
        labelled: Rows that were there without a label and have it now.
        duplicates: Rows that were there already.
        late: New rows older than the newest one stored before.
        total: Rows in the table afterwards.
        table_version: The table's version afterwards; -1 for a table without rows.
        newest: Newest event time afterwards.
        source_version: What the source holds now, by the digests of its parts: it changes when a file comes or changes.
    """

    parts: int
    skipped: int
    rows: int
    labelled: int
    duplicates: int
    late: int
    total: int
    table_version: int
    newest: datetime | None
    source_version: str


class FileSource:
    """Rows in files, folders or globs: .csv, .parquet, .jsonl, .ndjson, .json, and the text ones as .gz too.

    Args:
        pattern: A file, a folder (its files, not its subfolders), a glob such as `flights/**/*.parquet`, or several.
        time: Event time column; naive times are taken to be UTC.
        key: Column or columns that identify a row; without one the whole row does.
        target: The column to predict.
        label_time: When the target became known; without it, at the event time.
        dates: How times are written that are not year first, such as `%m/%d/%Y %I:%M %p`, or `s` or `ms` for numbers
            since 1970: of time and label time, or by column, and each such column is a time.
        separator: What separates the columns of CSV files.
        text: Columns that stay text although they look like numbers, such as postcodes.
        ignore: Columns that are not taken in, such as consequences of the target; requests need not have them.

    Raises:
        DataError: The declaration does not hold together.

    Example:
        >>> FileSource("flights/*.parquet", time="scheduled", key="flight_id", target="late").spec.key
        ('flight_id',)
    """

    def __init__(
        self,
        pattern: str | Path | Sequence[str | Path],
        *,
        time: str,
        key: str | Sequence[str] = (),
        target: str | None = None,
        label_time: str | None = None,
        dates: str | Mapping[str, str] | None = None,
        separator: str = ",",
        text: str | Sequence[str] = (),
        ignore: str | Sequence[str] = (),
    ) -> None:
        self.patterns = tuple(str(one) for one in ([pattern] if isinstance(pattern, str | Path) else pattern))
        self.separator = separator
        self.text = (text,) if isinstance(text, str) else tuple(text)
        self._spec = table_spec(time, key, target, label_time, dates)
        self.ignore = _ignored(ignore, self._spec)
        self._digests: dict[Path, tuple[tuple[int, int, int], str]] = {}
        if len(separator) != 1 or not separator.isascii():
            raise DataError(f"separator is {separator!r}, not one character", hint="separator=';'")
        if not self.patterns:
            raise DataError("a FileSource names no files", hint="FileSource('flights/*.parquet', time=...)")

    @property
    def spec(self) -> TableSpec:
        """What the columns mean."""
        return self._spec

    def files(self) -> list[Path]:
        """The files that are there now, each once, in the order of their names.

        Raises:
            NotFoundError: A pattern matches nothing.
        """
        found = {path for pattern in self.patterns for path in _matches(pattern)}
        return sorted(found)

    def parts(self) -> Iterator[Part]:
        """One part per file."""
        from homeostat.core.reading import Form

        form = Form(self.separator, self.text)
        for path in self.files():
            yield Part(path.as_posix(), self._digest(path), partial(self._read, path, form))

    def _read(self, path: Path, form: Form) -> pl.DataFrame:
        from homeostat.core.reading import read_file

        return _without(read_file(path, self.spec, form), self.ignore, path.as_posix())

    def _digest(self, path: Path) -> str:
        """The content's digest, from memory while the file's size, time and identity stay as they were."""
        try:
            stat = path.stat()
            seen = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
            if path not in self._digests or self._digests[path][0] != seen:
                with path.open("rb") as file:
                    self._digests[path] = (seen, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror or error}", hint="check that it is a file and its permissions"
            ) from error
        return self._digests[path][1]

    def __repr__(self) -> str:
        return f"FileSource({', '.join(map(repr, self.patterns))})"


class FrameSource:
    """Rows that are in memory already.

    Args:
        frame: A polars DataFrame, or anything that `polars.DataFrame` takes.
        time: Event time column.
        key: Column or columns that identify a row; without one the whole row does.
        target: The column to predict.
        label_time: When the target became known; without it, at the event time.
        dates: How times are written that are not year first, as for a `FileSource`.
        name: What to call it in the ledger.
        ignore: Columns that are not taken in.
        separator: What separates the columns of CSV files that batch inference is given.

    Example:
        >>> import polars as pl
        >>> FrameSource(pl.DataFrame({"at": ["2013-01-01"], "late": [1]}), time="at", target="late").spec.target
        'late'
    """

    def __init__(
        self,
        frame: pl.DataFrame,
        *,
        time: str,
        key: str | Sequence[str] = (),
        target: str | None = None,
        label_time: str | None = None,
        dates: str | Mapping[str, str] | None = None,
        name: str = "frame",
        ignore: str | Sequence[str] = (),
        separator: str = ",",
    ) -> None:
        self.frame = frame
        self.name = name
        self.separator = separator
        self._spec = table_spec(time, key, target, label_time, dates)
        self.ignore = _ignored(ignore, self._spec)

    @property
    def spec(self) -> TableSpec:
        """What the columns mean."""
        return self._spec

    def parts(self) -> Iterator[Part]:
        """The one frame."""
        import polars as pl

        from homeostat.core.fingerprint import fingerprint

        frame = self.frame if isinstance(self.frame, pl.DataFrame) else pl.DataFrame(self.frame)
        if not frame.height:
            raise DataError(f"the frame {self.name!r} has no rows", hint="collect it when it has some")
        frame = _without(frame, self.ignore, f"the frame {self.name!r}")
        yield Part(self.name, fingerprint(frame), lambda: frame)

    def __repr__(self) -> str:
        return f"FrameSource({self.name!r})"


def collect(
    source: Source,
    table: Table,
    ledger: Ledger,
    loop: str,
    clock: Clock,
    progress: Callable[[int, int, str], None] | None = None,
) -> Collected:
    """Bring everything of a source that is new into the table, and record each part in the ledger.

    All new parts are read and checked before the first row is written, so bad input changes nothing. A crash between
    two parts leaves whole parts; collecting again continues and repeats nothing.

    Args:
        source: Where rows come from.
        table: Where they go.
        ledger: Where each new part becomes a `RowsAppended`.
        loop: The Loop that they are for.
        clock: Gives the time of the records.
        progress: Called with (parts done, parts in all, name) before each part and at the end.

    Returns:
        What was new, and what was not.

    Raises:
        NotFoundError: A file or a pattern's matches are not there.
        DataError: Lists what is wrong with which file.
        SchemaError: A file's columns are not those of the table.
    """
    tell = progress or (lambda _done, _all, _name: None)
    seen = collected_before(ledger, loop)
    fresh: dict[str, Part] = {}
    skipped = 0
    held = set()
    for part in source.parts():
        held.add(part.digest)
        skipped += part.digest in seen or part.digest in fresh
        if part.digest not in seen:
            fresh.setdefault(part.digest, part)
    parts = list(fresh.values())
    read = list(zip(parts, _read_all(parts, table, tell), strict=True))
    # Oldest first, so that only what comes late counts as late.
    read.sort(key=lambda one: one[1][source.spec.time].sort()[0])
    done: list[RowsAppended] = []
    for part, rows in read:
        tell(len(parts) + len(done), 2 * len(parts), part.name)
        done.append(record(rows, table, ledger, loop, clock, source=f"{part.name}{_MARK}{part.digest}"))
    tell(2 * len(parts), 2 * len(parts), "")
    return Collected(
        parts=len(parts),
        skipped=skipped,
        source_version=hashlib.sha256("".join(sorted(held)).encode()).hexdigest()[:12],
        rows=sum(one.rows for one in done),
        labelled=sum(one.labelled for one in done),
        duplicates=sum(one.duplicates for one in done),
        late=sum(one.late for one in done),
        total=table.rows,
        table_version=table.version,
        newest=table.newest,
    )


def record(rows: pl.DataFrame, table: Table, ledger: Ledger, loop: str, clock: Clock, *, source: str) -> RowsAppended:
    """Append rows that are in hand, such as drained predictions with their labels, and record it.

    Args:
        rows: Any number of rows.
        table: Where they go.
        ledger: Where the `RowsAppended` goes.
        loop: The Loop that they are for.
        clock: Gives the time of the record.
        source: Where they came from.

    Returns:
        The event as recorded.
    """
    done = table.append(rows, source=source)
    event = RowsAppended(
        loop=loop,
        table=table.folder.name,
        table_version=done.version,
        source=source,
        rows=done.rows,
        labelled=done.labelled,
        duplicates=done.duplicates,
        late=done.late,
        total=done.total,
        newest=done.newest,
    )
    ledger.append(event, time=clock.now())
    return event


def collected_before(ledger: Ledger, loop: str) -> frozenset[str]:
    """Digests of the parts that the ledger says were collected for a Loop."""
    events = (one.event for one in ledger.events(loop=loop, kinds=(RowsAppended,)))
    sources = (event.source for event in events if isinstance(event, RowsAppended))
    return frozenset(source.rpartition(_MARK)[2] for source in sources if _MARK in source)


def _read_all(parts: Sequence[Part], table: Table, tell: Callable[[int, int, str], None]) -> list[pl.DataFrame]:
    """The rows of every part, checked against their declaration, the table and each other."""
    from homeostat.core.reading import same_types
    from homeostat.core.rows import bulleted

    frames, errors = [], []
    for number, part in enumerate(parts):
        tell(number, 2 * len(parts), part.name)
        try:
            frames.append((part.name, part.read()))
        except DataError as error:
            errors.append(error)
    if not errors:
        rows = []
        for part, found in zip(parts, same_types(frames, table.columns, table.spec), strict=True):
            try:
                rows.append(table.conform(found))
            except DataError as error:
                errors.append(type(error)(f"{part.name}: {error.what}", hint=error.hint))
        if not errors:
            _refuse_beginning(rows, frames, table)
            return rows
    if len(errors) == 1:
        raise errors[0]
    lines = [f"{error.what}; {error.hint}" if error.hint else error.what for error in errors]
    raise DataError(bulleted(f"{len(errors)} of {len(parts)} files cannot be collected, so none was", lines))


def _ignored(columns: str | Sequence[str], spec: TableSpec) -> tuple[str, ...]:
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    declared = sorted(set(names) & set(spec.declared))
    if declared:
        what = f"columns are both declared and ignored: {', '.join(map(repr, declared))}"
        raise DataError(what, hint="take them out of ignore=")
    return names


def _without(rows: pl.DataFrame, ignore: Sequence[str], where: str) -> pl.DataFrame:
    """The rows without the ignored columns, all of which must be there."""
    for name in ignore:
        if name not in rows.columns:
            raise DataError(f"{where} has no column {name!r} to ignore", hint=did_you_mean(name, rows.columns))
    return rows.drop(ignore)


def _refuse_beginning(rows: Sequence[pl.DataFrame], frames: Sequence[tuple[str, pl.DataFrame]], table: Table) -> None:
    """Refuse first rows with a useless target: they would stay, with their labels and the target's type.

    Rows whose labels are still to come are welcome, as long as their type is known.
    """
    import polars as pl

    from homeostat.ci.validate import refuse_unlearnable

    target = table.spec.target
    if target is None or table.columns or not rows:
        return
    labels = pl.concat([one[target] for one in rows])
    if labels.count() or all(one.schema[target] == pl.Null for _, one in frames):
        refuse_unlearnable(labels)


def _matches(pattern: str) -> list[Path]:
    from homeostat.core.reading import SUFFIXES

    path = Path(pattern)
    if path.is_dir():
        found = [one for one in path.iterdir() if one.is_file() and one.name.lower().endswith(SUFFIXES)]
        if not found:
            raise NotFoundError(
                f"the folder {pattern!r} holds no data files", hint=f"they end in {', '.join(SUFFIXES)}"
            )
        return found
    if path.exists():
        if not pattern.lower().endswith(SUFFIXES):
            raise DataError(f"{pattern!r} is no data file", hint=f"data files end in {', '.join(SUFFIXES)}")
        return [path]
    if has_magic(pattern):
        found = [Path(one) for one in glob(pattern, recursive=True) if one.lower().endswith(SUFFIXES)]  # noqa: PTH207 - absolute patterns too
        found = [one for one in found if one.is_file()]
        if not found:
            raise NotFoundError(f"no data file matches {pattern!r}", hint=f"seen from {Path.cwd()}; or give a folder")
        return found
    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, beside) if beside else f"there is no folder {str(path.parent)!r} either"
    raise NotFoundError(f"there is no file {pattern!r}", hint=near)
