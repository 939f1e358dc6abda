"""A table's files: opening Delta Lake, what each commit says about the whole, and reading rows out of it."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import polars as pl
from arro3.core import Table
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from homeostat.core.clock import utc
from homeostat.core.errors import IntegrityError, NotFoundError, StoreError
from homeostat.core.guarded import is_panic
from homeostat.core.table.rows import row_hashes
from homeostat.core.table.spec import TableSpec

FORMAT = 1
META = "homeostat"


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What every commit says about the table as a whole, so that a snapshot needs no read."""

    format: int
    rows: int
    digest: str
    spec: TableSpec
    source: str = ""


_ODD = re.compile(r"[\x00-\x1f\x7f\\\[\]|^#?]|%[0-9A-Fa-f]{2}")
"""What Delta's own file store cannot have in a path: it takes it as a URL, and as a domain's name."""
_aliases: dict[Path, str] = {}


def location(folder: Path) -> str:
    """Where a table is, as Delta understands it whatever letters the path has.

    Paths with letters that Delta stumbles over are reached by a link without them, through its other file store, which
    does not look behind links and creates a commit as exclusively as the first one.
    """
    path = folder.absolute()
    if not _ODD.search(str(path)):
        return str(path)
    if path not in _aliases:
        odd = _ODD.search(tempfile.gettempdir())
        place = Path(tempfile.mkdtemp(prefix="homeostat-", dir="/var/tmp" if odd else None))  # noqa: S108 - mkdtemp
        atexit.register(_forget, place, os.getpid())
        link = place / "table"
        link.symlink_to(path, target_is_directory=True)
        _aliases[path] = f"opendal+fs://{link}"
    return _aliases[path]


def _forget(place: Path, process: int) -> None:
    """Delete the links of a process, when it ends and not when one that it forked does."""
    if os.getpid() == process:
        shutil.rmtree(place, ignore_errors=True)


def data_files(delta: DeltaTable) -> list[str]:
    """The paths of a version's data files on the disk."""
    folder = _folder(delta)
    actions = pl.DataFrame(delta.get_add_actions(flatten=True))
    return [str(folder / unquote(name)) for name in actions["path"]]


def _folder(delta: DeltaTable) -> Path:
    """Where a table really is."""
    root = delta.table_uri
    return Path(
        root.removeprefix("opendal+fs://") if root.startswith("opendal") else unquote(urlsplit(root).path)
    ).resolve()


def scan_table(folder: Path) -> pl.LazyFrame:
    """A Delta table of anybody's, lazily."""
    delta = open_table(folder)
    features = set(delta.protocol().reader_features or ())
    if features - {"timestampNtz"} or delta.metadata().partition_columns or delta.protocol().min_reader_version > 1:
        return pl.scan_delta(str(folder))
    return scan_files(delta, data_files(delta))


def scan_files(delta: DeltaTable, files: Sequence[str]) -> pl.LazyFrame:
    """Rows of data files, lazily and in the types of the table."""
    types = stored_types(delta)
    if not files:
        return pl.LazyFrame(schema=types)
    # By their names: a pattern or a URL is what Polars would take some paths for.
    return pl.scan_parquet(list(files), glob=False, schema=types, missing_columns="insert", hive_partitioning=False)


def open_table(folder: Path, version: int | None = None) -> DeltaTable:
    """Open the newest or the given version; NotFoundError when it is not there."""
    try:
        return DeltaTable(location(folder), version=version)
    except TableNotFoundError as error:
        raise NotFoundError(f"there is no table in {folder.name!r}", hint="collect some rows first") from error
    except (DeltaError, OSError) as error:
        if version is not None:
            raise NotFoundError(f"the table {folder.name!r} has no version {version}", hint=str(error)[:200]) from error
        raise store_error(folder, error) from error


def store_error(folder: Path, error: Exception) -> StoreError:
    """What the disk or the log said, as an error of the store."""
    said = str(error).partition("\n")[0][:300]
    return StoreError(
        f"the table {folder.name!r} cannot be read or written: {said}",
        hint=f"check that {folder} is writable, whole and on a disk with space left",
    )


