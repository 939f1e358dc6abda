"""Collect rows from a source into a table: each part once, each row once, all of it or nothing."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from homeostat.ci.admit import Growth, grow, growth, refuse_skew
from homeostat.core.errors import DataError
from homeostat.core.events import RowsAppended
from homeostat.core.table.spec import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from homeostat.core.clock import Clock
    from homeostat.core.ledger import Ledger
    from homeostat.core.ports import Part, Source
    from homeostat.core.schema import Schema
    from homeostat.core.table.table import Table

_MOST_NOTES = 20
_MOSTLY = 0.9
"""A column of which this share are numbers is a number column with something else in it."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What one collection brought.

    Attributes:
        parts: Files (or frames) that were new and were taken in.
        skipped: Files that had been collected before.
        labelled: Rows that were there without a label and have it now.
        duplicates: Rows that were there already.
        late: New rows older than the newest one stored before.
        table_version: The table's version afterwards; -1 for a table without rows.
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


def collect(
    source: Source,
    table: Table,
    ledger: Ledger,
    loop: str,
    clock: Clock,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    accepted: Schema | None = None,
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
        accepted: What rows are held against beside the table, as `homeostat.ci.admit.schema_of` gives it: what a later
            run would refuse does not get in.

    Raises:
        NotFoundError: A file or a pattern's matches are not there.
        DataError: Lists what is wrong with which file.
        SchemaError: A file's columns are not those of the table.
    """
    tell = progress or (lambda _done, _all, _name: None)
    there, parts = new_parts(source, ledger, loop)
    notes: dict[str, None] = {}
    found, grown = _read_all(parts, table, tell, notes, accepted)
    grow(table, grown, ledger, loop, clock)
    read = list(zip(parts, found, strict=True))
    # Oldest first, so that only what comes late counts as late.
    read.sort(key=lambda one: one[1][source.spec.time].sort()[0])
    done: list[RowsAppended] = []
    for part, rows in read:
        tell(len(parts) + len(done), 2 * len(parts), part.name)
        source_name = f"{part.name}{MARK}{part.digest}"
        told = () if done else tuple(notes)[:_MOST_NOTES]
        done.append(record(rows, table, ledger, loop, clock, source=source_name, notes=told))
    tell(2 * len(parts), 2 * len(parts), "")
    return Collected(
        parts=len(parts),
        skipped=len(there) - len(parts),
        source_version=hashlib.sha256("".join(sorted({part.digest for part in there})).encode()).hexdigest()[:12],
        rows=sum(one.rows for one in done),
        labelled=sum(one.labelled for one in done),
        duplicates=sum(one.duplicates for one in done),
        late=sum(one.late for one in done),
        total=table.rows,
        table_version=table.version,
        newest=table.newest,
    )


def record(
    rows: pl.DataFrame,
    table: Table,
    ledger: Ledger,
    loop: str,
    clock: Clock,
    *,
    source: str,
    notes: tuple[str, ...] = (),
) -> RowsAppended:
    """Append rows that are in hand, such as drained predictions with their labels, and record it."""
    done = table.append(rows, source=source)
    if done.changed and MARK in source:
        told = f"{done.changed:,} rows have the key of another row and other values, and were left out"
        way = "to correct a row, take it out with `homeostat rows --remove` and write it into a new file"
        notes += (f"{source.rpartition(MARK)[0]}: {told}; {way}",)
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
        notes=notes,
    )
    ledger.append(event, time=clock.now())
    return event


def new_parts(source: Source, ledger: Ledger, loop: str) -> tuple[list[Part], list[Part]]:
    """All parts of a source, and those of them that were not collected yet, each content once."""
    there = _parts(source)
    seen, held = collected_before(ledger, loop), {part.digest: part for part in reversed(there)}
    return there, [part for part in there if part.digest not in seen and held[part.digest] is part]


def collected_before(ledger: Ledger, loop: str) -> frozenset[str]:
    """Digests of the parts that the ledger says were collected for a Loop."""
    events = (one.event for one in ledger.events(loop=loop, kinds=(RowsAppended,)))
    sources = (event.source for event in events if isinstance(event, RowsAppended))
    return frozenset(source.rpartition(MARK)[2] for source in sources if MARK in source)


def read_parts(
    parts: Sequence[Part], table: Table, tell: Callable[[int, int, str], None], notes: dict[str, None]
) -> tuple[list[tuple[str, pl.DataFrame]], list[DataError]]:
    """Names and rows of parts as their readers give them, and what is wrong with those that cannot be read."""
    frames: list[tuple[str, pl.DataFrame]] = []
    errors: list[DataError] = []
    for number, part in enumerate(parts):
        tell(number, 2 * len(parts), part.name)
        try:
            frames.append((part.name, _read(part, (), notes)))
        except DataError as error:
            errors.append(error)
    return (frames, errors) if errors else (_with_text(frames, parts, table, notes), errors)


def _read_all(
    parts: Sequence[Part],
    table: Table,
    tell: Callable[[int, int, str], None],
    notes: dict[str, None],
    accepted: Schema | None,
) -> tuple[list[pl.DataFrame], Growth]:
    """The rows of every part, checked against all that could refuse them later, and how the table grows for them."""
    from homeostat.core.schema.accepted import changed
    from homeostat.core.table.files import same_types
    from homeostat.core.table.rows import bulleted

    frames, errors = read_parts(parts, table, tell, notes)
    if not errors:
        rows = []
        grown = growth(table, [found for _, found in frames])
        accepted = None if accepted is None else changed(accepted, grown.changes)
        for part, found in zip(parts, same_types(frames, table.columns | grown.types, table.spec), strict=True):
            try:
                rows.append(table.conform(found, grown.types))
                refuse_skew(rows[-1], accepted)
            except DataError as error:
                errors.append(type(error)(f"{part.name}: {error.what}", hint=error.hint))
        if not errors:
            _refuse_beginning(rows, frames, table)
            return rows, grown
    if len(errors) == 1:
        raise errors[0]
    lines = [f"{error.what}; {error.hint}" if error.hint else error.what for error in errors]
    raise DataError(bulleted(f"{len(errors)} of {len(parts)} files cannot be collected, so none was", lines))


def _parts(source: Source) -> list[Part]:
    from homeostat.core.guarded import refusing

    with refusing(f"the source {source!r}"):
        return list(source.parts())


def _read(part: Part, text: Sequence[str], notes: dict[str, None]) -> pl.DataFrame:
    """The rows of a part; whatever its reader raises is a part that cannot be read, and ends nothing."""
    from homeostat.core.guarded import refusing

    with refusing(part.name):
        return part.read(text, notes.setdefault)


def _with_text(
    frames: list[tuple[str, pl.DataFrame]], parts: Sequence[Part], table: Table, notes: dict[str, None]
) -> list[tuple[str, pl.DataFrame]]:
    """The frames, those read again in which a column that is text elsewhere looks like something else.

    So a column that is `NA` in all rows of a file is unknown there when it holds numbers elsewhere, and is a country
    when it holds countries.
    """
    import polars as pl

    text = [name for name, dtype in table.columns.items() if dtype == pl.String]
    names = dict.fromkeys(name for _, rows in frames for name in rows.columns)
    text += [name for name in names if name not in table.columns and _is_text(name, frames)]
    known: dict[str, bool] = {}
    found = []
    for part, (name, rows) in zip(parts, frames, strict=True):
        other = [one for one in text if one in rows.columns and rows.schema[one] != pl.String]
        for one in other:
            if one not in known:
                known[one] = one not in table.columns or bool(table.read(columns=[one])[one].count())
        again = [one for one in other if known[one]]
        found.append((name, _read(part, again, notes) if again else rows))
    return found


def _is_text(name: str, frames: Sequence[tuple[str, pl.DataFrame]]) -> bool:
    """Whether a column that is text in some frames is text in all: most of its values are no numbers."""
    import polars as pl

    series = [rows[name] for _, rows in frames if name in rows.columns]
    text = [one for one in series if one.dtype == pl.String]
    present = sum(one.count() for one in series)
    numbers = sum(one.cast(pl.Float64, strict=False).count() for one in text)
    numbers += sum(one.count() for one in series if one.dtype != pl.String)
    return bool(text) and len(text) < len(series) and numbers < _MOSTLY * present


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
