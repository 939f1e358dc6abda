"""Carrying out a training command: the Loop's pipeline from a snapshot of its table to a registered version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from homeostat.ci.admit import schema_of
from homeostat.ci.collect import Collected, collect
from homeostat.ci.pipeline import Run, current_environment, mark_interrupted, start_of
from homeostat.core import codecs
from homeostat.core import events as ev
from homeostat.core.clock import Clock, PacedClock, SystemClock
from homeostat.core.errors import DataError, HomeostatError, NotFoundError
from homeostat.core.fingerprint import fingerprint_parts
from homeostat.core.model import Bundle
from homeostat.core.stats.losses import loss_for
from homeostat.engine.decide.feed import Feed, ended_key
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.rehearse import recorded_load, rehearse
from homeostat.loop.pipeline import pipeline_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from homeostat.core.ledger import Lease
    from homeostat.core.stats.latency import Latency
    from homeostat.core.store import Store
    from homeostat.core.table.spec import Snapshot
    from homeostat.loop import Loop


_MOST_FILES = 64
"""Files of a table beyond which it is compacted before it is read."""


def carry_out(
    store: Store,
    loop: Loop,
    key: str,
    *,
    clock: Clock | None = None,
    played: bool = False,
    progress: Callable[[str, int, int, str], None] | None = None,
    resume: str | None = None,
    raising: bool = False,
) -> int | None:
    """Collect, train, evaluate, gate and register for a trigger; the loop then decides what becomes of the version.

    Repeating it is harmless: finished steps are taken from the cache, and a trigger registers one version.

    Args:
        store: Where everything is kept.
        loop: The declaration.
        key: The trigger's key; its `Train` command stands in the ledger.
        clock: The loop's clock.
        played: Let the time run on from the command's `now` instead.
        progress: Called as `Pipeline.run` says.
        resume: A run that did not succeed, of this trigger or an earlier one, whose finished steps are taken over.
        raising: Raise the error that ended the run, after it was recorded, in place of returning None.

    Returns:
        The version, or None when the run ended without one; why is in the ledger.
    """
    command = outstanding(store, loop.name, key)
    clock = clock or (PacedClock(command.now) if played else SystemClock())
    feed = Feed(store.ledger, Rules.of(loop))
    mark_interrupted(store, clock, loop=loop.name)
    try:
        collect_new(store, loop, clock)
        store.table(loop.name, "rows", loop.source.spec).compact(over=_MOST_FILES)
        entry = run_pipeline(store, loop, command, clock, progress, resume)
    except HomeostatError as error:
        end_training(store, feed, clock, key, "stopped" if isinstance(error, DataError) else "failed", str(error))
        if raising:
            raise
        return None
    recorded, _ = feed.register(entry, time=clock.now())
    assert isinstance(recorded.event, ev.VersionRegistered)
    return recorded.event.version


def collect_new(
    store: Store, loop: Loop, clock: Clock, progress: Callable[[int, int, str], None] | None = None
) -> Collected:
    """Take in what is new at the loop's source, held against what its table is known to hold."""
    table, accepted = store.table(loop.name, "rows", loop.source.spec), schema_of(store, loop.name)
    return collect(loop.source, table, store.ledger, loop.name, clock, progress, accepted=accepted)


def outstanding(store: Store, loop: str, key: str) -> ev.Train:
    """The training command of a trigger."""
    for recorded in store.ledger.events(loop=loop, kinds=(ev.Decided,)):
        assert isinstance(recorded.event, ev.Decided)
        for command in recorded.event.commands:
            if isinstance(command, ev.Train) and command.trigger.key == key:
                return command
    raise NotFoundError(f"no run was ever decided for the trigger {key!r}")


def run_pipeline(
    store: Store,
    loop: Loop,
    command: ev.Train,
    clock: Clock,
    progress: Callable[[str, int, int, str], None] | None = None,
    resume: str | None = None,
) -> ev.VersionRegistered:
    """One run of the Loop's pipeline on what its table holds now; gives the registry's entry for its result."""
    snapshot = store.table(loop.name, "rows", loop.source.spec).snapshot()
    row = store.ledger.champion(loop.name)
    champion = Bundle.read(store.artifacts, store.ledger.version(loop.name, row.version).manifest) if row else None
    begun = _beginning(store, loop.name, snapshot, resume) if resume is not None else None
    known_by, before = begun or (command.now, None)
    inputs = {
        "snapshot": snapshot,
        "known_by": known_by,
        "accepted": schema_of(store, loop.name),
        "previous": previous_report(store, loop, before=before),
        "parent": champion if loop.how.continues else None,
        "champion": champion,
        "champion_version": row.version if row else None,
    }
    pipeline = pipeline_of(loop)
    run = pipeline.run(
        store,
        loop=loop.name,
        trigger=command.trigger,
        clock=clock,
        inputs={name: inputs[name] for name in pipeline.inputs},
        settings=settings_of(loop),
        progress=progress,
        resume=resume,
    )
    if progress is not None:
        progress("rehearsal", 0, 1, "ran")
    return registration(store, loop, run, command, snapshot, row.version if row else None, champion)


