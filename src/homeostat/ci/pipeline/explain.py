"""Why a step ran or was reused, in words: the difference between what its key was made of then and now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from homeostat.core import events as ev
from homeostat.core.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from homeostat.core.ledger import Ledger

NOT_CACHED = "not cached"
_MOST = 4
_SHORT = 60
_DIGEST_LENGTH = 64


class StepWhy(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run: what became of it and why. Seconds are those of the run's clock."""

    step: str
    outcome: str
    why: str
    seconds: float
    output: str | None
    error: str | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A run: why it exists and why each of its steps ran or was reused.

    Attributes:
        trigger: What asked for the run.
        cause: The event that made the policy fire, in words, when it is known.
        executor: What the steps ran on.
        settings: The parameters of all steps.
    """

    run: str
    loop: str
    status: str
    started: datetime
    trigger: ev.Trigger
    cause: str | None
    executor: str
    settings: dict[str, object]
    steps: tuple[StepWhy, ...]

    @property
    def lines(self) -> list[str]:
        """The explanation as lines of text: the run first, then one line per step."""
        user = f" (by {self.trigger.user})" if self.trigger.user else ""
        asked = f"{self.trigger.kind}: {self.trigger.reason}{user}"
        first = f"run {self.run} of {self.loop} {self.status}; asked for by {asked}"
        second = [f"caused by {self.cause}"] if self.cause else []
        return [first, *second, *(f"{each.step}: {each.why} ({each.seconds:.3f} s)" for each in self.steps)]


def explain(ledger: Ledger, run: str) -> Explanation:
    """Why a run exists and why each of its steps ran or was reused.

    Args:
        ledger: The store's ledger.
        run: A run's id, or a unique beginning of it.

    Raises:
        NotFoundError: there is no such run.
    """
    row = ledger.run(run)
    started = _started(ledger, row.loop, row.run)
    steps = [each.event for each in ledger.steps(row.run) if isinstance(each.event, ev.StepFinished)]
    return Explanation(
        run=row.run,
        loop=row.loop,
        status=row.status,
        started=row.started,
        trigger=started.trigger,
        cause=_cause(ledger, started.trigger.cause),
        executor=started.executor,
        settings=started.settings,
        steps=tuple(
            StepWhy(
                step=step.step,
                outcome=step.outcome,
                why=step.why,
                seconds=(step.ended - step.started).total_seconds(),
                output=step.output,
                error=step.error,
            )
            for step in steps
        ),
    )


def why_it_ran(parts: Mapping[str, str], previous: ev.StepFinished | None) -> str:
    """One sentence: what differs from the step's previous record.

    Example:
        >>> why_it_ran({"setting:rate": "0.2"}, None)
        'ran: this loop has not run it before'
    """
    if previous is None:
        return "ran: this loop has not run it before"
    changes = differences(previous.parts, parts)
    if changes:
        more = [f"{len(changes) - _MOST} more changes"] if len(changes) > _MOST else []
        return "reran because " + "; ".join([*changes[:_MOST], *more])
    if NOT_CACHED in parts:
        return f"ran because it cannot be cached: {parts[NOT_CACHED]}"
    if previous.outcome == "failed":
        return f"reran because it failed in run {previous.run}"
    return f"reran although nothing changed: the output that run {previous.run} stored is not there any more"


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed between two sets of parts, in words, most telling first.

    Example:
        >>> differences({"setting:learning_rate": "0.1"}, {"setting:learning_rate": "0.2"})
        ['`learning_rate` 0.1 -> 0.2']
    """
    changed = [part for part in {**before, **now} if before.get(part) != now.get(part)]
    known = [part for part in changed if part.partition(":")[0] in _WORDS]
    ranked = sorted(known, key=lambda part: (_ORDER.index(part.partition(":")[0]), part))
    # The step's own function is the first code that was named.
    own = next((part.partition(":")[2] for part in now if part.startswith("code:")), None)
    words = [(_WORDS[part.partition(":")[0]], part.partition(":")[2], part) for part in ranked]
    return [say(name, before.get(part), now.get(part), own) for say, name, part in words]


def _setting(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    return f"`{name}` {_arrow(before, now)}"


def _input(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    return f"input `{name}` {'changed' if before and now else 'is new' if now else 'is gone'}"


def _code(name: str, before: str | None, now: str | None, own: str | None) -> str:
    if name == own:
        return "its own code changed"
    short = name.rpartition(".")[2] + "()"
    return f"helper `{short}` {'changed' if before and now else 'is now used' if now else 'is no longer used'}"


def _default(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    function, _, parameter = name.rpartition(".")
    return f"the default of `{parameter}` of `{function.rpartition('.')[2]}()` {_arrow(before, now)}"


def _constant(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    return f"`{name.rpartition('.')[2]}` {_arrow(before, now)}"


def _package(name: str, before: str | None, now: str | None, _own: str | None) -> str:
    return f"package {name} {_arrow(before, now)}"


_WORDS = {
    "setting": _setting,
    "code": _code,
    "constant": _constant,
    "default": _default,
    "input": _input,
    "package": _package,
}
_ORDER = list(_WORDS)


def _arrow(before: str | None, now: str | None) -> str:
    if before is None:
        return "is new" if _is_digest(now) else f"is new: {now}"
    if now is None:
        return "is gone"
    return "changed" if _is_digest(before) or _is_digest(now) else f"{before} -> {now}"


def _is_digest(text: str | None) -> bool:
    return text is not None and len(text) == _DIGEST_LENGTH and set(text) <= set("0123456789abcdef")


def _started(ledger: Ledger, loop: str, run: str) -> ev.RunStarted:
    for recorded in ledger.events(loop=loop, kinds=(ev.RunStarted,)):
        if isinstance(recorded.event, ev.RunStarted) and recorded.event.run == run:
            return recorded.event
    raise NotFoundError(f"the ledger has no beginning of run {run}", hint="`homeostat doctor` checks the ledger")


def _cause(ledger: Ledger, seq: int | None) -> str | None:
    """The event behind a trigger: alarmed signals by kind, subject and value."""
    if seq is None:
        return None
    recorded = ledger.event(seq)
    event = recorded.event
    said = ""
    if isinstance(event, ev.Observed):
        alarms = [signal for signal in event.signals if signal.alarmed]
        said = ", ".join(f"{each.kind} of `{each.subject}` {each.value}" for each in alarms[:_MOST])
    elif isinstance(event, ev.Decided):
        said = event.reason[: 4 * _SHORT]
    elif isinstance(event, ev.RetrainRequested):
        said = f"{event.user}: {event.reason}"[: 4 * _SHORT]
    before = _cause(ledger, recorded.cause) if recorded.cause is not None and recorded.cause < seq else None
    words = f"event {seq} ({event.__struct_config__.tag})" + (f": {said}" if said else "")
    return f"{words}, after {before}" if before else words