def read_meta(delta: DeltaTable, name: str) -> Meta:
    """What the commit of the opened version says.

    Raises:
        StoreError: Something else wrote it, or a newer Homeostat did.
    """
    # The history of a table opened at an old version begins at the newest one all the same.
    newest: int = delta.history(1)[0]["version"]
    entry: dict[str, Any] = delta.history(newest - delta.version() + 1)[-1]
    if META not in entry:
        raise StoreError(
            f"version {delta.version()} of the table {name!r} was not written by Homeostat",
            hint="collect foreign data with a source; tables in the store have one writer",
        )
    raw = msgspec.json.decode(entry[META])
    if raw["format"] > FORMAT:
        raise StoreError(
            f"the table {name!r} has the format {raw['format']}; this Homeostat reads up to {FORMAT}",
            hint="upgrade Homeostat",
        )
    return msgspec.convert(raw, Meta)


def stored_types(delta: DeltaTable) -> dict[str, pl.DataType]:
    """Columns and their types, in order."""
    return dict(pl.DataFrame(Table.from_batches([], schema=delta.schema().to_arrow())).schema)


def physical_rows(delta: DeltaTable, files: Sequence[str]) -> pl.DataFrame:
    """The rows of some data files as they are, in any order, rows without their later labels included."""
    types = stored_types(delta)
    if not files:
        return pl.DataFrame(schema=types)
    return _collect(scan_files(delta, files).select(list(types)), delta)


def logical_rows(
    delta: DeltaTable,
    spec: TableSpec,
    rows: int,
    *,
    known_by: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Each row once, labelled where it can be, in the order of time and key; see `homeostat.core.table.table.read`.

    Args:
        delta: The opened version.
        spec: What the columns mean.
        rows: How many rows it has; when the files hold more, some are there without and with their label.
        known_by: Only rows whose label was known by then.
        start: Only from this event time on.
        end: Only before this event time.
        columns: Only these columns.
    """
    types = stored_types(delta)
    repeated = _stored_count(delta) > rows
    needed = list(types) if columns is None or not spec.key else [c for c in types if c in {*columns, *spec.declared}]
    frame = scan_files(delta, data_files(delta)).select(needed)
    known = _known(spec)
    if known_by is not None:
        frame = frame.filter(known, pl.col(spec.label_time or spec.time) <= utc(known_by))
    elif repeated:
        # A row that was stored before its label is there twice; the copy with the label stands for it.
        frame = frame.filter(known | ~known.any().over(spec.key))
    if start is not None:
        frame = frame.filter(pl.col(spec.time) >= utc(start))
    if end is not None:
        frame = frame.filter(pl.col(spec.time) < utc(end))
    found = _collect(frame, delta)
    if spec.key:
        found = found.sort(spec.time, *(name for name in spec.key if name != spec.time))
    else:
        found = found[pl.Series(row_hashes(found)).arg_sort()].sort(spec.time, maintain_order=True)
    return found.select(columns if columns is not None else list(types))


def _stored_count(delta: DeltaTable) -> int:
    counts = pl.DataFrame(delta.get_add_actions(flatten=True))["num_records"]
    return int(counts.sum())


def _known(spec: TableSpec) -> pl.Expr:
    labels = spec.labels
    return pl.all_horizontal(pl.col(name).is_not_null() for name in labels) if labels else pl.lit(value=True)


def _collect(frame: pl.LazyFrame, delta: DeltaTable) -> pl.DataFrame:
    try:
        return frame.collect()
    except BaseException as error:
        if not isinstance(error, (pl.exceptions.PolarsError, OSError)) and not is_panic(error):
            raise
        raise IntegrityError(
            f"the data files of {_folder(delta)}, version {delta.version()}, are damaged: {str(error)[:200]}",
            hint="restore the folder from a backup, or begin a new table: another name for the loop",
        ) from error
