"""Why a single event stands in the ledger: what it says, what was decided upon it, and what led to it."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import msgspec

from homeostat.core import events as ev
from homeostat.core.errors import NotFoundError
from homeostat.engine.views.why.answer import Why, at, flat, judged, text
from homeostat.engine.views.why.runs import of_run, of_step
from homeostat.engine.views.why.versions import of_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeostat.core.ledger import Ledger, Recorded, RunRow

_DID = {
    "keep": "nothing was changed",
    "notify": "people should look",
    "stop": "the data were refused",
    "retrain": "a new model was ordered",
    "reuse": "an earlier version was chosen",
    "roll_back": "the challenger or champion was withdrawn",
    "experiment": "a new experiment was called for",
    "deploy": "traffic was divided anew",
    "promote": "a new champion was made",
}


def of_event(ledger: Ledger, recorded: Recorded) -> Why:
    """Explain one event."""
    event = recorded.event
    match event:
        case ev.Decided():
            return _decision(ledger, recorded, event)
        case ev.Observed():
            return _observation(ledger, recorded, event)
        case ev.VersionRegistered():
            return of_version(ledger, event.loop, event.version)
        case ev.StepFinished():
            return of_step(ledger, ledger.run(event.run), event.step)
        case ev.RunStarted() | ev.RunFinished():
            return of_run(ledger, ledger.run(event.run))
        case _:
            return _fact(ledger, recorded)


def one_line(recorded: Recorded) -> str:
    """An event in one line."""
    event = recorded.event
    said = getattr(event, "reason", "") or getattr(event, "error", "") or ""
    match event:
        case ev.Observed():
            alarms = [f"{signal.kind} of {signal.subject}" for signal in event.signals if signal.alarmed]
            said = f"{event.rows:,} rows, {event.labelled:,} labels, alarms: {', '.join(alarms) or 'none'}"
        case ev.Decided():
            said = f"{event.action}: {event.reason}"
        case ev.VersionRegistered():
            said = f"version {event.version} {'passed' if event.passed else 'was refused by'} its gates"
        case ev.Promoted() | ev.RolledBack():
            said = f"version {event.version}: {event.reason}"
        case ev.RowsAppended():
            said = f"{event.rows:,} rows from {event.source}"
        case ev.RowsRemoved():
            said = f"{event.rows:,} rows ({event.selection}) by {event.user}: {event.reason}"
        case ev.SchemaAccepted():
            said = f"{'; '.join(event.described)}, by {event.user}: {event.reason}"
    return f"@{recorded.seq} {name_of(event)}{': ' + said if said else ''}"


def name_of(event: ev.Event) -> str:
    """The kind of an event in words."""
    return str(type(event).__struct_config__.tag).replace("_", " ")


def _decision(ledger: Ledger, recorded: Recorded, event: ev.Decided) -> Why:
    because = []
    for command in event.commands:
        if isinstance(command, ev.Train):
            because.append(f"a run was ordered for trigger {command.trigger.key}, on labels known by {at(command.now)}")
            because += [f"it became run {row.run} ({row.status})" for row in _runs_for(ledger, event.loop, command)]
    because += [one_line(fact) for fact in _followed(ledger, recorded)]
    facts = {"about": event.about, "action": event.action, "acted": text(event.fired), "outcome": event.outcome}
    facts["decided"] = at(recorded.time)
    return Why(
        subject=f"decision @{recorded.seq} of loop {event.loop}",
        answer=_answer(event),
        because=tuple(because),
        facts=facts | flat(event.evidence),
        cause=_cause(ledger, recorded),
        see=tuple([f"@{recorded.cause}"] if recorded.cause else []),
    )


def _answer(event: ev.Decided) -> str:
    if event.about == "policy":
        return f"{'Retraining' if event.fired else 'No retraining'} was decided: {event.reason}."
    if not event.fired:
        refused = event.about == "request" and event.outcome == "refused"
        return f"Refused: {event.reason}." if refused else f"{event.reason[:1].upper()}{event.reason[1:]}."
    return f"{_DID.get(event.action, event.action).capitalize()}: {event.reason}."


def _observation(ledger: Ledger, recorded: Recorded, event: ev.Observed) -> Why:
    alarms = [signal for signal in event.signals if signal.alarmed]
    because = [f"{one.kind.replace('_', ' ')} of {one.subject}: {one.detail or text(one.value)}" for one in alarms]
    because += [f"decided upon it: {one_line(one)}" for one in _decisions_upon(ledger, recorded.seq)]
    facts = {
        "rows": text(event.rows),
        "labelled": text(event.labelled),
        "trainable": text(event.trainable),
        "newest": at(event.newest) if event.newest else "none",
    }
    for signal in event.signals:
        limit = f", threshold {text(signal.threshold)}" if signal.threshold is not None else ""
        noise = f", by chance {text(signal.noise)}" if signal.noise is not None else ""
        by = f" by {signal.statistic}" if signal.statistic else ""
        facts[f"{signal.kind} {signal.subject}{by}"] = f"{text(signal.value)} (n {signal.n:,}{noise}{limit})"
    for score in event.performance:
        interval = f"{text(score.low)} to {text(score.high)}"
        rest = f"n {score.n:,}, at acceptance {text(score.reference)}, persistence {text(score.persistence)}"
        facts[f"version {score.version} {score.metric}"] = f"{text(score.value)} ({interval}; {rest})"
    if event.judgement is not None:
        facts |= judged(event.judgement)
    said = f"{len(alarms)} of {len(event.signals)} signals alarmed" if event.signals else "no signal was measured"
    return Why(
        subject=f"observation @{recorded.seq} of loop {event.loop}",
        answer=f"At {at(event.now)} the monitor saw {event.rows:,} rows and {event.labelled:,} labels; {said}.",
        because=tuple(because),
        facts=facts,
        cause="the monitor looks at its interval",
        see=tuple(f"@{one.seq}" for one in _decisions_upon(ledger, recorded.seq)),
    )


def _fact(ledger: Ledger, recorded: Recorded) -> Why:
    event = recorded.event
    because: list[str] = []
    decision = _decision_behind(ledger, recorded)
    if decision is not None:
        because.append(f"decided as {one_line(decision)}")
    if isinstance(event, ev.TrialEnded) and event.judgement is not None:
        because.append(f"the judge said: {event.judgement.reason}")
    facts = flat({name: value for name, value in msgspec.to_builtins(event).items() if name not in ("kind", "loop")})
    said = (
        getattr(event, "reason", None)
        or getattr(event, "error", None)
        or f"{name_of(event)} was recorded at {at(recorded.time)}"
    )
    about = f" (version {event.version})" if isinstance(event, ev.Promoted | ev.RolledBack) else ""
    see = [f"@{decision.seq}"] if decision is not None else []
    see += [str(event.version)] if isinstance(event, ev.Promoted | ev.RolledBack) else []
    see += [str(event.challenger)] if isinstance(event, ev.TrialStarted | ev.TrialEnded) else []
    upon = _decisions_upon(ledger, recorded.seq)
    because += [f"decided upon it: {one_line(one)}" for one in upon]
    return Why(
        subject=f"{name_of(event)} @{recorded.seq} of loop {event.loop}{about}",
        answer=f"{said[:1].upper()}{said[1:]}.",
        because=tuple(because),
        facts={"recorded": at(recorded.time)} | facts,
        cause=_cause(ledger, recorded),
        see=(*see, *(f"@{one.seq}" for one in upon)),
    )


def _runs_for(ledger: Ledger, loop: str, command: ev.Train) -> list[RunRow]:
    return [row for row in ledger.runs(loop) if row.trigger == command.trigger.key]


def _decisions_upon(ledger: Ledger, seq: int) -> list[Recorded]:
    return [record for record in _caused(ledger, seq) if isinstance(record.event, ev.Decided)]


def _caused(ledger: Ledger, seq: int) -> Iterator[Recorded]:
    """What follows from an event stands right behind it, appended in the same transaction."""
    for following in range(seq + 1, ledger.newest() + 1):
        record = ledger.event(following)
        if record.cause != seq:
            return
        yield record


def _followed(ledger: Ledger, decision: Recorded) -> list[Recorded]:
    if decision.cause is None:
        return []
    later = [record for record in _caused(ledger, decision.cause) if record.seq > decision.seq]
    return list(takewhile(lambda record: not isinstance(record.event, ev.Decided), later))


def _decision_behind(ledger: Ledger, recorded: Recorded) -> Recorded | None:
    if recorded.cause is None:
        return None
    between = [one for one in _decisions_upon(ledger, recorded.cause) if one.seq < recorded.seq]
    return between[-1] if between else None


def _cause(ledger: Ledger, recorded: Recorded) -> str | None:
    if recorded.cause is None:
        return None
    try:
        return one_line(ledger.event(recorded.cause))
    except NotFoundError:
        return f"@{recorded.cause}"
