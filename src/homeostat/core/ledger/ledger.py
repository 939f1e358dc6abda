"""The ledger: one append-only, hash-chained record of everything that happened, and the status read from it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import sqlalchemy as sa

from homeostat.core import crash_points
from homeostat.core import events as ev
from homeostat.core.errors import ConflictError, NotFoundError, StoreError
from homeostat.core.ledger import schema as db
from homeostat.core.ledger.local import local_database
from homeostat.core.ledger.rows import CacheRow, ChampionRow, Lease, Recorded, RunRow, VersionRow
from homeostat.core.ledger.states import check_moves
from homeostat.core.ledger.verify import GENESIS, chain, kind_of, status_tables, verify_rows
from homeostat.core.loop_names import check_loop_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from homeostat.core.ports import Changes, Database

_Row = TypeVar("_Row", bound=msgspec.Struct)


class Transaction:
    """Several appends and reads that are committed together, or not at all."""

    def __init__(self, connection: sa.Connection, seen: tuple[int, str] = (0, GENESIS)) -> None:
        self._connection = connection
        self._seq, self._hash = head(connection, seen)

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the newest event."""
        return self._seq, self._hash

    def append(
        self, event: ev.AnyEvent, *, time: datetime, key: str | None = None, cause: int | None = None
    ) -> Recorded:
        """Append one event; when its key is taken, return what stands there and change nothing."""
        taken = self.find(key) if key is not None else None
        if taken is not None:
            return msgspec.structs.replace(taken, fresh=False)
        check_loop_name(event.loop)
        check_moves(self._connection, event)
        seq, data, when = self._seq + 1, db.encode(event), db.stamp(time)
        digest = chain(self._hash, seq, when, key, cause, data)
        row_values = {"seq": seq, "loop": event.loop, "kind": kind_of(event), "time": when, "key": key, "cause": cause}
        row_values |= {"data": data, "prev": self._hash, "hash": digest}
        self._connection.execute(_insert_event, row_values)
        db.project(self._connection, seq, time, event)
        self._seq, self._hash = seq, digest
        return Recorded(seq, time, key, cause, digest, event)

    def append_many(self, batch: Iterable[ev.AnyEvent], *, time: datetime) -> list[Recorded]:
        """Append events without keys; one statement per table, however many there are."""
        recorded, rows, when = [], [], db.stamp(time)
        for event in batch:
            check_loop_name(event.loop)
            seq, data = self._seq + 1, db.encode(event)
            digest = chain(self._hash, seq, when, None, None, data)
            row = {"seq": seq, "loop": event.loop, "kind": kind_of(event), "time": when, "key": None, "cause": None}
            rows.append(row | {"data": data, "prev": self._hash, "hash": digest})
            recorded.append(Recorded(seq, time, None, None, digest, event))
            self._seq, self._hash = seq, digest
        if rows:
            self._connection.execute(_insert_event, rows)
            db.project_many(self._connection, time, [(each.seq, each.event) for each in recorded])
        return recorded

    def events(
        self, *, loop: str | None = None, kinds: tuple[type[ev.Event], ...] = (), after: int = 0
    ) -> Iterator[Recorded]:
        """Events in order."""
        return map(_recorded, self._connection.execute(_select_events(loop, kinds, after)).all())

    def find(self, key: str) -> Recorded | None:
        """The event with this key."""
        row = self._connection.execute(sa.select(db.events).where(db.events.c.key == key)).first()
        return _recorded(row) if row is not None else None

    def champion(self, loop: str) -> ChampionRow | None:
        """The champion as this transaction sees it."""
        row = self._connection.execute(sa.select(db.champions).where(db.champions.c.loop == loop)).first()
        return _row(ChampionRow, row) if row else None

    def register(self, event: ev.VersionRegistered, *, time: datetime) -> tuple[Recorded, bool]:
        """Give a model the next version number, unless its trigger has registered one already."""
        key = f"version:{event.trigger.key}"
        taken = self.find(key)
        if taken is not None:
            return taken, False
        highest = sa.select(sa.func.max(db.versions.c.version)).where(db.versions.c.loop == event.loop)
        number = (self._connection.execute(highest).scalar() or 0) + 1
        return self.append(msgspec.structs.replace(event, version=number), time=time, key=key), True

    def hold(self, lease: Lease) -> None:
        """Make sure that a lease is still ours.

        Raises:
            ConflictError: somebody else took it; nothing that depends on it may be written.
        """
        row = self._connection.execute(sa.select(db.leases).where(db.leases.c.name == lease.name)).first()
        if row is None or (row.owner, row.fence) != (lease.owner, lease.fence):
            what = f"the lease {lease.name!r} passed to another process; what this one was doing changes nothing"
            raise ConflictError(what)


