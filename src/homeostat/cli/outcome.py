"""What the verbs print that step in or train: the answer to a request, and what came of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.cli.output import print_json, print_table, progress, say
from homeostat.core.errors import RefusedError

if TYPE_CHECKING:
    from homeostat.core.events import VersionRegistered
    from homeostat.core.store import Store
    from homeostat.engine.requests import RequestAnswer
    from homeostat.loop import Loop


def print_answer(answer: RequestAnswer, *, as_json: bool) -> None:
    """Print what was decided upon a request.

    Raises:
        RefusedError: The answer is no; as JSON it is printed before.
    """
    if as_json:
        print_json(answer.decided)
    if answer.refused:
        hint = "`homeostat versions` says what there is, `homeostat why last` what it was decided from"
        raise RefusedError(answer.refused, hint=hint)
    for one in [] if as_json else answer.decided:
        say(f"{one.action.replace('_', ' ')}: {one.reason}")


def carry_out(store: Store, loop: Loop, *, as_json: bool, resume: str | None = None) -> bool:
    """Carry out the run in flight with a progress bar and print what came of it; whether it was done here."""
    from homeostat.engine.training.here import LeftToLoop, train_here

    with progress("collect", quiet=as_json) as bar:
        done = train_here(
            store, loop, progress=lambda step, done, total, _outcome: bar(done, total, step), resume=resume
        )
    if isinstance(done, LeftToLoop):
        if not as_json:
            say(f"the loop is up in the hands of {done.holder}, which does it; `homeostat status` shows how far it is")
            if done.outdated:
                say("note: the loop's file changed since; that takes effect when `homeostat up` is started again")
        return False
    if done is not None:
        _print_run(store, loop.name, done, as_json=as_json)
    return done is not None


def _print_run(store: Store, loop: str, trigger: str, *, as_json: bool) -> None:
    """Print a run: its steps, its version with metrics and gates, and what was decided upon it."""
    from homeostat.engine.views.runs import data_report, run_report

    found = run_report(store, loop, trigger)
    if as_json:
        print_json(found)
        return
    print_table(
        ("step", "outcome", "seconds", "why"),
        [(s.step, s.outcome, round((s.ended - s.started).total_seconds(), 3), s.why) for s in found.steps],
        title=f"run {found.run.run}: {found.run.status}",
    )
    page = data_report(store, found)
    if page is not None:
        say(f"data report: {page}", end="\n\n")
    if found.version is not None:
        _print_version(store.ledger.event(found.version.seq).event)  # type: ignore[arg-type]
    for warning in found.warnings:
        say(f"warning: {warning}")
    if found.decided is not None:
        say(f"{found.decided.action.replace('_', ' ')}: {found.decided.reason}")
        if found.decided.action == "promote":
            say("next: `homeostat up` serves it, watches it and retrains it")


def _print_version(event: VersionRegistered) -> None:
    both = sorted(event.train_metrics.keys() | event.test_metrics.keys())
    rows = [(name, event.train_metrics.get(name), event.test_metrics.get(name)) for name in both]
    title = f"version {event.version}: {event.trained_rows:,} training rows"
    print_table(("metric", "train", "test"), rows, title=title)
    gates = [(gate.gate, "passed" if gate.passed else "REFUSED", gate.reason) for gate in event.gates]
    print_table(("gate", "", "reason"), gates)
