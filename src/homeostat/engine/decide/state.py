"""The state of a loop: a fold of its ledger, and nothing that is not in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.deploy import Plan, Trial, Tried
from homeostat.core import events as ev
from homeostat.core.events import Trigger
from homeostat.core.ledger import unproven
from homeostat.ct.when import Look, Memory, Past, Policy, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from homeostat.core.ledger import Recorded
    from homeostat.loop import Loop

LOOP = "the loop"
"""Who acts when no person does."""
_KEPT_FIRES = 100


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a Loop's declaration that decisions depend on."""

    loop: str
    when: Policy
    deploy: Plan

    @classmethod
    def of(cls, loop: Loop) -> Rules:
        """The rules of a declaration."""
        return cls(loop=loop.name, when=loop.when, deploy=loop.deploy)


class Candidate(msgspec.Struct, frozen=True):
    """What the loop remembers of a version: the gates that refused it, and those of them that nobody can overrule."""

    version: int
    refused_by: tuple[str, ...]
    vetoes: tuple[str, ...]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loop stands.

    Attributes:
        seq: Ledger number of the newest event folded in.
        served: Whether a server is up (between `LoopStarted` and `LoopStopped`).
        reigned: Versions that were champion and may be so again, oldest first; a roll-back forgets the later ones.
        divided: Ledger number of the event upon which traffic was divided last.
        replacing: The same, until the server confirms it.
        stepped_back: Whether the loop itself went back to an earlier champion since the last promotion.
        stopped: Why the data were refused, while they are.
        source_version: Newest version of the upstream source that was seen.
        memory: What the policy remembers of all observations.
        reading: What it made of the newest one.
    """

    rules: Rules
    seq: int = 0
    served: bool = False
    champion: int | None = None
    reigned: tuple[int, ...] = ()
    epoch: int = 0
    candidates: dict[int, Candidate] = {}
    inflight: Trigger | None = None
    cancelling: bool = False
    trial: Trial | None = None
    divided: int = 0
    replacing: int | None = None
    stepped_back: bool = False
    stopped: str | None = None
    source_version: str | None = None
    trainable: int = 0
    history: Past = Past()
    memory: Memory = None
    reading: Reading | None = None


def fold(state: State, recorded: Iterable[Recorded]) -> State:
    """The state after more of the ledger."""
    for one in recorded:
        state = evolve(state, one)
    return state


def evolve(state: State, recorded: Recorded) -> State:
    """The state after one more event. Pure; events of other loops change nothing."""
    event = recorded.event
    if event.loop != state.rules.loop:
        return state
    state = msgspec.structs.replace(state, seq=max(state.seq, recorded.seq))
    change = _CHANGES.get(type(event))
    return msgspec.structs.replace(state, **change(state, recorded, event)) if change else state


def _started(state: State, recorded: Recorded, _event: ev.LoopStarted) -> dict[str, object]:
    started = state.history.started or recorded.time
    return {"served": True, "history": msgspec.structs.replace(state.history, started=started)}


def _stopped(_state: State, _recorded: Recorded, _event: ev.LoopStopped) -> dict[str, object]:
    return {"served": False, "replacing": None}


def _observed(state: State, recorded: Recorded, event: ev.Observed) -> dict[str, object]:
    skew = [signal for signal in event.signals if signal.kind == "schema_skew" and signal.alarmed]
    reason = "; ".join(f"{signal.subject}: {signal.detail}" for signal in skew) or None
    source_version = event.source_version or state.source_version
    history = state.history
    if history.source_version is None and history.trained_at is not None:
        # The first version that is seen is what the model there is was trained on.
        history = msgspec.structs.replace(history, source_version=event.source_version)
    busy = state.inflight is not None or state.trial is not None
    past = msgspec.structs.replace(history, busy_until=recorded.time) if busy else history
    memory, reading = state.rules.when.step(state.memory, Look.at(event, past))
    changes = {"stopped": reason, "source_version": source_version, "trainable": event.trainable, "history": history}
    return changes | {"memory": memory, "reading": reading}


def _registered(state: State, recorded: Recorded, event: ev.VersionRegistered) -> dict[str, object]:
    refused = tuple(gate.gate for gate in event.gates if not gate.passed)
    vetoes = tuple(gate.gate for gate in event.gates if not gate.passed and gate.binding)
    known = Candidate(event.version, refused if event.gates else ("no gates",), vetoes)
    history = msgspec.structs.replace(
        state.history,
        trained_at=recorded.time,
        trainable=event.trainable,
        source_version=state.source_version,
        busy_until=recorded.time,
    )
    if not event.passed and not unproven.is_unproven(event.gates):
        history = _fruitless(history, recorded)
    done = state.inflight is not None and state.inflight.key == event.trigger.key
    return {
        "candidates": state.candidates | {event.version: known},
        "inflight": None if done else state.inflight,
        "cancelling": state.cancelling and not done,
        "history": history,
    }


def _ended(state: State, recorded: Recorded, event: ev.TrainingEnded) -> dict[str, object]:
    if state.inflight is None or state.inflight.key != event.trigger:
        return {}
    history = msgspec.structs.replace(state.history, busy_until=recorded.time)
    if event.status != "cancelled":
        history = _fruitless(history, recorded)
    return {"inflight": None, "cancelling": False, "history": history}


def _trial_started(_state: State, recorded: Recorded, event: ev.TrialStarted) -> dict[str, object]:
    plan = msgspec.convert(event.plan, Tried)
    rivals = {"challenger": event.challenger, "champion": event.champion}
    return {"trial": Trial(stage=0, plan=plan, started=recorded.time, veto=event.veto, **rivals)}


def _arms(state: State, recorded: Recorded, event: ev.ArmsSet) -> dict[str, object]:
    divided = recorded.cause or recorded.seq
    changes: dict[str, object] = {"divided": divided, "replacing": divided if state.served else None}
    if state.trial is not None and event.stage is not None:
        share = next((arm.share for arm in event.arms if arm.version == state.trial.challenger), 0.0)
        where = {"stage": event.stage, "pairs_before": event.pairs, "share": share}
        changes["trial"] = msgspec.structs.replace(state.trial, **where)
    return changes


def _applied(state: State, _recorded: Recorded, event: ev.RoutingApplied | ev.RoutingRefused) -> dict[str, object]:
    confirmed = state.replacing is not None and event.arms_seq >= state.replacing
    return {"replacing": None} if confirmed else {}


def _trial_ended(state: State, recorded: Recorded, event: ev.TrialEnded) -> dict[str, object]:
    history = msgspec.structs.replace(state.history, busy_until=recorded.time)
    if event.outcome in ("rolled_back", "inconclusive"):
        history = _fruitless(history, recorded)
    return {"trial": None, "history": history}


def _fruitless(history: Past, recorded: Recorded) -> Past:
    return msgspec.structs.replace(history, failures=history.failures + 1, failed_at=recorded.time)


def _promoted(state: State, _recorded: Recorded, event: ev.Promoted) -> dict[str, object]:
    before = tuple(version for version in state.reigned if version != event.version)
    history = msgspec.structs.replace(state.history, failures=0, failed_at=None)
    reigned = (*before, event.version)
    changes = {"champion": event.version, "epoch": event.epoch, "reigned": reigned, "history": history}
    return changes | {"stepped_back": False}


def _rolled_back(state: State, _recorded: Recorded, event: ev.RolledBack) -> dict[str, object]:
    kept = state.reigned[: state.reigned.index(event.version) + 1]
    return {"champion": event.version, "epoch": event.epoch, "reigned": kept, "stepped_back": event.who == LOOP}


def _decided(state: State, recorded: Recorded, event: ev.Decided) -> dict[str, object]:
    train = next((command for command in event.commands if isinstance(command, ev.Train)), None)
    if train is None:
        cancels = any(isinstance(command, ev.Cancel) for command in event.commands)
        return {"cancelling": True} if cancels and state.inflight is not None else {}
    fires = (*state.history.fires, recorded.time)[-_KEPT_FIRES:]
    return {"inflight": train.trigger, "history": msgspec.structs.replace(state.history, fires=fires)}


_CHANGES: dict[type[ev.Event], Callable[[State, Recorded, Any], dict[str, object]]] = {
    ev.LoopStarted: _started,
    ev.LoopStopped: _stopped,
    ev.Observed: _observed,
    ev.VersionRegistered: _registered,
    ev.TrainingEnded: _ended,
    ev.TrialStarted: _trial_started,
    ev.ArmsSet: _arms,
    ev.RoutingApplied: _applied,
    ev.RoutingRefused: _applied,
    ev.TrialEnded: _trial_ended,
    ev.Promoted: _promoted,
    ev.RolledBack: _rolled_back,
    ev.Decided: _decided,
}
