"""What people ask of a loop: each request is recorded and decided upon, and answered with values to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from homeostat.core import events as ev
from homeostat.core.claims import in_charge
from homeostat.core.clock import SystemClock, new_id
from homeostat.core.errors import NotFoundError, RefusedError, UserError
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from homeostat.cd.labels.files import Delivered, LabelColumns
    from homeostat.core.store import Store
    from homeostat.engine.table.remove import Selection
    from homeostat.loop import Loop


class RequestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided upon a request."""

    seq: int
    decided: tuple[ev.Decided, ...]
    facts: tuple[ev.AnyEvent, ...]

    @property
    def refused(self) -> str | None:
        """Why the answer is no; None when it is not."""
        return "; ".join(one.reason for one in self.decided if one.outcome == "refused") or None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between what was accepted and the files at the source, and whether it is accepted now."""

    files: tuple[str, ...]
    changes: tuple[ev.ColumnChange, ...]
    described: tuple[str, ...]
    accepted: bool


class ExportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version in a folder of its own."""

    loop: str
    version: int
    folder: str


class ImportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that came from another store, and what the gates of this one made of it."""

    loop: str
    version: int
    state: str
    gates: tuple[ev.GateResult, ...]


def retrain(store: Store, loop: Loop, *, user: str, reason: str) -> RequestAnswer:
    """Ask for a new model: `homeostat up` trains it, or whoever calls `engine.training.here.train_here`."""
    request = new_id("request-")
    event = ev.RetrainRequested(loop=loop.name, user=user, reason=reason, request=request)
    return _answer(_caught_up(store, loop), event)


def promote(store: Store, loop: Loop, version: int, *, user: str, reason: str, trial: bool = False) -> RequestAnswer:
    """Ask that a version becomes champion, at once or after a trial."""
    event = ev.PromotionRequested(loop=loop.name, version=version, user=user, reason=reason, direct=not trial)
    return _answer(_caught_up(store, loop), event)


def rollback(store: Store, loop: Loop, version: int | None = None, *, user: str, reason: str) -> RequestAnswer:
    """Ask to go back to an earlier champion, the previous one by default."""
    event = ev.RollbackRequested(loop=loop.name, version=version, user=user, reason=reason)
    return _answer(_caught_up(store, loop), event)


def cancel(store: Store, loop: Loop, *, user: str, reason: str) -> RequestAnswer:
    """Ask to end the trial or the run in flight; a run that no live loop could end is ended here."""
    from homeostat.engine.training.training import end_training

    feed = _caught_up(store, loop)
    answer = _answer(feed, ev.CancelRequested(loop=loop.name, user=user, reason=reason))
    state = feed.catch_up()
    if state.inflight is not None and state.cancelling and in_charge(store.ledger, loop.name) is None:
        end_training(store, feed, SystemClock(), state.inflight.key, "cancelled", f"{user}: {reason}")
    return answer


def run(store: Store, loop: Loop, *, user: str, reason: str, resume: str | None = None) -> str | None:
    """Ask for one run of the pipeline, unless one is in flight.

    Returns:
        The whole id of the run to resume, if any.

    Raises:
        NotFoundError: There is no such run in this loop.
        RefusedError: There is nothing to go on with: it succeeded, it still runs, or another run is in flight.
    """
    before = _to_resume(store, loop, resume) if resume is not None else None
    if _caught_up(store, loop).state.inflight is None:
        retrain(store, loop, user=user, reason=f"resume of {before}" if before is not None else reason)
    return before


def accept_schema(store: Store, loop: Loop, *, user: str, reason: str, dry_run: bool = False) -> Accepted:
    """Take a change of the table's columns that is meant; with `dry_run` only say what differs."""
    from homeostat.engine.table.accept import accept, propose

    found = propose(store, loop)
    accepted = bool(found.changes) and not dry_run
    if accepted:
        accept(store, loop, found, user=user, reason=reason, clock=SystemClock())
    return Accepted(files=found.files, changes=found.changes, described=found.described, accepted=accepted)


def remove_rows(store: Store, loop: Loop, selection: Selection, *, user: str, reason: str | None) -> ev.RowsRemoved:
    """Take rows out of the loop's table; the version before keeps them.

    Raises:
        UserError: Nothing says which rows, or why.
        NotFoundError: No row is meant.
    """
    from homeostat.engine.table.remove import remove

    why = check_removal(selection, reason)
    table = store.table(loop.name, "rows", loop.source.spec)
    return remove(store, loop.name, table, selection, user=user, reason=why, clock=SystemClock())


