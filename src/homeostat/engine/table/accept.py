"""Taking a change of the schema that a person means: what differs, and the table and the ledger after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.ci.admit import for_rows, growth, kind_of, retyped, schema_of
from homeostat.ci.collect import new_parts, read_parts
from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.events import ColumnChange, SchemaAccepted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from homeostat.core.clock import Clock
    from homeostat.core.schema import Schema
    from homeostat.core.store import Store
    from homeostat.core.table.table import Table
    from homeostat.loop import Loop


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between what was accepted and what is there now.

    Attributes:
        files: New files that were looked at, beside the table's own rows.
        changes: What each column would be; empty when nothing differs.
        described: The same in sentences.
        types: Types of the columns that the table would get or that would be of another one.
    """

    files: tuple[str, ...]
    changes: tuple[ColumnChange, ...]
    described: tuple[str, ...]
    types: dict[str, Any] = {}


def propose(store: Store, loop: Loop) -> Proposal:
    """What would have to be accepted for the files that are at the source now, and for the rows that are stored.

    Raises:
        NotFoundError: The table has no rows yet, so that anything may come.
        DataError: A file cannot be read, or the change is one that no table can make.
    """
    from homeostat.core.table.rows import stored_form

    table = store.table(loop.name, "rows", loop.source.spec)
    if not table.columns:
        raise NotFoundError(f"the table of loop {loop.name!r} has no rows yet", hint="the first ones decide its schema")
    _, parts = new_parts(loop.source, store.ledger, loop.name)
    read, errors = read_parts(parts, table, lambda *_: None, {})
    if errors:
        raise errors[0]
    times = {name: None for name, dtype in table.columns.items() if kind_of(dtype) == "time"} | dict(table.spec.times)
    frames: dict[str, pl.DataFrame] = {}
    for name, given in read:
        rows, problems = stored_form(given, times)
        if problems:
            raise DataError(f"{name}: {'; '.join(problems[:20])}", hint="mend the file first")
        frames[name] = rows
    found = _Difference(table, frames, schema_of(store, loop.name))
    found.look()
    return Proposal(
        files=tuple(frames), changes=tuple(found.changes), described=tuple(found.described), types=found.types
    )


def accept(store: Store, loop: Loop, proposal: Proposal, *, user: str, reason: str, clock: Clock) -> SchemaAccepted:
    """Take a change: the ledger says who and why, and the table gets its columns. The version before stays readable.

    Raises:
        DataError: Stored values would be lost; nothing was changed.
    """
    table = store.table(loop.name, "rows", loop.source.spec)
    gone = [change.column for change in proposal.changes if change.kind is None]

    def changed(rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        rows = rows.drop(gone, strict=False)
        old = {name: dtype for name, dtype in proposal.types.items() if name in rows.columns}
        new = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in proposal.types.items() if name not in old]
        return retyped(rows, old).with_columns(new)

    if gone or proposal.types:
        changed(table.read())  # What cannot be done is said before anything is.
    event = SchemaAccepted(
        loop=loop.name, user=user, reason=reason, changes=proposal.changes, described=proposal.described
    )
    store.ledger.append(event, time=clock.now())
    if gone or proposal.types:
        table.rewrite(changed, source=f"accept-schema: {reason}")
    return event


class _Difference:
    """Collects what differs, column by column."""

    def __init__(self, table: Table, frames: dict[str, pl.DataFrame], accepted: Schema | None) -> None:
        self.table, self.frames = table, frames
        self.accepted = None if accepted is None else for_rows(accepted)
        self.changes: list[ColumnChange] = []
        self.described: list[str] = []
        self.types: dict[str, pl.DataType] = {}

    def look(self) -> None:
        """Look at every column."""
        grown = growth(self.table, list(self.frames.values())).types
        for name, dtype in self.table.columns.items():
            there = [rows[name] for rows in self.frames.values() if name in rows.columns]
            if self.frames and not there and name not in self.table.spec.labels:
                self._gone(name)
            elif name not in grown:
                self._same(name, dtype, there)
        for name in dict.fromkeys(name for rows in self.frames.values() for name in rows.columns):
            if name not in self.table.columns:
                self._new(name)

    def _gone(self, name: str) -> None:
        if name in self.table.spec.declared:
            raise DataError(
                f"declared column {name!r} is missing", hint="a change of the key or the time is a new loop"
            )
        self.changes.append(ColumnChange(column=name, kind=None))
        self.described.append(f"column {name!r} is gone, and leaves the table; the versions before keep it")

    def _new(self, name: str) -> None:
        dtype = _common([rows[name] for rows in self.frames.values() if name in rows.columns], name)
        self.types[name] = dtype
        self.changes.append(ColumnChange(column=name, kind=kind_of(dtype), nullable=True))
        self.described.append(f"column {name!r} is new ({kind_of(dtype)}), null in the rows that are stored")

    def _same(self, name: str, dtype: pl.DataType, there: Sequence[pl.Series]) -> None:
        import polars as pl

        lacking = [file for file, rows in self.frames.items() if name not in rows.columns]
        if there and lacking and name not in self.table.spec.labels:
            raise DataError(
                f"column {name!r} is missing in {lacking[0]} and there in other files", hint="mend the file"
            )
        stored = self.table.read(columns=[name])[name]
        came = [series for series in there if series.count()]
        wanted = _common([*came, stored], name) if came and stored.count() else dtype
        other = next((series.dtype for series in came if series.dtype != dtype), None)
        if other is not None and wanted == dtype == pl.String():
            raise DataError(
                f"column {name!r} is text in the table, which it stays, and {kind_of(other)} in new files",
                hint="write it as text in those files; CSV files hold all values as text",
            )
        known = self.accepted[name] if self.accepted is not None and name in self.accepted else None
        nulls = sum(series.null_count() for series in (stored, *there))
        null = bool(nulls) and known is not None and not known.nullable
        if wanted != dtype:
            if name in self.table.spec.declared:
                raise DataError(
                    f"declared column {name!r} is {kind_of(dtype)} in the table and {kind_of(wanted)} in new files",
                    hint="mend the files; another key, time or target is a new loop",
                )
            self.types[name] = wanted
            self.described.append(f"column {name!r} was {kind_of(dtype)}, is {kind_of(wanted)}")
        if null:
            self.described.append(f"column {name!r} may be null, as it is in {nulls:,} rows, and never was")
        if null or wanted != dtype:
            nullable = null or known is None or known.nullable
            self.changes.append(ColumnChange(column=name, kind=kind_of(wanted), nullable=nullable))


def _common(series: Sequence[pl.Series], name: str) -> pl.DataType:
    """The type that holds all values of some columns in stored types: fractions for numbers, else text."""
    import polars as pl

    types = {one.dtype for one in series if one.count()} or {pl.String()}
    if len(types) == 1:
        return types.pop()
    if all(dtype.is_numeric() for dtype in types):
        return pl.Float64()
    if pl.String() in types:
        return pl.String()
    kinds = " and ".join(sorted(kind_of(dtype) for dtype in types))
    raise DataError(f"column {name!r} holds {kinds}, which no column holds together", hint="mend the files")
