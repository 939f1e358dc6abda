"""The versioned, append-only, event-time table that rows land in: Delta Lake on disk, Polars in memory."""

from __future__ import annotations

import shutil
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from homeostat.core.clock import utc
from homeostat.core.errors import ConflictError, IntegrityError, NotFoundError, SchemaError, StoreError, shown
from homeostat.core.files import keep_private, make_folder
from homeostat.core.table import rows as _rows
from homeostat.core.table.delta import (
    FORMAT,
    META,
    Meta,
    data_files,
    location,
    logical_rows,
    open_table,
    physical_rows,
    read_meta,
    store_error,
    stored_types,
)
from homeostat.core.table.index import RowIndex
from homeostat.core.table.rows import row_hashes
from homeostat.core.table.spec import MARK, Snapshot, TableSpec, describe, did_you_mean, table_spec, without_dates
from homeostat.core.times.columns import UTC_TIME
from homeostat.core.values import unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Appended", "Snapshot", "Table", "TableSpec", "read", "table_spec"]

_ATTEMPTS = 50
# Versions name snapshots that models were trained on, so the log that makes them readable is never cleaned up.
_CONFIGURATION: dict[str, str | None] = {"delta.enableExpiredLogCleanup": "false"}


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """What one append did.

    Attributes:
        rows: Rows that are new in the table.
        labelled: Rows that were there without a label and have it now.
        duplicates: Rows that changed nothing, because the table (or the same batch) had them already.
        changed: Those of them with other values than the row of their key, which stays as it is.
        late: New rows whose event time is before the newest one that was stored.
        version: Delta version afterwards.
    """

    rows: int
    labelled: int
    duplicates: int
    changed: int
    late: int
    version: int
    total: int
    newest: datetime | None