def check_removal(selection: Selection, reason: str | None) -> str:
    """Why rows are to be taken out."""
    if selection == type(selection)():
        raise UserError("--remove without saying which rows", hint="--key, --since, --until, --source or --where")
    if reason is None:
        raise UserError("--remove without a reason", hint="it is recorded: --reason TEXT")
    return reason


def give_labels(
    store: Store,
    loop: str,
    table: str,
    columns: LabelColumns,
    *,
    separator: str = ",",
    dry_run: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Delivered:
    """Give the labels of a whole table, all of them or none; the same table given twice changes nothing.

    Raises:
        NotFoundError: The loop has no champion that they could belong to.
        DataError: A label does not fit the model.
    """
    from homeostat.cd.labels.files import deliver, read_labels
    from homeostat.cd.log.archive import Archive
    from homeostat.core.model import Bundle

    champion, now = store.ledger.champion(loop), SystemClock().now()
    if champion is None:
        raise NotFoundError(f"loop {loop!r} has no champion yet", hint="`homeostat run` trains the first one")
    manifest = Bundle.read(store.artifacts, store.ledger.version(loop, champion.version).manifest).manifest
    label_time = manifest.schema.spec.label_time
    items, empty = read_labels(
        table, manifest.signature, now, label_time=label_time, named=columns, separator=separator
    )
    archive = Archive(store, loop)
    return deliver(items, store.log_folder(loop), archive, now, dry_run=dry_run, progress=progress, empty=empty)


def export_version(store: Store, loop: str, version: int, folder: Path) -> ExportedVersion:
    """Write a version into a new folder, to be imported elsewhere."""
    from homeostat.engine.registry.transfer import export

    export(store, loop, version, folder)
    return ExportedVersion(loop=loop, version=version, folder=str(folder))


def import_version(
    store: Store, folder: Path, loop: Loop | None = None, *, user: str, vouch: str | None = None
) -> ImportedVersion:
    """Register an exported version; with `vouch` the user answers for gates that ran where it comes from."""
    from homeostat.engine.registry.transfer import Vouched, take_in

    if vouch is not None and not vouch.strip():
        raise UserError("--vouch is blank", hint="it is recorded with the version: --vouch TEXT")
    event = take_in(
        store,
        folder,
        loop.features if loop is not None else None,
        now=SystemClock().now(),
        target=loop.target if loop is not None else None,
        trusted=loop.trusted_types if loop is not None else (),
        declared=loop,
        vouched=Vouched(user, vouch.strip()) if vouch is not None else None,
    )
    row = store.ledger.version(event.loop, event.version)
    return ImportedVersion(loop=event.loop, version=event.version, state=row.state, gates=event.gates)


def _caught_up(store: Store, loop: Loop) -> Feed:
    """A feed that has folded the ledger before any transaction holds up those who write."""
    feed = Feed(store.ledger, Rules.of(loop))
    feed.catch_up()
    return feed


def _answer(feed: Feed, event: ev.AnyEvent) -> RequestAnswer:
    """Record a request together with everything that is decided upon it."""
    recorded, decisions = feed.give(event, time=SystemClock().now())
    return RequestAnswer(
        seq=recorded.seq,
        decided=tuple(one.decided for one in decisions),
        facts=tuple(fact for one in decisions for fact in one.facts),
    )


def _to_resume(store: Store, loop: Loop, wanted: str) -> str:
    """The run to go on with: one whose process died keeps its trigger, one that ended is asked for anew."""
    from homeostat.ci.pipeline import mark_interrupted

    mark_interrupted(store, SystemClock(), loop=loop.name)
    row, inflight = store.ledger.run(wanted), _caught_up(store, loop).state.inflight
    if row.loop != loop.name:
        raise NotFoundError(f"run {row.run} belongs to loop {row.loop!r}", hint="resume it there, with --loop")
    if row.version is not None:
        hint = "`homeostat run` begins another"
        raise RefusedError(f"run {row.run} succeeded: it made version {row.version}", hint=hint)
    if row.status == "running":
        raise RefusedError(f"run {row.run} is still running", hint="wait for it, or end its process first")
    if inflight is not None and inflight.key != row.trigger:
        what = f"run {row.run} ended, and the run for {inflight.key} is in flight"
        raise RefusedError(what, hint="`homeostat run` goes on with that one")
    return row.run
