"""The schema that rows are held against: the champion's, with the changes that were accepted since."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import msgspec

from homeostat.core.events import SchemaAccepted
from homeostat.core.schema.columns import Column, Kind, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from homeostat.core.events import ColumnChange
    from homeostat.core.ledger import Ledger

_TEXTS = {"category", "text"}


def accepted_schema(ledger: Ledger, loop: str, champions: Schema | None) -> Schema | None:
    """What new rows of a loop have to look like; None before its first champion, when there is nothing to hold to."""
    if champions is None:
        return None
    events = (one.event for one in ledger.events(loop=loop, kinds=(SchemaAccepted,)))
    return changed(
        champions, (change for event in events if isinstance(event, SchemaAccepted) for change in event.changes)
    )


def changed(schema: Schema, changes: Iterable[ColumnChange]) -> Schema:
    """A schema after changes, in their order; one that it has already changes nothing.

    Example:
        >>> from homeostat.core.events import ColumnChange
        >>> from homeostat.core.table.spec import TableSpec
        >>> old = Schema(columns=(Column(name="n", kind="integer", nullable=False),), spec=TableSpec(time="at"))
        >>> changed(old, [ColumnChange(column="n", kind="number", nullable=True)]).columns[0].kind
        'number'
    """
    columns = {column.name: column for column in schema.columns}
    for change in changes:
        if change.kind is None:
            columns.pop(change.column, None)
            continue
        old = columns.get(change.column)
        kind: Kind = change.kind if change.kind in get_args(Kind) else "text"  # type: ignore[assignment]
        if old is None or not _alike(old.kind, kind):
            nullable = change.nullable or (old is not None and old.nullable)
            columns[change.column] = Column(name=change.column, kind=kind, nullable=nullable)
        elif change.nullable and not old.nullable:
            columns[change.column] = msgspec.structs.replace(old, nullable=True)
    return msgspec.structs.replace(schema, columns=tuple(columns.values()))


def widens(old: Column, new: str) -> bool:
    """Whether whoever sends values of a column may go on as before when it is of another kind from now on.

    So whole numbers may become fractions, and a column that never had a value may become anything.
    """
    return _alike(old.kind, new) or (old.kind == "integer" and new == "number") or never_held(old)


def never_held(column: Column) -> bool:
    """Whether no row ever had a value in a column, so that its kind is only a guess."""
    return column.kind in _TEXTS and column.nullable and column.categories == ()


def _alike(old: str, new: str) -> bool:
    return old == new or {old, new} <= _TEXTS
