"""A training run carried out by this process, and what came of it, in print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.cli.output import (
    print_json,
    print_table,
    progress,
    say,
)
from homeostat.core import events as ev
from homeostat.core.errors import NotFoundError, RefusedError
from homeostat.core.files import make_folder, write_whole
from homeostat.engine.live.lease import (
    in_charge,
)

if TYPE_CHECKING:
    from homeostat.core.store import Store
    from homeostat.engine.decide.feed import Feed
    from homeostat.loop import Loop


def carry_out(store: Store, declared: Loop, feed: Feed, *, as_json: bool, resume: str | None = None) -> bool:
    """Do the run in flight here, unless a live loop is up that does it; says whether it was done here.

    Args:
        store: Where everything is kept.
        declared: The loop.
        feed: Its events.
        as_json: Print one document for programs.
        resume: A run that did not succeed, whose finished steps are taken over.
    """
    state = feed.catch_up()
    if state.inflight is None:
        return False
    holder = in_charge(store.ledger, declared.name)
    if holder is not None:
        if not as_json:
            say(f"the loop is up in the hands of {holder}, which does it; `homeostat status` shows how far it is")
            if _declared_then(store, declared.name) != declared.digest:
                say("note: the loop's file changed since; that takes effect when `homeostat up` is started again")
        return False
    finish(store, declared, state.inflight.key, as_json=as_json, resume=resume)
    return True


def to_resume(store: Store, declared: Loop, feed: Feed, wanted: str) -> str:
    """The run to go on with: one whose process died keeps its trigger, one that ended is asked for anew.

    Args:
        store: Where everything is kept.
        declared: The loop.
        feed: Its events.
        wanted: The run's id, or a unique beginning of it.

    Raises:
        NotFoundError: there is no such run in this loop.
        RefusedError: there is nothing to go on with: it succeeded, it still runs, or another run is in flight.
    """
    from homeostat.ci.pipeline import mark_interrupted
    from homeostat.core.clock import SystemClock

    mark_interrupted(store, SystemClock(), loop=declared.name)
    row, inflight = store.ledger.run(wanted), feed.catch_up().inflight
    if row.loop != declared.name:
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


def end_here(store: Store, feed: Feed, why: str) -> None:
    """End a run that is to be cancelled, unless a live loop is up that does it: nobody else would."""
    from homeostat.core.clock import SystemClock
    from homeostat.engine.training.training import end_training

    state = feed.catch_up()
    if state.inflight is None or not state.cancelling or in_charge(store.ledger, state.rules.loop) is not None:
        return
    end_training(store, feed, SystemClock(), state.inflight.key, "cancelled", why)


def _declared_then(store: Store, name: str) -> str | None:
    """The digest of the declaration that a live loop started with."""
    started = [one.event for one in store.ledger.events(loop=name, kinds=(ev.LoopStarted,))][-1:]
    return next((event.declaration for event in started if isinstance(event, ev.LoopStarted)), None)


def feed_of(store: Store, declared: Loop) -> Feed:
    """The way by which events reach the loop's decisions."""
    from homeostat.engine.decide.feed import Feed
    from homeostat.engine.decide.state import Rules

    return Feed(store.ledger, Rules.of(declared))


def finish(store: Store, declared: Loop, trigger: str, *, as_json: bool, resume: str | None = None) -> None:
    """Carry out the run of a trigger in this process, with a progress bar, and print what came of it.

    Raises:
        HomeostatError: What ended the run without a version; it is recorded too.
    """
    from homeostat.engine.training.training import carry_out as train

    with progress("collect", quiet=as_json) as bar:
        train(
            *(store, declared, trigger),
            progress=lambda step, done, total, _outcome: bar(done, total, step),
            resume=resume,
            raising=True,
        )
    report(store, declared.name, trigger, as_json=as_json)