def _beginning(store: Store, loop: str, snapshot: Snapshot, run: str) -> tuple[datetime, int] | None:
    """When the run that is resumed began, and its ledger number; None when the table holds other rows by now.

    So the steps that had finished are not run again only because time went by.
    """
    rows, _ = fingerprint_parts(snapshot)
    found = None
    wanted: str | None = run
    while wanted is not None:
        seq, event = start_of(store.ledger, store.ledger.run(wanted))
        if event.inputs["snapshot"]["fingerprint"] != rows:
            break
        found, wanted = (outstanding(store, loop, event.trigger.key).now, seq), event.resumes
    return found


def registration(
    store: Store,
    loop: Loop,
    run: Run,
    command: ev.Train,
    snapshot: Snapshot,
    parent: int | None,
    champion: Bundle | None,
) -> ev.VersionRegistered:
    """The registry's entry for a finished run: its bundle is completed, rehearsed and stored."""
    evaluation, bundle = run["evaluation"], run["model"]
    loss_for(bundle.manifest.signature.task, loop.loss)  # it has to fit the task that the target made
    lineage = msgspec.structs.replace(
        bundle.manifest.lineage,
        run=run.id,
        trigger=command.trigger.key,
        snapshot=msgspec.to_builtins(snapshot),
        how=loop.how.describe() | bundle.manifest.lineage.how,
        parent=parent,
        environment=current_environment(),
    )
    facts = {"train_metrics": evaluation.train, "test_metrics": evaluation.test, "lineage": lineage}
    bundle = bundle.with_facts(created=command.now, **facts)
    verdicts = tuple(run["verdicts"])
    barred = any(gate.binding and not gate.passed for gate in verdicts)
    accepted = schema_of(store, loop.name)
    earlier = _load_of(store, loop, parent)
    rehearsal = rehearse(loop, bundle, champion, earlier=earlier, barred=barred, accepted=accepted)
    bundle = bundle.with_facts(needs=rehearsal.needs, owner=loop.owner)
    return ev.VersionRegistered(
        loop=loop.name,
        version=0,
        run=run.id,
        trigger=command.trigger,
        manifest=bundle.save(store.artifacts),
        parent=parent,
        train_metrics=evaluation.train,
        test_metrics=evaluation.test,
        gates=(*verdicts, *rehearsal.gates),
        how=loop.how.label,
        trained_rows=lineage.rows,
        trainable=store.table(loop.name, "rows", loop.source.spec).count_trainable(command.now),
        window_start=lineage.window_start,
        window_end=lineage.window_end,
    )


def _load_of(store: Store, loop: Loop, version: int | None) -> Latency | None:
    if version is None:
        return None
    event = store.ledger.event(store.ledger.version(loop.name, version).seq).event
    return recorded_load(event.gates) if isinstance(event, ev.VersionRegistered) else None


def previous_report(store: Store, loop: Loop, *, before: int | None = None) -> Any:
    """What the `report` step of the last run, or of the last before a ledger number, gave; None when there is none."""
    recorded = store.ledger.last_step(loop.name, "report", before=before)
    event = recorded.event if recorded else None
    if not isinstance(event, ev.StepFinished) or event.output is None or not store.artifacts.has(event.output):
        return None
    return codecs.decode(store.artifacts.get(event.output), store.artifacts)


def end_training(
    store: Store,
    feed: Feed,
    clock: Clock,
    key: str,
    status: Literal["failed", "stopped", "cancelled"],
    error: str,
    *,
    lease: Lease | None = None,
) -> None:
    """Record, once, that a trigger got no version, and let the loop decide upon it."""
    loop = feed.state.rules.loop
    run = next((one.run for one in store.ledger.runs(loop) if one.trigger == key), None)
    ended = ev.TrainingEnded(loop=loop, trigger=key, run=run, status=status, error=error)
    feed.give(ended, time=clock.now(), key=ended_key(key), lease=lease)
