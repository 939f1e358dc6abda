"""Whether a ledger still says what was written: its hash chain, its columns, and its status tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from homeostat.core import events as ev
from homeostat.core.errors import IntegrityError
from homeostat.core.ledger import schema as db

GENESIS = "0" * 64
"""What the first event follows."""

_BATCH = 500
_Tables = dict[str, set[tuple[Any, ...]]]


def chain(previous: str, seq: int, time: str, key: str | None, cause: int | None, data: str) -> str:
    """An event's hash, which covers the one before it."""
    return hashlib.sha256(msgspec.json.encode([previous, seq, time, key, cause, data])).hexdigest()


def kind_of(event: ev.Event) -> str:
    """The kind of an event, by which it is looked for."""
    return str(type(event).__struct_config__.tag)


def status_tables(connection: sa.Connection) -> _Tables:
    """All rows of the status tables, by the table's name."""
    return {table.name: {tuple(row) for row in connection.execute(sa.select(table)).all()} for table in db.projections}


def verify_rows(rows: Iterable[Any], stored: _Tables, scratch: sa.Connection) -> int:
    """Check the rows of `events`, and the status tables against them, in one pass.

    Raises:
        IntegrityError: an event or a status table is not what was written; the message names the first one.
    """
    db.metadata.create_all(scratch, tables=db.projections)
    count = _project(scratch, rows)
    expected = status_tables(scratch)
    for name, wanted in expected.items():
        if stored[name] != wanted:
            what = f"the ledger's table {name!r} was altered: {_difference(stored[name], wanted)}"
            hint = "the events are whole: `homeostat verify --rebuild` (in Python: `Ledger.rebuild()`) mends the table"
            raise IntegrityError(what, hint=hint)
    return count


def _project(connection: sa.Connection, rows: Iterable[Any]) -> int:
    """Project all events, each checked first; the many records of steps are projected in batches."""
    previous, count = GENESIS, 0
    steps: list[tuple[int, ev.AnyEvent]] = []
    moment = datetime.min  # noqa: DTZ901 - no record of a step is projected with its time
    for row in rows:
        count += 1
        event = _checked(row, previous, count)
        previous = row.hash
        if isinstance(event, ev.StepFinished):
            steps.append((count, event))
            if len(steps) == _BATCH:
                db.project_many(connection, moment, steps)
                steps = []
        else:
            db.project(connection, count, datetime.fromisoformat(row.time), event)
    db.project_many(connection, moment, steps)
    return count


def _checked(row: Any, previous: str, count: int) -> ev.AnyEvent:
    """The event of a row that follows from the one before it and says the same in its columns."""
    expected = chain(previous, count, row.time, row.key, row.cause, row.data)
    hint = "restore the ledger from a backup; later events cannot be trusted"
    if row.seq != count or row.prev != previous or row.hash != expected:
        what = f"the ledger was altered at event {count}: its hash does not follow from the event before it"
        raise IntegrityError(what, hint=hint)
    event = db.decode(row.data)
    for name, said, meant in (("loop", row.loop, event.loop), ("kind", row.kind, kind_of(event))):
        if said != meant:
            what = f"the ledger was altered at event {count}: {name!r} is {said!r:.80} and has to be {meant!r}"
            raise IntegrityError(what, hint=hint)
    return event


def _difference(stored: set[tuple[Any, ...]], wanted: set[tuple[Any, ...]]) -> str:
    """How many rows the events do not give, and one of them."""
    added, missing = stored - wanted, wanted - stored
    example = min(map(repr, added or missing))
    return f"{len(added)} rows do not follow from the events and {len(missing)} are missing, such as {example:.200}"
