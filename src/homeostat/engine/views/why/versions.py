"""Why a version was trained, and what became of it: gates, trial, promotion, refusal, rollback."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from homeostat.core import events as ev
from homeostat.core.errors import NotFoundError
from homeostat.engine.views.why.answer import Why, asked_by, at, flat, gate_line, judged, text

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger, Recorded, VersionRow

_STATE = {
    "candidate": "It passed its gates and waits for its trial",
    "refused": "It was refused",
    "shadow": "It is on trial in the shadow: it answers nobody, on the same rows as the champion",
    "canary": "It is on trial as a canary: it answers a share of the units",
    "split": "It is on trial in an A/B test: units are divided at random, and each version is judged on its own",
    "bandit": "It is on trial as a bandit's arm: its share of the units follows what comes of its answers",
    "champion": "It is the champion",
    "retired": "It was the champion and has been replaced",
    "rolled_back": "It was rolled back",
    "inconclusive": "Its trial ended without evidence that it is as good as the champion, so the champion stayed",
    "cancelled": "Its trial was cancelled",
}
_FATE = (ev.TrialStarted, ev.ArmsSet, ev.TrialEnded, ev.Promoted, ev.RolledBack, ev.Decided)


def of_version(ledger: Ledger, loop: str, number: int) -> Why:
    """Explain a version."""
    row = ledger.version(loop, number)
    registered = ledger.event(row.seq)
    event = registered.event
    if not isinstance(event, ev.VersionRegistered):
        raise NotFoundError(f"version {number} has no registration in the ledger", hint="`homeostat verify` checks it")
    story = [f"it was trained by the trigger {asked_by(event.trigger)}"]
    story += [gate_line(gate) for gate in event.gates] or ["no gate ran, which is no pass"]
    fate = [record for record in ledger.events(loop=loop, kinds=_FATE, after=row.seq - 1) if _concerns(record, number)]
    story += [line for record in fate if (line := _line(record, number))]
    facts = _numbers(row, event)
    judgements = [record.event.judgement for record in fate if isinstance(record.event, ev.TrialEnded)]
    facts |= judged(judgements[-1]) if judgements and judgements[-1] is not None else {}
    decided = [record.seq for record in fate if isinstance(record.event, ev.Decided)]
    return Why(
        subject=f"version {number} of loop {loop}",
        answer=f"{_STATE.get(row.state, row.state)}{_last_reason(row, event, fate)}.",
        because=tuple(story),
        facts=facts,
        cause=f"trigger {event.trigger.key} ({event.trigger.kind}): {event.trigger.reason}",
        see=(event.run, *(f"@{seq}" for seq in decided[-3:])),
    )


def _numbers(row: VersionRow, event: ev.VersionRegistered) -> dict[str, str]:
    facts = {
        "state": row.state,
        "registered": at(row.registered),
        "run": event.run,
        "trigger": event.trigger.key,
        "parent": f"version {event.parent}" if event.parent is not None else "none",
        "how": event.how,
        "trained rows": text(event.trained_rows),
        "window": " to ".join(
            f"{end:%Y-%m-%d %H:%M}" if end else "unknown" for end in (event.window_start, event.window_end)
        ),
        "bundle": event.manifest,
    }
    for metric in sorted(event.train_metrics.keys() | event.test_metrics.keys()):
        pair = (event.train_metrics.get(metric), event.test_metrics.get(metric))
        facts[f"{metric}, train / test"] = " / ".join(map(text, pair))
    for gate in event.gates:
        facts |= flat(gate.numbers, f"gate {gate.gate}") if gate.numbers else {}
    return facts


def _concerns(record: Recorded, number: int) -> bool:
    match record.event:
        case ev.TrialStarted() | ev.TrialEnded():
            return record.event.challenger == number
        case ev.Promoted() | ev.RolledBack():
            return number in (record.event.version, record.event.previous)
        case ev.ArmsSet():
            return any(arm.version == number and arm.role != "champion" for arm in record.event.arms)
        case ev.Decided():
            return record.event.about in ("candidate", "request") and f"version {number}" in _words(record.event.reason)
    return False


def _words(reason: str) -> list[str]:
    words = reason.replace(":", " ").replace(",", " ").split()
    return [" ".join(pair) for pair in pairwise(words)]


def _line(record: Recorded, number: int) -> str | None:
    line = _happened(record, number)
    return f"{at(record.time)}: {line}" if line else None


def _happened(record: Recorded, number: int) -> str | None:
    line = None
    match record.event:
        case ev.TrialStarted() as event:
            line = f"its trial against version {event.champion} began, {_plan(event.plan)}"
        case ev.ArmsSet() as event:
            arm = next(arm for arm in event.arms if arm.version == number)
            line = f"{event.reason} (answers {arm.share:.0%})"
        case ev.TrialEnded() as event:
            line = f"its trial ended, {event.outcome.replace('_', ' ')}: {event.reason}"
        case ev.Promoted() as event if event.version == number:
            line = f"{event.who} made it the champion (epoch {event.epoch}): {event.reason}"
        case ev.Promoted() as event:
            line = f"version {event.version} replaced it: {event.reason}"
        case ev.RolledBack() as event if event.version == number:
            line = f"{event.who} went back to it from version {event.previous}: {event.reason}"
        case ev.RolledBack() as event:
            line = f"{event.who} rolled it back to version {event.version}: {event.reason}"
        case ev.Decided() as event:
            line = f"decided @{record.seq}: {event.reason}"
    return line


def _plan(plan: dict[str, object]) -> str:
    return ", ".join(f"{name} {text(value)}" for name, value in plan.items()) or "without a plan"


def _last_reason(row: VersionRow, event: ev.VersionRegistered, fate: list[Recorded]) -> str:
    if row.state == "refused":
        failed = "; ".join(f"{gate.gate} ({gate.reason})" for gate in event.gates if not gate.passed)
        return f" by {failed or 'the rule that no gates at all is no pass'}"
    for record in reversed(fate):
        match record.event:
            case ev.TrialEnded() | ev.Promoted() | ev.RolledBack() as last:
                return f": {last.reason}"
            case ev.TrialStarted() if row.state in ("shadow", "canary", "split", "bandit"):
                return f", against version {record.event.champion}"
    return f": {event.trigger.reason}" if row.state == "champion" else ""