def report(store: Store, name: str, trigger: str, *, as_json: bool) -> None:
    """Print a run: its steps, its version with metrics and gates, and what was decided upon it."""
    ledger = store.ledger
    row = next(one for one in ledger.runs(name) if one.trigger == trigger)
    steps = [one.event for one in ledger.steps(row.run) if isinstance(one.event, ev.StepFinished)]
    version = next((one for one in ledger.versions(name) if one.trigger == trigger), None)
    decided = [one.event for one in ledger.events(loop=name, kinds=(ev.Decided,), after=version.seq if version else 0)]
    last = decided[-1] if decided else None
    warnings = [*_notes(store, name, version), *_warnings(store, steps)]
    if as_json:
        print_json({"run": row, "steps": steps, "version": version, "warnings": warnings, "decided": last})
        return
    print_table(
        ("step", "outcome", "seconds", "why"),
        [(s.step, s.outcome, round((s.ended - s.started).total_seconds(), 3), s.why) for s in steps],
        title=f"run {row.run}: {row.status}",
    )
    page = _page(store, row.run, steps)
    if page is not None:
        say(f"data report: {page}", end="\n\n")
    if version is not None:
        _print_version(ledger.event(version.seq).event)
    for warning in warnings:
        say(f"warning: {warning}")
    if isinstance(last, ev.Decided):
        say(f"{last.action.replace('_', ' ')}: {last.reason}")
        if last.action == "promote":
            say("next: `homeostat up` serves it, watches it and retrains it")


def _output(store: Store, steps: list[ev.StepFinished], name: str) -> Any:
    """What a step gave; None when it did not run, or its result was cleared."""
    from homeostat.core import codecs

    output = next((step.output for step in steps if step.step == name), None)
    if output is None or not store.artifacts.has(output):
        return None
    return codecs.decode(store.artifacts.get(output), store.artifacts)


def _notes(store: Store, name: str, version: Any) -> list[str]:
    """What of the files that came since the version before was not taken as it is."""
    earlier = [one.seq for one in store.ledger.versions(name) if version is None or one.seq < version.seq]
    events = store.ledger.events(loop=name, kinds=(ev.RowsAppended,), after=max(earlier, default=0))
    return [note for one in events if isinstance(one.event, ev.RowsAppended) for note in one.event.notes]


def _warnings(store: Store, steps: list[ev.StepFinished]) -> list[str]:
    """What a reader should know of the data and the candidate: suspected leaks, values never seen before."""
    evaluated, validated = _output(store, steps, "evaluation"), _output(store, steps, "validation")
    leaks = {leak.feature: leak.detail for leak in getattr(evaluated, "leaks", ())}
    suspects = {suspect.column: suspect.reason for suspect in getattr(validated, "suspects", ())}
    told = [*leaks.values(), *(reason for column, reason in suspects.items() if column not in leaks)]
    told += getattr(evaluated, "warnings", ())
    told += getattr(validated, "numbers", ())
    told += [f"{signal.subject}: {signal.detail}" for signal in getattr(validated, "signals", ())]
    return told


def _page(store: Store, run: str, steps: list[ev.StepFinished]) -> Path | None:
    """The run's data report as a file that a browser opens."""
    page = getattr(_output(store, steps, "report"), "html", None)
    if not isinstance(page, str):
        return None
    path = store.path / "reports" / f"{run}.html"
    make_folder(path.parent)
    write_whole(path, page.encode(), durable=False)
    return path


def _print_version(event: Any) -> None:
    both = sorted(event.train_metrics.keys() | event.test_metrics.keys())
    rows = [(name, event.train_metrics.get(name), event.test_metrics.get(name)) for name in both]
    print_table(
        ("metric", "train", "test"), rows, title=f"version {event.version}: {event.trained_rows:,} training rows"
    )
    gates = [(gate.gate, "passed" if gate.passed else "REFUSED", gate.reason) for gate in event.gates]
    print_table(("gate", "", "reason"), gates)
