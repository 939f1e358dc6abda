"""Why a run happened and ended as it did, and why each of its steps ran, was reused or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.ci.pipeline import start_of
from homeostat.ci.pipeline.explain import differences
from homeostat.core import events as ev
from homeostat.core.errors import NotFoundError
from homeostat.engine.views.why.answer import Why, asked_by, at, text

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger, Recorded, RunRow

_OUTCOME = {"ran": "ran", "hit": "was taken from the cache", "failed": "failed"}


def of_run(ledger: Ledger, row: RunRow) -> Why:
    """Explain a run: what started it, what each step did, how it ended."""
    _, started = start_of(ledger, row)
    trigger = started.trigger
    records = ledger.steps(row.run)
    steps = [record.event for record in records if isinstance(record.event, ev.StepFinished)]
    because = [f"it was started by the trigger {asked_by(trigger)}"]
    if started.resumes:
        because.append(f"it resumes run {started.resumes}")
    because += [f"step {step.step} {_OUTCOME[step.outcome]}: {step.why or step.error or ''}" for step in steps]
    missing = [name for name in started.steps if name not in {step.step for step in steps}]
    if missing and row.status != "running":
        because.append(f"not reached: {', '.join(missing)}")
    if row.error:
        because.append(f"it ended with: {row.error}")
    environment = started.environment
    facts = {
        "trigger": trigger.key,
        "started": at(row.started),
        "ended": at(row.ended) if row.ended else "not yet",
        "steps run / reused / failed": " / ".join(str(sum(s.outcome == o for s in steps)) for o in _OUTCOME),
        "pipeline": started.pipeline[:16],
        "executor": started.executor,
        "code": environment.commit,
        "python": environment.python,
        "homeostat": environment.homeostat,
        "platform": environment.platform,
        **{f"setting {name}": text(value) for name, value in started.settings.items()},
    }
    made = f" and registered version {row.version}" if row.version is not None else ""
    see = [f"{row.run}/{step.step}" for step in steps if step.outcome != "hit"][:3]
    see += [str(row.version)] if row.version is not None else []
    return Why(
        subject=f"run {row.run} of loop {row.loop}",
        answer=f"It {_ending(row.status)}{made}; it was started because {trigger.reason}.",
        because=tuple(because),
        facts=facts,
        cause=_cause(trigger),
        see=(*see, *([f"@{trigger.cause}"] if trigger.cause else [])),
    )


def of_step(ledger: Ledger, row: RunRow, name: str) -> Why:
    """Explain a step of a run: a cache hit or miss with the part of the key that changed, or a failure."""
    records = {r.event.step: r for r in ledger.steps(row.run) if isinstance(r.event, ev.StepFinished)}
    if name not in records:
        names = ", ".join(sorted(records)) or "none yet"
        raise NotFoundError(f"run {row.run} has no record of a step {name!r}", hint=f"its steps: {names}")
    record = records[name]
    step = record.event
    assert isinstance(step, ev.StepFinished)  # chosen so above
    before = _before(ledger, record, step)
    because = [step.why] if step.why else []
    changed = differences(before.parts, step.parts) if before else []
    if before is None:
        because.append("it is the first record of this step in this store")
    elif step.outcome == "ran":
        because += changed or [f"every part of its key is as in run {before.run}, whose result was not reusable"]
    if step.key is None:
        because.append("it cannot be reused: one of its parts has no fingerprint")
    if step.error:
        because.append(f"it failed with: {step.error}")
    seconds = (step.ended - step.started).total_seconds()
    facts = {
        "outcome": step.outcome,
        "key": step.key or "none",
        "output": step.output or "none",
        "started": at(step.started),
        "seconds": f"{seconds:.3f}",
        **{f"key part {part}": text(value) for part, value in sorted(step.parts.items())},
    }
    if before is not None:
        facts["compared with"] = f"run {before.run}"
    return Why(
        subject=f"step {name} of run {row.run}",
        answer=f"It {_OUTCOME[step.outcome]}{': ' + step.why if step.why else ''}.",
        because=tuple(dict.fromkeys(because)),
        facts=facts,
        cause=f"run {row.run} was started by {row.kind}: {row.reason}",
        see=(row.run,),
    )


def _before(ledger: Ledger, record: Recorded, step: ev.StepFinished) -> ev.StepFinished | None:
    earlier = ledger.last_step(step.loop, step.step, before=record.seq)
    return earlier.event if earlier is not None and isinstance(earlier.event, ev.StepFinished) else None


def _ending(status: str) -> str:
    return {
        "running": "is still running",
        "succeeded": "succeeded",
        "failed": "failed",
        "stopped": "stopped because its data were refused",
        "interrupted": "was interrupted",
    }.get(status, status)


def _cause(trigger: ev.Trigger) -> str:
    by = f", asked by {trigger.user}" if trigger.user else ""
    event = f", upon event @{trigger.cause}" if trigger.cause else ""
    return f"{trigger.kind}{by}{event}: {trigger.reason}"