class Ledger:
    """The record of one store.

    Raises:
        StoreError: The database cannot be read, is of a newer format, or is empty and may not be begun.

    Example:
        >>> ledger = Ledger.open(":memory:")
        >>> from datetime import UTC
        >>> fact = ev.LoopStarted(loop="demo", who="ann", declaration="0")
        >>> ledger.append(fact, time=datetime(2026, 1, 1, tzinfo=UTC)).seq
        1
        >>> ledger.verify()
        1
    """

    def __init__(self, database: Database, *, create: bool = True) -> None:
        self.database = database
        self._seen = (0, GENESIS)
        if not self._is_made():
            if not create:
                hint = "it was emptied: restore it from a backup; nothing makes a new one in its place"
                raise StoreError(f"the ledger {database.name} holds nothing at all", hint=hint)
            self._create()

    @classmethod
    def open(cls, path: Path | str, *, create: bool = True) -> Ledger:
        """Open the ledger in a file, creating it when there is none. `":memory:"` keeps it in this process.

        Raises:
            StoreError: As above, or the file cannot be opened or made.
            UserError: It lies on a network share.
        """
        return cls(local_database(path, create=create), create=create)

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    @contextmanager
    def transaction(self, lease: Lease | None = None) -> Iterator[Transaction]:
        """Several appends, one commit; with a lease, only while the lease is held."""
        with self.database.writing() as connection:
            tx = Transaction(connection, self._seen)
            if lease is not None:
                tx.hold(lease)
            yield tx
        self._seen = max(self._seen, tx.head)

    def check_whole(self) -> None:
        """Make sure that the ledger still holds all that this process knows of it; for those who run for long.

        Raises:
            StoreError: it was deleted, emptied, or replaced by an older copy.
        """
        with self.database.reading() as connection:
            self._seen = max(self._seen, head(connection, self._seen))

    def append(
        self,
        event: ev.AnyEvent,
        *,
        time: datetime,
        key: str | None = None,
        cause: int | None = None,
        lease: Lease | None = None,
    ) -> Recorded:
        """Append one event and commit."""
        with self.transaction(lease) as tx:
            return tx.append(event, time=time, key=key, cause=cause)

    def append_many(
        self, batch: Iterable[ev.AnyEvent], *, time: datetime, lease: Lease | None = None
    ) -> list[Recorded]:
        """Append several events in one commit."""
        with self.transaction(lease) as tx:
            return tx.append_many(batch, time=time)

    def register(
        self, event: ev.VersionRegistered, *, time: datetime, lease: Lease | None = None
    ) -> tuple[Recorded, bool]:
        """Register a version once for its trigger; the second value says whether it is new."""
        with self.transaction(lease) as tx:
            recorded, fresh = tx.register(event, time=time)
            crash_points.point("register.before_commit")
        crash_points.point("register.after_commit")
        return recorded, fresh

    def promote(
        self, loop: str, version: int, *, expected_epoch: int, who: str, reason: str, time: datetime
    ) -> Recorded:
        """Make a version the champion if the champion's epoch is still the expected one (0: there is none).

        Raises:
            ConflictError: the champion changed meanwhile.
        """
        self.version(loop, version)
        with self.transaction() as tx:
            now = tx.champion(loop)
            event = ev.Promoted(
                loop=loop,
                version=version,
                previous=now.version if now else None,
                epoch=expected_epoch + 1,
                who=who,
                reason=reason,
            )
            recorded = tx.append(event, time=time)
            crash_points.point("promote.before_commit")
        crash_points.point("promote.after_commit")
        return recorded

    def events(
        self, *, loop: str | None = None, kinds: tuple[type[ev.Event], ...] = (), after: int = 0
    ) -> Iterator[Recorded]:
        """Events in order, optionally of one loop, of some kinds, after a ledger number."""
        return map(_recorded, self._all(_select_events(loop, kinds, after)))

    def event(self, seq: int) -> Recorded:
        """The event with this ledger number."""
        rows = self._all(sa.select(db.events).where(db.events.c.seq == seq))
        if not rows:
            raise NotFoundError(f"the ledger has no event {seq}", hint=f"the newest is {self.newest()}")
        return _recorded(rows[0])

    def heads(self) -> list[Recorded]:
        """The newest event of every loop."""
        newest = sa.select(sa.func.max(db.events.c.seq)).group_by(db.events.c.loop)
        return [_recorded(row) for row in self._all(_select_events(None, (), 0).where(db.events.c.seq.in_(newest)))]

    def newest(self) -> int:
        """Ledger number of the newest event; 0 when there is none."""
        return int(self._all(sa.select(sa.func.coalesce(sa.func.max(db.events.c.seq), 0)))[0][0])

    def changes(self) -> Changes:
        """What tells whether the ledger may have changed, for those who look at it many times a second."""
        return self.database.changes()

    def loops(self) -> list[str]:
        """Names of all loops in the ledger."""
        return [row[0] for row in self._all(sa.select(db.events.c.loop).distinct().order_by(db.events.c.loop))]

    def runs(self, loop: str | None = None, *, status: ev.RunStatus | None = None) -> list[RunRow]:
        """Runs, newest first, optionally of one loop and with one status."""
        query = sa.select(db.runs).order_by(db.runs.c.started.desc(), db.runs.c.run)
        query = query.where(db.runs.c.loop == loop) if loop else query
        query = query.where(db.runs.c.status == status) if status else query
        return [_row(RunRow, row) for row in self._all(query)]

    def run(self, run: str) -> RunRow:
        """The status of one run; a unique beginning of its id is enough."""
        rows = self._all(sa.select(db.runs).where(db.runs.c.run.startswith(run, autoescape=True)).limit(2))
        if len(rows) != 1:
            what = f"{'more than one run begins' if rows else 'no run begins'} with {run!r}"
            raise NotFoundError(what, hint="`homeostat runs` lists them")
        return _row(RunRow, rows[0])

    def steps(self, run: str) -> list[Recorded]:
        """The newest record of every step of a run, in the order they ended."""
        joined = sa.select(db.events).join(db.steps, db.steps.c.seq == db.events.c.seq)
        return [_recorded(row) for row in self._all(joined.where(db.steps.c.run == run).order_by(db.events.c.seq))]

    def last_step(self, loop: str, step: str, *, before: int | None = None) -> Recorded | None:
        """The newest record of a step in any run of the loop, before a ledger number when one is given."""
        joined = sa.select(db.events).join(db.steps, db.steps.c.seq == db.events.c.seq)
        chosen = joined.where(db.steps.c.loop == loop, db.steps.c.step == step)
        if before is not None:
            chosen = chosen.where(db.steps.c.seq < before)
        rows = self._all(chosen.order_by(db.steps.c.seq.desc()).limit(1))
        return _recorded(rows[0]) if rows else None

    def last_steps(self, loop: str) -> dict[str, ev.StepFinished]:
        """The newest record of every step that any run of the loop had, by the step's name."""
        newest = sa.select(sa.func.max(db.steps.c.seq)).where(db.steps.c.loop == loop).group_by(db.steps.c.step)
        found = [_recorded(row).event for row in self._all(sa.select(db.events).where(db.events.c.seq.in_(newest)))]
        return {event.step: event for event in found if isinstance(event, ev.StepFinished)}

    def cache_get(self, key: str) -> CacheRow | None:
        """The earlier result that was stored under a step's key."""
        row = self.database.look_up(_select_cache, key)
        return CacheRow(*row) if row else None

    def versions(self, loop: str) -> list[VersionRow]:
        """Versions of a loop, newest first."""
        query = sa.select(db.versions).where(db.versions.c.loop == loop).order_by(db.versions.c.version.desc())
        return [_row(VersionRow, row) for row in self._all(query)]

    def version(self, loop: str, version: int) -> VersionRow:
        """The status of one version."""
        rows = [row for row in self.versions(loop) if row.version == version]
        if not rows:
            raise NotFoundError(f"loop {loop!r} has no version {version}", hint="`homeostat versions` lists them")
        return rows[0]

    def champion(self, loop: str) -> ChampionRow | None:
        """The champion of a loop, or None before the first promotion."""
        rows = self._all(sa.select(db.champions).where(db.champions.c.loop == loop))
        return _row(ChampionRow, rows[0]) if rows else None

    def arms(self, loop: str) -> Recorded | None:
        """The newest division of traffic; its event is an `ArmsSet`."""
        return self.last(loop, ev.ArmsSet)

    def last(self, loop: str, kind: type[ev.Event]) -> Recorded | None:
        """The newest event of a kind."""
        query = _select_events(loop, (kind,), 0).order_by(None).order_by(db.events.c.seq.desc()).limit(1)
        rows = self._all(query)
        return _recorded(rows[0]) if rows else None

    def acquire(self, name: str, owner: str, *, ttl: timedelta, now: datetime, dead: str | None = None) -> Lease:
        """Claim a piece of work for `ttl`; the owner may claim it again, another one after it expired.

        What an owner holds that is known to be `dead` may be taken at once.

        Raises:
            ConflictError: somebody else holds it; the message says who and until when.
        """
        with self.transaction() as tx:
            connection = tx._connection  # noqa: SLF001 - leases are not events
            row = connection.execute(sa.select(db.leases).where(db.leases.c.name == name)).first()
            if row is not None and row.owner not in (owner, dead) and row.expires > db.stamp(now):
                raise ConflictError(f"{name} is held by {row.owner} until {row.expires}")
            fence = 1 if row is None else row.fence + (row.owner != owner)
            values = {"owner": owner, "fence": fence, "expires": db.stamp(now + ttl)}
            if row is None:
                connection.execute(sa.insert(db.leases).values(name=name, **values))
            else:
                connection.execute(sa.update(db.leases).where(db.leases.c.name == name).values(**values))
        return Lease(name, owner, fence)

    def renew(self, lease: Lease, *, ttl: timedelta, now: datetime) -> None:
        """Keep a lease.

        Raises:
            ConflictError: it passed to somebody else.
        """
        with self.transaction(lease) as tx:
            expires = sa.update(db.leases).where(db.leases.c.name == lease.name).values(expires=db.stamp(now + ttl))
            tx._connection.execute(expires)  # noqa: SLF001

    def release(self, lease: Lease) -> None:
        """Give a lease back; one that was lost is left alone. The fence stays, so that it can only grow."""
        mine = db.leases.c.name == lease.name, db.leases.c.owner == lease.owner, db.leases.c.fence == lease.fence
        with self.transaction() as tx:
            tx._connection.execute(sa.update(db.leases).where(*mine).values(owner="", expires=""))  # noqa: SLF001

    def holds(self, lease: Lease) -> bool:
        """Whether a lease is still this one's; one that ran out and that nobody took is."""
        rows = self._all(sa.select(db.leases).where(db.leases.c.name == lease.name))
        return bool(rows) and (rows[0].owner, rows[0].fence) == (lease.owner, lease.fence)

    def lease_holder(self, name: str, *, now: datetime) -> str | None:
        """Who holds a lease now."""
        rows = self._all(sa.select(db.leases).where(db.leases.c.name == name, db.leases.c.expires > db.stamp(now)))
        return str(rows[0].owner) if rows else None

    def verify(self) -> int:
        """Recompute the hash chain and all that follows from it; returns the number of events.

        Events that were removed from the end leave a whole chain: see `homeostat.core.ledger.anchor`.

        Raises:
            IntegrityError: an event was changed, removed or inserted, or a status table is not what the events give;
                the message names the first one.
        """
        self.database.check()
        with self.database.reading() as connection:
            rows = connection.execute(sa.select(db.events).order_by(db.events.c.seq)).all()
            stored = status_tables(connection)
        with self.database.scratch() as scratch:
            return verify_rows(rows, stored, scratch)

    def rebuild(self) -> None:
        """Drop the status tables' rows and project all events again."""
        with self.transaction() as tx:
            for table in db.projections:
                tx._connection.execute(sa.delete(table))  # noqa: SLF001
            for recorded in tx.events():
                db.project(tx._connection, recorded.seq, recorded.time, recorded.event)  # noqa: SLF001

    def _all(self, query: sa.Select[Any]) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.execute(query).all())

    def _is_made(self) -> bool:
        """Whether the tables are there; refuses those of a newer format."""
        with self.database.reading() as connection:
            if not sa.inspect(connection).has_table(db.meta.name):
                return False
            found = connection.execute(sa.select(db.meta.c.value).where(db.meta.c.name == "format")).scalar()
        if found is not None and int(found) > db.FORMAT:
            what = f"the ledger has format {found} and this Homeostat reads up to {db.FORMAT}"
            raise StoreError(what, hint="upgrade: pip install --upgrade homeostat")
        return found is not None

    def _create(self) -> None:
        with self.database.writing() as connection:
            db.metadata.create_all(connection)
            if connection.execute(sa.select(db.meta)).first() is None:  # another process may have been faster
                connection.execute(sa.insert(db.meta).values(name="format", value=str(db.FORMAT)))


