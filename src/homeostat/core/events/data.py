"""Events of the data: rows that came or went, a changed schema, a table that does not fit, and what the monitor saw."""

from __future__ import annotations

from datetime import datetime

import msgspec

from homeostat.core.events.measured import Judgement, Performance, Signal
from homeostat.core.events.values import Event


class RowsAppended(Event, tag="rows_appended", frozen=True, kw_only=True):
    """New rows landed in a table."""

    table: str
    table_version: int
    source: str
    rows: int
    duplicates: int
    late: int
    total: int
    newest: datetime | None
    labelled: int = 0
    notes: tuple[str, ...] = ()


class RowsRemoved(Event, tag="rows_removed", frozen=True, kw_only=True):
    """Rows were taken out of a table. The version before still has them, for what was trained on it."""

    table: str
    user: str
    reason: str
    selection: str
    rows: int
    before: int
    after: int
    total: int


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a column is from now on; a kind of None means that it is gone."""

    column: str
    kind: str | None
    nullable: bool = False


class SchemaAccepted(Event, tag="schema_accepted", frozen=True, kw_only=True):
    """A change of the schema was accepted: from now on, rows are held against the changed one.

    Attributes:
        user: Who accepted it: a person, or the loop where nothing that was known before is lost.
    """

    user: str
    reason: str
    changes: tuple[ColumnChange, ...]
    described: tuple[str, ...]


class BatchRefused(Event, tag="batch_refused", frozen=True, kw_only=True):
    """A table that was to be predicted as a whole does not fit the model's schema: nothing of it was predicted."""

    source: str
    version: int
    problems: tuple[str, ...]


class Observed(Event, tag="observed", frozen=True, kw_only=True):
    """What the monitor saw at `now`: the only thing that policies look at.

    Attributes:
        trainable: Rows of the training table whose label has matured by now.
        signals: One per column, metric and service that was looked at, alarmed or not.
        performance: One per arm with matured labels.
        source_version: Version of the upstream source, where it has one (for `when.new_version`).
    """

    now: datetime
    rows: int
    labelled: int
    trainable: int
    newest: datetime | None = None
    signals: tuple[Signal, ...] = ()
    performance: tuple[Performance, ...] = ()
    judgement: Judgement | None = None
    source_version: str | None = None