class Table:
    """A table on disk: append, read as of any version, read as of any label time.

    Appends are idempotent: a row that is already there (same key, or the same whole row when there is no key) is
    counted and dropped. A row that comes again *with* its label when the stored one had none is stored beside it, and
    reading takes the labelled one. Any number of threads and processes may append: each commit is
    made against the version that was checked for duplicates, and a loser checks again (optimistic concurrency; Kung
    and Robinson 1981).

    Args:
        folder: Where the table is or will be; it is created by the first append.
        spec: What the columns mean.

    Raises:
        StoreError: The folder holds something else, a newer format, or a table that was declared differently.

    Example:
        >>> import tempfile
        >>> table = Table(tempfile.mkdtemp(), TableSpec(time="at", key=("id",), target="late"))
        >>> rows = pl.DataFrame({"at": ["2013-01-01 05:15"], "id": [7], "late": pl.Series([None], dtype=pl.Int64)})
        >>> table.append(rows).rows, table.append(rows).duplicates
        (1, 1)
        >>> table.append(rows.with_columns(late=1)).labelled, table.read()["late"].to_list()
        (1, [1])
    """

    def __init__(self, folder: str | Path, spec: TableSpec) -> None:
        self.folder = Path(folder)
        self.spec = spec
        self._lock = threading.RLock()
        self._index = RowIndex(spec)
        self._delta: DeltaTable | None = None
        self._types: dict[str, pl.DataType] = {}
        self._typed = -1
        if self._refresh() is not None:
            self._meta()

    @property
    def newest(self) -> datetime | None:
        """The newest event time stored, or None for an empty table."""
        with self._lock:
            self._catch_up()
            return self._index.newest

    @property
    def rows(self) -> int:
        """How many rows there are."""
        with self._lock:
            self._catch_up()
            return self._index.count

    @property
    def version(self) -> int:
        """The newest version; -1 before the first append."""
        with self._lock:
            delta = self._refresh()
            return -1 if delta is None else delta.version()

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """Stored columns and their types; empty before the first append."""
        with self._lock:
            return dict(self._stored_types(self._refresh()))

    def append(self, rows: pl.DataFrame, *, source: str = "") -> Appended:
        """Add rows that are not there yet, all of them or none. The first append decides the columns and their types.

        Raises:
            DataError: The rows break their declaration.
            SchemaError: Their columns are not those of the table.
            ConflictError: Other writers kept winning; nothing was written.
            StoreError: The folder cannot be written.
        """
        with self._lock:
            for _ in range(_ATTEMPTS):
                self._catch_up()
                # No refresh from here on: the commit must be on top of the version whose rows the index knows.
                fresh = self._index.sort_out(self._fitted(rows, self._stored_types(self._delta)))
                late, version = self._index.late(fresh.rows), self._index.version
                if fresh.rows.height and not self._commit(fresh.rows, fresh.after, source):
                    continue
                return Appended(
                    rows=fresh.new,
                    labelled=fresh.labelled,
                    duplicates=rows.height - fresh.new - fresh.labelled,
                    changed=fresh.changed,
                    late=late,
                    version=version + 1 if fresh.rows.height else version,
                    total=fresh.after.count,
                    newest=fresh.after.newest,
                )
        raise self._outrun()

    def conform(self, rows: pl.DataFrame, instead: Mapping[str, pl.DataType] | None = None) -> pl.DataFrame:
        """The rows as they would be stored; refuses what `append` would refuse, and stores nothing.

        Args:
            rows: Any number of rows.
            instead: Types that columns are to have by then, in place of those they have.

        Raises:
            DataError: The rows break their declaration.
            SchemaError: Their columns are not those of the table.
        """
        with self._lock:
            types = self._stored_types(self._refresh())
            return self._fitted(rows, {**types, **(instead or {})})

    def snapshot(self, version: int | None = None) -> Snapshot:
        """Name a version of the table, the newest by default.

        Raises:
            NotFoundError: There is no such version, or no rows at all yet.
        """
        with self._lock:
            delta = self._refresh()
            if delta is None:
                raise NotFoundError(f"the table {self.folder.name!r} has no rows yet", hint="collect some first")
            if version is not None and version != delta.version():
                delta = open_table(self.folder, version)
            meta = self._meta(delta)
            return Snapshot(
                uri=str(self.folder), version=delta.version(), digest=meta.digest, rows=meta.rows, spec=self.spec
            )

    def read(
        self,
        snapshot: Snapshot | None = None,
        *,
        known_by: datetime | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a snapshot, the newest by default; see `read` of this module. An empty table gives no rows."""
        if snapshot is None:
            if self._refresh() is None:
                return pl.DataFrame()
            snapshot = self.snapshot()
        return read(snapshot, known_by=known_by, start=start, end=end, columns=columns)

    def count_trainable(self, known_by: datetime) -> int:
        """How many rows have a label that was known by then: what volume triggers count. Costs no read."""
        with self._lock:
            self._catch_up()
            return self._index.trainable(_micros(known_by))

    def content_digest(self, snapshot: Snapshot | None = None) -> str:
        """Recompute the digest of a snapshot from its rows.

        Returns:
            The digest, which depends on the set of rows alone: neither their order nor their batches.

        Raises:
            IntegrityError: The rows are not those that the snapshot was taken of.
        """
        snapshot = snapshot or self.snapshot()
        found = RowIndex.digest_of(read(snapshot))
        if found != snapshot.digest:
            raise IntegrityError(
                f"version {snapshot.version} of the table {self.folder.name!r} holds rows with the digest {found}, "
                f"not {snapshot.digest}",
                hint="restore the table's folder from a backup",
            )
        return found

    def compact(self, *, over: int = 32) -> bool:
        """Rewrite the table as few sorted files, when it has more than `over` of them; older versions stay readable."""
        with self._lock:
            for _ in range(_ATTEMPTS):
                self._catch_up()
                if self._delta is None or len(data_files(self._delta)) <= over:
                    return False
                if self._overwrite(lambda rows: rows, "compaction"):
                    return True
        raise self._outrun()

    def rewrite(self, change: Callable[[pl.DataFrame], pl.DataFrame], *, source: str) -> tuple[int, int]:
        """Replace all rows by what becomes of them, in one commit; the version before stays as it was.

        `change` may be asked again when another writer was faster.

        Raises:
            NotFoundError: The table has no rows yet.
            ConflictError: Other writers kept winning; nothing was written.
        """
        with self._lock:
            for _ in range(_ATTEMPTS):
                self._catch_up()
                if self._delta is None:
                    raise NotFoundError(f"the table {self.folder.name!r} has no rows yet", hint="collect some first")
                before = self._index.version
                if self._overwrite(change, source):
                    return before, before + 1
        raise self._outrun()

    def removed(self, before: int, after: int) -> NDArray[np.uint64]:
        """Hashes of the rows that are in one version and not in a later one."""
        there, left = (row_hashes(read(self.snapshot(version))) for version in (before, after))
        return np.setdiff1d(there, left)

    def added_by(self, source: str) -> pl.DataFrame:
        """The rows that the appends of a source brought, as they were then.

        Args:
            source: What they were told with; the name of a file stands for it in every state that it had.
        """
        delta = self._refresh()
        if delta is None:
            return pl.DataFrame()
        versions = [entry["version"] for entry in delta.history() if META in entry and _is_of(entry[META], source)]
        parts = []
        for version in versions:
            now = open_table(self.folder, version)
            old = set(open_table(self.folder, version - 1).file_uris()) if version else set()
            parts.append(physical_rows(now, sorted(set(now.file_uris()) - old)))
        return pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()

    def _outrun(self) -> ConflictError:
        return ConflictError(
            f"other writers of the table {self.folder.name!r} won {_ATTEMPTS} times in a row",
            hint="do it again when the table is quieter",
        )

    def _refresh(self) -> DeltaTable | None:
        try:
            if self._delta is None:
                self._delta = open_table(self.folder)
            else:
                self._delta.update_incremental()
        except NotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise store_error(self.folder, error) from error
        return self._delta

    def _catch_up(self) -> None:
        delta = self._refresh()
        if delta is None or delta.version() == self._index.version:
            return
        files = set(data_files(delta))
        if not self._index.files <= files:
            self._index = RowIndex(self.spec)
        self._index.learn(physical_rows(delta, sorted(files - self._index.files)), files=files, version=delta.version())

    def _meta(self, delta: DeltaTable | None = None) -> Meta:
        delta = delta or self._delta
        assert delta is not None
        meta = read_meta(delta, self.folder.name)
        if without_dates(meta.spec) != without_dates(self.spec):
            raise StoreError(
                f"the table {self.folder.name!r} was made with {describe(meta.spec)}, and is now declared with "
                f"{describe(self.spec)}",
                hint="put the declaration back, or begin a new table: another name for the loop, or another --store",
            )
        return meta

    def _stored_types(self, delta: DeltaTable | None) -> dict[str, pl.DataType]:
        """The first append decides them, and `rewrite` may change them."""
        if delta is not None and self._typed != delta.version():
            self._types, self._typed = stored_types(delta), delta.version()
        return self._types

    def _fitted(self, rows: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
        lacking = [name for name in self.spec.labels if name in types and name not in rows.columns]
        rows = rows.with_columns(pl.lit(None, dtype=types[name]).alias(name) for name in lacking)
        rows = _rows.prepare(rows, self.spec, [name for name, dtype in types.items() if dtype == UTC_TIME])
        return _conform(rows, types) if types else rows

    def _commit(self, rows: pl.DataFrame, after: RowIndex, source: str) -> bool:
        """Append physical rows in one commit on top of the version that was checked; False when somebody was faster."""
        meta = Meta(format=FORMAT, rows=after.count, digest=after.digest, spec=self.spec, source=source)
        checked = self._index.version
        if not self._write(rows, meta, "append"):
            return False
        assert self._delta is not None
        # Another writer's commit may have been loaded along with ours; then the old index has both to learn.
        if self._delta.version() == checked + 1:
            after.version, after.files = self._delta.version(), set(data_files(self._delta))
            self._index = after
        return True

    def _overwrite(self, change: Callable[[pl.DataFrame], pl.DataFrame], source: str) -> bool:
        """Commit what becomes of all rows on top of the version that is known; False when somebody was faster."""
        assert self._delta is not None
        checked = self._index.version
        rows = change(logical_rows(self._delta, self.spec, self._meta().rows))
        meta = Meta(format=FORMAT, rows=rows.height, digest=RowIndex.digest_of(rows), spec=self.spec, source=source)
        if not self._write(rows, meta, "overwrite"):
            return False
        self._index = RowIndex(self.spec)
        if self._delta.version() == checked + 1:
            self._index.learn(rows, files=set(data_files(self._delta)), version=self._delta.version())
        return True

    def _write(self, rows: pl.DataFrame, meta: Meta, mode: Any) -> bool:
        # No retries inside: a commit that met another one must check for duplicates again.
        commit = CommitProperties(custom_metadata={META: msgspec.json.encode(meta).decode()}, max_commit_retries=0)
        before = -1 if self._delta is None else self._delta.version()
        try:
            make_folder(self.folder)
            _refuse_without_space(self.folder, rows)
            if self._delta is None:
                write_deltalake(
                    location(self.folder), rows, mode="error", commit_properties=commit, configuration=_CONFIGURATION
                )
                self._delta = open_table(self.folder)
            else:
                whole: Any = "overwrite" if mode == "overwrite" else None
                write_deltalake(self._delta, rows, mode=mode, schema_mode=whole, commit_properties=commit)
            keep_private(self.folder)
        except (DeltaError, OSError) as error:
            self._delta = None
            now = self._refresh()
            if now is None or now.version() == before:
                raise store_error(self.folder, error) from error
            return False
        return True


def _refuse_without_space(folder: Path, rows: pl.DataFrame) -> None:
    """Refuse what may not fit before the writer meets the end of the disk, of which it would print a backtrace."""
    free, needed = shutil.disk_usage(folder).free, rows.estimated_size()
    if free < needed:
        what = f"the disk has {free:,} bytes left, and {rows.height:,} rows for {folder} may need {needed:,}"
        raise StoreError(what, hint="free some space and run again; nothing was written")


def read(
    snapshot: Snapshot,
    *,
    known_by: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """The rows of a snapshot, in an order that depends on nothing but the rows: by time, then key.

    Args:
        snapshot: Which version of which table.
        known_by: Give only rows whose label was known by then (`label_time <= known_by`, or the event time when the
            table has no label time). Rows without a label, or whose label came later, are left out: training at time t
            reads with `known_by=t` and cannot see a label before its time (promise 11).
        start: Give only rows with an event time at or after it.
        end: Give only rows with an event time before it.
        columns: Give only these columns, in this order.

    Returns:
        A frame with event and label times as `Datetime("us", "UTC")`.

    Raises:
        NotFoundError: The version or a column is not there.
    """
    delta = open_table(Path(snapshot.uri), snapshot.version)
    types = stored_types(delta)
    for name in columns or ():
        if name not in types:
            raise NotFoundError(f"the table has no column {name!r}", hint=did_you_mean(name, types))
    return logical_rows(delta, snapshot.spec, snapshot.rows, known_by=known_by, start=start, end=end, columns=columns)


def _conform(rows: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
    problems = [f"column {name!r} is missing" for name in types if name not in rows.columns]
    problems += [
        f"column {name!r} is not in the table; {did_you_mean(name, types)}"
        for name in rows.columns
        if name not in types
    ]
    columns = []
    for name, dtype in types.items():
        if name not in rows.columns:
            continue
        series = rows[name]
        if series.dtype == dtype:
            columns.append(series)
            continue
        if not series.count():
            columns.append(pl.Series(name, [None] * series.len(), dtype=dtype))
            continue
        changed = series.is_not_null()
        if series.dtype.is_numeric() and dtype.is_numeric():
            cast = series.cast(dtype, strict=False)
            inexact = unfit(series, "integer" if dtype.is_integer() else "number")
            changed &= cast.is_null() | (cast != series) | (False if inexact is None else inexact[0])
            series = series if changed.any() else cast
        if changed.any():
            row = changed.arg_true()[0]
            problems.append(
                f"column {name!r} holds {dtype} in the table and {series.dtype} in these rows, for example "
                f"{shown(series[row])} in row {row + 1}"
            )
        columns.append(series)
    if problems:
        raise SchemaError(
            _rows.bulleted("the rows do not fit the table", problems),
            hint="rename or convert the columns, leave a new one out with ignore= in the source, or, if the change is "
            "meant, take it with `homeostat accept-schema`",
        )
    return pl.DataFrame(columns)


def _is_of(meta: str, source: str) -> bool:
    told = msgspec.json.decode(meta, type=Meta).source
    return told == source or told.partition(MARK)[0] == source


def _micros(moment: datetime) -> int:
    return int(utc(moment).timestamp() * 1_000_000)
