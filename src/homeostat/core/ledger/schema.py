"""The ledger's tables, and how each event changes the status tables (projections) that are read most.

A projection is never written by hand: `project` is called for every event in the transaction that appends it, so
dropping the projections and projecting all events again gives the same rows.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
import sqlalchemy as sa

from homeostat.core import events as ev
from homeostat.core.errors import ConflictError, StoreError
from homeostat.core.ledger import unproven

FORMAT = 1
metadata = sa.MetaData()

meta = sa.Table("meta", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text))
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("loop", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("time", sa.Text, nullable=False),
    sa.Column("key", sa.Text, unique=True),
    sa.Column("cause", sa.Integer),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("prev", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("events_by_kind", "loop", "kind", "seq"),
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("loop", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("ended", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("version", sa.Integer),
)
steps = sa.Table(
    "steps",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("step", sa.Text, primary_key=True),
    sa.Column("loop", sa.Text, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("output", sa.Text),
    sa.Index("steps_by_name", "loop", "step", "seq"),
)
cache = sa.Table(
    "cache",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("output", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
)
versions = sa.Table(
    "versions",
    metadata,
    sa.Column("loop", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("trigger", sa.Text, nullable=False, unique=True),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("registered", sa.Text, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
)
champions = sa.Table(
    "champions",
    metadata,
    sa.Column("loop", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("previous", sa.Integer),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("since", sa.Text, nullable=False),
)
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("expires", sa.Text, nullable=False),
)
projections = (runs, steps, cache, versions, champions)

_add_run, _add_step, _add_version = sa.insert(runs), sa.insert(steps), sa.insert(versions)
_add_cache = sa.insert(cache)
_forget_cache = sa.delete(cache).where(cache.c.key == sa.bindparam("old_key"))
_forget_step = sa.delete(steps).where(steps.c.run == sa.bindparam("old_run"), steps.c.step == sa.bindparam("old_step"))


def stamp(moment: datetime) -> str:
    """A time as sortable text, always with microseconds."""
    return moment.isoformat(timespec="microseconds")


def project(connection: sa.Connection, seq: int, when: datetime, event: ev.Event) -> None:
    """Apply one event to the status tables."""
    match event:
        case ev.StepFinished():
            _project_steps(connection, [(seq, event)])
        case ev.RunStarted(trigger=trigger):
            row = {"run": event.run, "loop": event.loop, "status": "running", "trigger": trigger.key}
            row |= {"kind": trigger.kind, "reason": trigger.reason, "started": stamp(when)}
            connection.execute(_add_run, row)
        case ev.RunFinished():
            values = {"status": event.status, "ended": stamp(when), "error": event.error}
            connection.execute(sa.update(runs).where(runs.c.run == event.run).values(**values))
        case ev.VersionRegistered():
            place = {"loop": event.loop, "version": event.version, "registered": stamp(when), "seq": seq}
            row = {"trigger": event.trigger.key, "run": event.run, "manifest": event.manifest}
            row["state"] = "candidate" if event.passed or unproven.is_unproven(event.gates) else "refused"
            connection.execute(_add_version, place | row)
            connection.execute(sa.update(runs).where(runs.c.run == event.run).values(version=event.version))
        case ev.ArmsSet():
            for arm in event.arms:
                _set_state(connection, event.loop, arm.version, arm.role)
        case ev.TrialEnded(outcome=outcome) if outcome != "promoted":
            _set_state(connection, event.loop, event.challenger, outcome)
        case ev.Promoted() | ev.RolledBack():
            _project_champion(connection, when, event)


def project_many(connection: sa.Connection, when: datetime, batch: list[tuple[int, ev.AnyEvent]]) -> None:
    """Apply several events; the records of steps, of which a run may have hundreds, are applied together."""
    _project_steps(connection, [(seq, event) for seq, event in batch if isinstance(event, ev.StepFinished)])
    for seq, event in batch:
        if not isinstance(event, ev.StepFinished):
            project(connection, seq, when, event)


def _project_steps(connection: sa.Connection, batch: list[tuple[int, ev.StepFinished]]) -> None:
    if not batch:
        return
    ended = {(event.run, event.step): (seq, event) for seq, event in batch}
    stored = {event.key: event for _, event in batch if event.outcome == "ran" and event.key is not None}
    connection.execute(_forget_step, [{"old_run": run, "old_step": step} for run, step in ended])
    columns = ("run", "step", "loop", "seq", "outcome", "output")
    rows = [(each.run, each.step, each.loop, seq, each.outcome, each.output) for seq, each in ended.values()]
    connection.execute(_add_step, [dict(zip(columns, row, strict=True)) for row in rows])
    if stored:
        connection.execute(_forget_cache, [{"old_key": key} for key in stored])
        kept = [{"key": key, "step": each.step, "output": each.output, "run": each.run} for key, each in stored.items()]
        connection.execute(_add_cache, kept)


def _project_champion(connection: sa.Connection, when: datetime, event: ev.Promoted | ev.RolledBack) -> None:
    """Change the one champion row by compare-and-set on its epoch."""
    values = {"version": event.version, "previous": event.previous, "epoch": event.epoch, "since": stamp(when)}
    if event.epoch == 1:
        taken = connection.execute(sa.select(champions.c.epoch).where(champions.c.loop == event.loop)).first()
        if taken is not None:
            raise ConflictError(f"loop {event.loop!r} has a champion already", hint="read the champion again and retry")
        connection.execute(sa.insert(champions).values(loop=event.loop, **values))
    else:
        found = champions.c.loop == event.loop, champions.c.epoch == event.epoch - 1
        if connection.execute(sa.update(champions).where(*found).values(**values)).rowcount != 1:
            what = f"the champion of loop {event.loop!r} changed while version {event.version} was being promoted"
            raise ConflictError(what, hint="read the champion again and retry")
    if event.previous is not None and event.previous != event.version:
        left = "retired" if isinstance(event, ev.Promoted) else "rolled_back"
        _set_state(connection, event.loop, event.previous, left)
    _set_state(connection, event.loop, event.version, "champion")


def _set_state(connection: sa.Connection, loop: str, version: int, state: str) -> None:
    chosen = versions.c.loop == loop, versions.c.version == version
    connection.execute(sa.update(versions).where(*chosen).values(state=state))


def encode(event: ev.Event) -> str:
    """An event as canonical JSON: fixed field order, sorted mappings."""
    return msgspec.json.encode(event, order="sorted").decode()


_decoder: msgspec.json.Decoder[ev.AnyEvent] = msgspec.json.Decoder(ev.AnyEvent)


def decode(data: str) -> ev.AnyEvent:
    """The event behind its JSON.

    Raises:
        StoreError: it is of a kind that this version does not know.
    """
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        what = f"the ledger holds an event that this Homeostat does not understand: {error}"
        raise StoreError(what, hint="if a newer one wrote it: pip install --upgrade homeostat") from error