def head(connection: sa.Connection, seen: tuple[int, str]) -> tuple[int, str]:
    """Number and hash of the newest event of a ledger that holds what was seen of it before.

    Raises:
        StoreError: it does not.
    """
    query = sa.select(db.events.c.seq, db.events.c.hash)
    last = connection.execute(query.order_by(db.events.c.seq.desc()).limit(1)).first()
    found = (last.seq, last.hash) if last else (0, GENESIS)
    known = found if found[0] == seen[0] else connection.execute(query.where(db.events.c.seq == seen[0])).first()
    if seen[0] and (known is None or tuple(known) != seen):
        what = (
            f"the ledger was replaced by another one while it was in use: event {seen[0]} is not the one that was there"
        )
        hint = "restore the newest one from a backup, then start again; the other lacks what happened since"
        raise StoreError(what, hint=hint)
    return found


_insert_event = sa.insert(db.events)
_select_cache = sa.select(db.cache).where(db.cache.c.key == sa.bindparam("wanted"))


def _select_events(loop: str | None, kinds: tuple[type[ev.Event], ...], after: int) -> sa.Select[Any]:
    query = sa.select(db.events).where(db.events.c.seq > after).order_by(db.events.c.seq)
    if loop is not None:
        query = query.where(db.events.c.loop == loop)
    if kinds:
        query = query.where(db.events.c.kind.in_([str(kind.__struct_config__.tag) for kind in kinds]))
    return query


def _recorded(row: Any) -> Recorded:
    return Recorded(row.seq, datetime.fromisoformat(row.time), row.key, row.cause, row.hash, db.decode(row.data))


def _row(kind: type[_Row], row: Any) -> _Row:
    return msgspec.convert({name: getattr(row, name) for name in kind.__struct_fields__}, kind)
