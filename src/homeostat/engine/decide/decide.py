"""The one decision function: pure, the same live and in a replay.

`decide(state, recorded)` takes the state of a loop and one recorded event, and gives back the new state and what was
decided. It reads no clock, no disk, no network and no randomness: whatever it needs is in the state or in the event.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.deploy import Canary, Immediately, Trial, advance, begin, role, seen
from homeostat.core import events as ev
from homeostat.core.events import Arm, Cancel, Command, Decided, Train, Trigger
from homeostat.core.ledger import unproven
from homeostat.ct.when import Reading
from homeostat.engine.decide.state import LOOP, State, evolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.core.ledger import Recorded

_LONGEST_PAUSE = timedelta(days=1)
_FIRST_PAUSE = timedelta(minutes=10)


class Decision(msgspec.Struct, frozen=True):
    """What was decided, and the facts that follow from it at once, in the same transaction.

    Commands inside `decided` are effects that somebody has to carry out; facts need nobody.
    """

    decided: Decided
    facts: tuple[ev.AnyEvent, ...] = ()


def decide(state: State, recorded: Recorded) -> tuple[State, tuple[Decision, ...]]:
    """Fold one event in and decide what follows."""
    state = evolve(state, recorded)
    decisions: list[Decision] = []
    for consider in _CONSIDERATIONS.get(type(recorded.event), ()):
        decision = consider(state, recorded, recorded.event)
        if decision is None:
            continue
        decisions.append(decision)
        for fact in (decision.decided, *decision.facts):
            state = evolve(state, msgspec.structs.replace(recorded, event=fact))
    return state, tuple(decisions)


def _on_start(state: State, recorded: Recorded, _event: ev.LoopStarted) -> Decision | None:
    if state.inflight is not None:
        reason = f"run for {state.inflight.key} was cut off: it resumes"
        return _decision(state, "retrain", "service", reason, {"trigger": state.inflight.key})
    if state.champion is not None or state.candidates:
        return None
    return _retrain(state, recorded, "initial", "there is no model yet", {"versions": 0})


def _on_data(state: State, _recorded: Recorded, event: ev.Observed) -> Decision | None:
    if state.stopped is None:
        return None
    skewed = [signal for signal in event.signals if signal.kind == "schema_skew" and signal.alarmed]
    evidence = {"columns": {signal.subject: signal.detail for signal in skewed}}
    return _decision(state, "stop", "data", f"schema skew: {state.stopped}", evidence, outcome="refused")


def _on_service(state: State, _recorded: Recorded, event: ev.Observed) -> Decision | None:
    faults = [signal for signal in event.signals if signal.kind == "service_fault" and signal.alarmed]
    if not faults:
        return None
    reason = "; ".join(f"{signal.subject}: {signal.detail}" for signal in faults)
    evidence = {signal.subject: signal.value for signal in faults}
    return _decision(state, "notify", "service", reason, evidence)


def _on_trial(state: State, _recorded: Recorded, event: ev.Observed) -> Decision | None:
    trial, judgement = state.trial, event.judgement
    if trial is None or judgement is None or judgement.challenger != trial.challenger:
        return None
    move = advance(trial, judgement)
    evidence: dict[str, Any] = {"stage": trial.stage, **_numbers(judgement)}
    name = f"version {trial.challenger}"
    match move.step:
        case "stay":
            return _decision(state, "keep", "trial", f"{name} stays where it is: {move.reason}", evidence, fired=False)
        case "next":
            arms = _arms_at(state, trial, move.share, trial.stage + 1, seen(judgement))
            reason = f"{name} answers {move.share:.0%}: {move.reason}"
            return _decision(state, "deploy", "trial", reason, evidence, (), arms)
        case "share":
            arms = _arms_at(state, trial, move.share, trial.stage, trial.pairs_before, move.reason)
            reason = f"{name} answers {move.share:.1%} instead of {trial.share:.1%}: {move.reason}"
            return _decision(state, "deploy", "trial", reason, evidence, (), arms)
        case "promote":
            reason = f"{name} replaces version {trial.champion}: {move.reason}"
            facts = (_ended(state, trial, "promoted", move.reason, judgement), *_crown(state, trial.challenger, reason))
            return _decision(state, "promote", "trial", reason, evidence, (), *facts)
        case "roll_back":
            reason = f"{name} is withdrawn: {move.reason}"
            facts = _withdraw(state, trial, "rolled_back", move.reason, judgement)
            return _decision(state, "roll_back", "trial", reason, evidence, (), *facts)
        case "inconclusive":
            facts = _withdraw(state, trial, "inconclusive", move.reason, judgement)
            return _decision(state, "keep", "trial", f"{name} is not promoted: {move.reason}", evidence, (), *facts)


def _on_policy(state: State, recorded: Recorded, event: ev.Observed) -> Decision | None:
    reading = state.reading
    assert reading is not None
    if state.champion is None and event.trainable > state.history.trainable:
        words = f"there is no champion yet, and {event.trainable - state.history.trainable:,} labelled rows are new"
        reading = Reading(fired=True, reason=words, evidence={"trainable": event.trainable})
    held = _held(state, event.now) if reading.fired else None
    if not reading.fired or held:
        reason = f"{held}, though {reading.reason}" if held else reading.reason
        outcome: ev.DecisionOutcome = "held" if held else "done"
        return _decision(state, "keep", "policy", reason, reading.evidence, fired=False, outcome=outcome)
    return _retrain(state, recorded, state.rules.when.label, reading.reason, reading.evidence)


def _held(state: State, now: datetime) -> str | None:
    """Why a policy that fired has to wait."""
    if state.stopped is not None:
        return "the data are refused"
    if state.inflight is not None:
        return f"a run is in flight for {state.inflight.key}"
    if state.trial is not None:
        return f"version {state.trial.challenger} is on trial"
    history = state.history
    if history.failures and history.failed_at is not None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(history.failures - 1, 10))
        if now < history.failed_at + pause:
            until = f"{history.failed_at + pause:%Y-%m-%d %H:%M}"
            runs = "the last run" if history.failures == 1 else f"the last {history.failures} runs"
            return f"{runs} came to nothing; next try after {until}"
    return None


def _on_candidate(state: State, _recorded: Recorded, event: ev.VersionRegistered) -> Decision | None:
    name = f"version {event.version}"
    evidence = {gate.gate: {"passed": gate.passed, "reason": gate.reason, **gate.numbers} for gate in event.gates}
    if unproven.is_unproven(event.gates):
        reason = f"{name} waits: it {unproven.REASON}"
        return _decision(state, "keep", "candidate", reason, evidence, fired=False, outcome="held")
    if not event.passed:
        failed = "; ".join(f"{gate.gate}: {gate.reason}" for gate in event.gates if not gate.passed) or "no gates ran"
        reason = f"{name} is refused by {failed}"
        return _decision(state, "keep", "candidate", reason, evidence, fired=False, outcome="refused")
    if state.champion is None:
        reason = f"{name} passed {len(event.gates)} gates and is the first champion"
        return _decision(state, "promote", "candidate", reason, evidence, (), *_crown(state, event.version, reason))
    if state.trial is not None:
        reason = f"{name} passed its gates and is set aside: version {state.trial.challenger} is on trial"
        return _decision(state, "keep", "candidate", reason, evidence, fired=False, outcome="held")
    if event.parent != state.champion:
        compared = "with no champion" if event.parent is None else f"with version {event.parent}"
        reason = f"{name} is set aside: it was compared {compared}, and version {state.champion} is the champion now"
        return _decision(state, "keep", "candidate", reason, evidence, fired=False, outcome="held")
    return _put_on_its_way(state, event.version, f"{name} passed {len(event.gates)} gates", evidence)


def _put_on_its_way(
    state: State, version: int, reason: str, evidence: dict[str, Any], veto: str | None = None
) -> Decision:
    """Start a trial, or promote at once when the plan is to."""
    plan = state.rules.deploy
    if isinstance(plan, Immediately):
        return _decision(state, "promote", "candidate", reason, evidence, (), *_crown(state, version, reason))
    assert state.champion is not None
    stage, share = begin(plan)
    trial = Trial(challenger=version, champion=state.champion, stage=stage, plan=plan, veto=veto)
    details = msgspec.json.decode(msgspec.json.encode(plan))
    loop = state.rules.loop
    started = ev.TrialStarted(loop=loop, challenger=version, champion=state.champion, plan=details, veto=veto)
    arms = _arms_at(state, trial, share, stage, 0)
    shadowed = isinstance(plan, Canary) and plan.shadow_rows
    where = f"answers {share:.0%}" if share else "goes to the shadow" if shadowed else "goes on trial"
    return _decision(state, "deploy", "candidate", f"{reason}: it {where}", evidence, (), started, arms)


def _on_refused_routing(state: State, _recorded: Recorded, event: ev.RoutingRefused) -> Decision | None:
    """A version that cannot be served is withdrawn: the challenger, or else a champion that has one before it.

    The loop steps back once and then asks for people: when the one before fails too, the fault is elsewhere.
    """
    if event.arms_seq < state.divided:
        return None
    evidence = {"arms_seq": event.arms_seq, "error": event.error}
    why = f"the server cannot use it: {event.error}"
    if state.trial is not None:
        reason = f"version {state.trial.challenger} is withdrawn: {why}"
        facts = _withdraw(state, state.trial, "rolled_back", why, None)
        return _decision(state, "roll_back", "service", reason, evidence, (), *facts)
    earlier = state.reigned[:-1]
    if earlier and not state.stepped_back:
        reason = f"back to version {earlier[-1]} from version {state.champion}: {why}"
        facts = _uncrown(state, earlier[-1], reason)
        return _decision(state, "roll_back", "service", reason, evidence, (), *facts)
    return _decision(state, "notify", "service", f"version {state.champion} is not served: {why}", evidence)


def _on_refused_batch(state: State, _recorded: Recorded, event: ev.BatchRefused) -> Decision:
    evidence = {"source": event.source, "version": event.version, "problems": list(event.problems), "predictions": 0}
    reason = f"batch inference of {event.source} was refused: {event.problems[0]}"
    return _decision(state, "stop", "data", reason, evidence, outcome="refused")


def _on_end_of_training(state: State, _recorded: Recorded, event: ev.TrainingEnded) -> Decision:
    evidence = {"trigger": event.trigger, "run": event.run, "failures": state.history.failures}
    became = "failed" if event.status == "failed" else f"was {event.status}"
    reason = f"training for {event.trigger} {became}: {event.error}"
    if event.status == "cancelled":
        return _decision(state, "keep", "request", reason, evidence, fired=False)
    if event.status == "stopped":
        return _decision(state, "stop", "data", reason, evidence, outcome="refused")
    return _decision(state, "notify", "service", reason, evidence)


def _on_retrain_request(state: State, recorded: Recorded, event: ev.RetrainRequested) -> Decision | None:
    evidence = {"user": event.user, "reason": event.reason}
    if state.inflight is not None:
        reason = f"{event.user} asked for a run; the one in flight for {state.inflight.key} serves it"
        return _decision(state, "keep", "request", reason, evidence, fired=False)
    return _retrain(state, recorded, "manual", event.reason, evidence, user=event.user)


def _on_promotion_request(state: State, _recorded: Recorded, event: ev.PromotionRequested) -> Decision | None:
    candidate = state.candidates.get(event.version)
    evidence: dict[str, Any] = {"user": event.user, "reason": event.reason, "version": event.version}
    name = f"version {event.version}"
    if candidate is None:
        return _refusal(state, f"{name} is not registered", evidence)
    if event.version == state.champion:
        return _refusal(state, f"{name} is the champion already", evidence)
    evidence["refused_by"] = list(candidate.refused_by)
    by = ", ".join(candidate.refused_by)
    if not event.direct and state.champion is not None:
        if isinstance(state.rules.deploy, Immediately):
            return _refusal(
                state, "the loop's deploy has no trial; declare deploy.Canary(), or promote at once", evidence
            )
        if state.trial is not None:
            return _refusal(state, f"version {state.trial.challenger} is on trial; cancel that first", evidence)
        veto = f"{', '.join(candidate.vetoes)} refused it for good" if candidate.vetoes else None
        return _put_on_its_way(state, event.version, f"{event.user} pushed {name} ({event.reason})", evidence, veto)
    if candidate.vetoes == (unproven.UNPROVEN,):
        return _refusal(state, f"{name} {unproven.REASON}: {unproven.HINT}", evidence)
    if candidate.vetoes:
        return _refusal(state, f"{name} was refused for good by {', '.join(candidate.vetoes)}", evidence)
    overruled = f", overruling {by}" if by else ""
    reason = f"{event.user} promoted {name}{overruled}: {event.reason}"
    facts: list[ev.AnyEvent] = []
    if state.trial is not None:
        outcome: ev.TrialOutcome = "promoted" if state.trial.challenger == event.version else "cancelled"
        facts.append(_ended(state, state.trial, outcome, reason, None))
    facts.extend(_crown(state, event.version, reason, who=event.user))
    return _decision(state, "promote", "request", reason, evidence, (), *facts)


def _on_rollback_request(state: State, _recorded: Recorded, event: ev.RollbackRequested) -> Decision | None:
    earlier = state.reigned[:-1]
    version = earlier[-1] if event.version is None and earlier else event.version
    evidence = {"user": event.user, "reason": event.reason, "champion": state.champion, "version": version}
    if version == state.champion:
        return _refusal(state, f"version {version} is the champion already", evidence)
    if version is None or version not in earlier:
        known = f"; there are {', '.join(map(str, earlier))}" if earlier else ""
        return _refusal(state, f"there is no such earlier champion to go back to{known}", evidence)
    reason = f"{event.user} rolled back to version {version}: {event.reason}"
    facts: list[ev.AnyEvent] = []
    if state.trial is not None:
        facts.append(_ended(state, state.trial, "cancelled", reason, None))
    facts.extend(_uncrown(state, version, event.reason, who=event.user))
    return _decision(state, "roll_back", "request", reason, evidence, (), *facts)


def _on_cancel_request(state: State, _recorded: Recorded, event: ev.CancelRequested) -> Decision | None:
    evidence: dict[str, Any] = {"user": event.user, "reason": event.reason}
    if state.replacing is not None:
        reason = "the server is replacing its model right now: ask again when it has confirmed"
        return _refusal(state, reason, evidence | {"arms_seq": state.replacing})
    if state.trial is not None:
        reason = f"{event.user} cancelled the trial of version {state.trial.challenger}: {event.reason}"
        facts = _withdraw(state, state.trial, "cancelled", reason, None)
        return _decision(state, "keep", "request", reason, evidence, (), *facts)
    if state.inflight is not None:
        command = Cancel(trigger=state.inflight.key)
        reason = f"{event.user} cancelled the run for {state.inflight.key}: {event.reason}"
        return _decision(state, "keep", "request", reason, evidence, (command,))
    return _refusal(state, "nothing is in flight", evidence)


def _decision(
    state: State,
    action: ev.Action,
    about: str,
    reason: str,
    evidence: dict[str, Any],
    commands: tuple[Command, ...] = (),
    *facts: ev.AnyEvent,
    fired: bool = True,
    outcome: ev.DecisionOutcome = "done",
) -> Decision:
    decided = Decided(
        loop=state.rules.loop,
        action=action,
        about=about,
        fired=fired,
        reason=reason,
        evidence=evidence,
        commands=commands,
        outcome=outcome,
    )
    return Decision(decided, facts)


def _refusal(state: State, reason: str, evidence: dict[str, Any]) -> Decision:
    return _decision(state, "keep", "request", reason, evidence, fired=False, outcome="refused")


def _retrain(
    state: State, recorded: Recorded, kind: str, reason: str, evidence: dict[str, Any], user: str | None = None
) -> Decision:
    loop = state.rules.loop
    trigger = Trigger(key=f"{loop}/{recorded.seq}", kind=kind, reason=reason, user=user, cause=recorded.seq)
    command = Train(trigger=trigger, now=recorded.time)
    return _decision(state, "retrain", "request" if user else "policy", reason, evidence, (command,))


def _crown(state: State, version: int, reason: str, who: str = LOOP) -> tuple[ev.AnyEvent, ...]:
    loop, epoch = state.rules.loop, state.epoch + 1
    change = ev.Promoted(loop=loop, version=version, previous=state.champion, epoch=epoch, who=who, reason=reason)
    return change, _alone(state, version, reason)


def _uncrown(state: State, version: int, reason: str, who: str = LOOP) -> tuple[ev.AnyEvent, ...]:
    assert state.champion is not None
    loop, epoch = state.rules.loop, state.epoch + 1
    change = ev.RolledBack(loop=loop, version=version, previous=state.champion, epoch=epoch, who=who, reason=reason)
    return change, _alone(state, version, reason)


def _alone(state: State, version: int, reason: str) -> ev.ArmsSet:
    arms = (Arm(version=version, role="champion", share=1.0),)
    return ev.ArmsSet(loop=state.rules.loop, arms=arms, salt=f"{state.rules.loop}/{version}", reason=reason)


def _arms_at(state: State, trial: Trial, share: float, stage: int, pairs: int, why: str = "") -> ev.ArmsSet:
    name = role(trial.plan, share)
    arms = (
        Arm(version=trial.champion, role="champion", share=1.0 - share),
        Arm(version=trial.challenger, role=name, share=share),
    )
    loop = state.rules.loop
    reason = (
        f"version {trial.challenger} as {name}" + (f" with {share:.1%}" if share else "") + (f", {why}" if why else "")
    )
    return ev.ArmsSet(loop=loop, arms=arms, salt=f"{loop}/{trial.challenger}", reason=reason, stage=stage, pairs=pairs)


def _ended(
    state: State, trial: Trial, outcome: ev.TrialOutcome, reason: str, judgement: ev.Judgement | None
) -> ev.TrialEnded:
    return ev.TrialEnded(
        loop=state.rules.loop,
        challenger=trial.challenger,
        champion=trial.champion,
        outcome=outcome,
        reason=reason,
        judgement=judgement,
    )


def _withdraw(
    state: State, trial: Trial, outcome: ev.TrialOutcome, reason: str, judgement: ev.Judgement | None
) -> tuple[ev.AnyEvent, ...]:
    alone = _alone(state, trial.champion, f"version {trial.challenger} is withdrawn")
    return _ended(state, trial, outcome, reason, judgement), alone


def _numbers(judgement: ev.Judgement) -> dict[str, Any]:
    return {
        "pairs": judgement.pairs,
        "verdict": judgement.verdict,
        "e_harm": judgement.e_harm,
        "e_benefit": judgement.e_benefit,
        "difference": judgement.difference,
        "interval": [judgement.low, judgement.high],
    }


_CONSIDERATIONS: dict[type[ev.Event], tuple[Callable[[State, Recorded, Any], Decision | None], ...]] = {
    ev.LoopStarted: (_on_start,),
    ev.Observed: (_on_data, _on_service, _on_trial, _on_policy),
    ev.VersionRegistered: (_on_candidate,),
    ev.BatchRefused: (_on_refused_batch,),
    ev.RoutingRefused: (_on_refused_routing,),
    ev.TrainingEnded: (_on_end_of_training,),
    ev.RetrainRequested: (_on_retrain_request,),
    ev.PromotionRequested: (_on_promotion_request,),
    ev.RollbackRequested: (_on_rollback_request,),
    ev.CancelRequested: (_on_cancel_request,),
}
