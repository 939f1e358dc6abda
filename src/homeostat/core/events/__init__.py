"""The vocabulary of the ledger: everything that can happen to a Loop, as typed, immutable values.

An event is a fact; nothing here computes. Times are aware UTC datetimes. `loop` is the name of the Loop concerned.
"""

from __future__ import annotations

from homeostat.core.events.data import BatchRefused, ColumnChange, Observed, RowsAppended, RowsRemoved, SchemaAccepted
from homeostat.core.events.loop import Cancel, Command, Decided, LoopStarted, LoopStopped, Train
from homeostat.core.events.measured import ArmOutcome, Judgement, Performance, Signal, SignalKind, Verdict
from homeostat.core.events.request import CancelRequested, PromotionRequested, RetrainRequested, RollbackRequested
from homeostat.core.events.run import RunFinished, RunStarted, StepFinished, TrainingEnded
from homeostat.core.events.trial import ArmsSet, RoutingApplied, RoutingRefused, TrialEnded, TrialStarted
from homeostat.core.events.values import (
    Action,
    Arm,
    DecisionOutcome,
    Event,
    GateResult,
    Outcome,
    Role,
    RunContext,
    RunStatus,
    TrialOutcome,
    Trigger,
)
from homeostat.core.events.version import Promoted, RolledBack, VersionRegistered

AnyEvent = (
    RunStarted
    | StepFinished
    | RunFinished
    | RowsAppended
    | RowsRemoved
    | SchemaAccepted
    | VersionRegistered
    | TrainingEnded
    | TrialStarted
    | ArmsSet
    | TrialEnded
    | Promoted
    | RolledBack
    | LoopStarted
    | LoopStopped
    | RoutingApplied
    | RoutingRefused
    | BatchRefused
    | Observed
    | RetrainRequested
    | PromotionRequested
    | RollbackRequested
    | CancelRequested
    | Decided
)

__all__ = [
    "Action",
    "AnyEvent",
    "Arm",
    "ArmOutcome",
    "ArmsSet",
    "BatchRefused",
    "Cancel",
    "CancelRequested",
    "ColumnChange",
    "Command",
    "Decided",
    "DecisionOutcome",
    "Event",
    "GateResult",
    "Judgement",
    "LoopStarted",
    "LoopStopped",
    "Observed",
    "Outcome",
    "Performance",
    "Promoted",
    "PromotionRequested",
    "RetrainRequested",
    "Role",
    "RollbackRequested",
    "RolledBack",
    "RoutingApplied",
    "RoutingRefused",
    "RowsAppended",
    "RowsRemoved",
    "RunContext",
    "RunFinished",
    "RunStarted",
    "RunStatus",
    "SchemaAccepted",
    "Signal",
    "SignalKind",
    "StepFinished",
    "Train",
    "TrainingEnded",
    "TrialEnded",
    "TrialOutcome",
    "TrialStarted",
    "Trigger",
    "Verdict",
    "VersionRegistered",
]
