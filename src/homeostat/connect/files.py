"""Rows in files that come and grow."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.core.errors import DataError
from homeostat.core.ports import Part
from homeostat.core.table.form import form_of
from homeostat.core.table.spec import did_you_mean, table_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import polars as pl

    from homeostat.core.table.paths import Found

    Tell = Callable[[str], None]


class FileSource:
    """Rows in files, folders or globs: .csv, .parquet, .jsonl, .ndjson, .json, and the text ones as .gz too.

    Args:
        pattern: A file, a folder (its files, not its subfolders), a glob such as `flights/**/*.parquet`, or several.
            A relative one begins in the folder of the loop's file (of a Loop that no file declares, in the current
            folder). What is really called so wins over a glob.
        time: Event time column; naive times are taken to be UTC.
        key: Column or columns that identify a row; without one the whole row does.
        target: The column to predict.
        label_time: When the target became known; without it, at the event time.
        dates: How times are written that are not year first, such as `%m/%d/%Y %I:%M %p`, or `s` or `ms` for numbers
            since 1970: of time and label time, or by column, and each such column is a time.
        separator: What separates the columns of CSV files.
        text: Columns that stay text although they look like numbers, such as postcodes; bytes in them are UTF-8.
        decimal: The decimal mark of CSV files, or of columns. A column that is named is one of numbers, and may have
            currency and percent signs, or parentheses for negative ones.
        thousands: The mark between thousands, likewise.
        nulls: Words for an unknown value in all columns, or by column; without them those of `core/table/form.py` are
            such among numbers, truth values and times, and text in a column of text. An empty cell is always unknown.
        rename: Old names of columns to new ones, before everything else; the other arguments have the new ones.
        ignore: Columns that are not taken in, such as consequences of the target; requests need not have them. An empty
            name stands for columns of CSV files without a name.
        encoding: Of text files. UTF-16 that begins by saying so is read in any case.
        partitions: Whether folders called `key=value` are columns; without a word they are refused.

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
        decimal: str | Mapping[str, str] = ".",
        thousands: str | Mapping[str, str] = "",
        nulls: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        rename: Mapping[str, str] | None = None,
        ignore: str | Sequence[str] = (),
        encoding: str = "utf-8",
        partitions: bool | None = None,
    ) -> None:
        self.patterns = tuple(str(one) for one in ([pattern] if isinstance(pattern, str | Path) else pattern))
        self.spec = table_spec(time, key, target, label_time, dates)
        self.form = form_of(
            separator=separator,
            text=text,
            decimal=decimal,
            thousands=thousands,
            nulls=nulls,
            rename=rename,
            ignore=ignore,
            encoding=encoding,
            partitions=partitions,
            declared=self.spec.declared,
        )
        self._folder: Path | None = None
        self._digests: dict[Path, tuple[tuple[int, int, int], str]] = {}
        if not self.patterns:
            raise DataError("a FileSource names no files", hint="FileSource('flights/*.parquet', time=...)")

    def seen_from(self, folder: Path) -> None:
        """Take relative patterns to be relative to a folder, whatever the current one is."""
        self._folder = folder.absolute()

    def files(self) -> list[Path]:
        """The files that are there now, each once, in the order of their names.

        Raises:
            NotFoundError: A pattern matches nothing.
            DataError: Something there looks like a data file and cannot be read as one.
        """
        return [one.path for one in self._found()]

    def parts(self) -> Iterator[Part]:
        """One part per file."""
        for one in self._found():
            yield Part(self._name(one.path), self._digest(one), partial(self._read, one))

    def _found(self) -> list[Found]:
        from homeostat.core.table.files import SUFFIXES
        from homeostat.core.table.paths import find

        patterns = [str(self._root / pattern) for pattern in self.patterns]
        found = [one for pattern in patterns for one in find(pattern, SUFFIXES, partitions=self.form.partitions)]
        return sorted({one.path: one for one in found}.values())

    @property
    def _root(self) -> Path:
        """Where relative patterns begin, as seen from the current folder."""
        return Path() if self._folder is None else Path(os.path.relpath(self._folder))

    def _name(self, path: Path) -> str:
        """A file as the pattern calls it, whichever the current folder is."""
        root = self._root
        return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()

    def _read(self, one: Found, text: Sequence[str] = (), tell: Tell = lambda _: None) -> pl.DataFrame:
        from homeostat.core.table.files import in_folders, read_file

        path, form = one.path, self.form.with_text(text)
        before = self._digests.get(path)
        rows = in_folders(read_file(path, self.spec, form, tell), one.folders, form)
        if before is not None and _state(path) != before[0]:
            raise DataError(f"{path} changed while it was read", hint="it is read again at the next look")
        for argument, name in self.form.named():
            if name not in rows.columns and name not in self.spec.labels:
                what = f"{path} has no column {name!r}, which {argument}= names"
                raise DataError(what, hint=did_you_mean(name, rows.columns))
        return self.form.without(rows, path.as_posix())

    def _digest(self, one: Found) -> str:
        """The content's digest, from memory while the file's size, time and identity stay as they were."""
        from homeostat.core.guarded import refusing

        path = one.path
        with refusing(str(path)):
            seen = _state(path)
            if path not in self._digests or self._digests[path][0] != seen:
                with path.open("rb") as file:
                    self._digests[path] = (seen, hashlib.file_digest(file, "sha256").hexdigest())
        # The same file in another folder called key=value holds other rows.
        told = repr(one.folders) if one.folders else ""
        digest = self._digests[path][1]
        return hashlib.sha256((digest + told).encode()).hexdigest() if told else digest

    def __repr__(self) -> str:
        return f"FileSource({', '.join(map(repr, self.patterns))})"


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
