"""The vocabulary of the ledger: everything that can happen to a Loop, as typed, immutable values.

An event is a fact; nothing here computes. Times are aware UTC datetimes. `loop` is the name of the Loop concerned.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from homeostat.core.measured import ArmOutcome as ArmOutcome  # noqa: PLC0414 - part of this module's face
from homeostat.core.measured import Judgement as Judgement  # noqa: PLC0414
from homeostat.core.measured import Performance as Performance  # noqa: PLC0414
from homeostat.core.measured import Signal as Signal  # noqa: PLC0414
from homeostat.core.measured import SignalKind as SignalKind  # noqa: PLC0414
from homeostat.core.measured import Verdict as Verdict  # noqa: PLC0414

Action = Literal["keep", "notify", "stop", "retrain", "reuse", "roll_back", "experiment", "deploy", "promote"]
Role = Literal["champion", "canary", "shadow", "split", "bandit"]
Outcome = Literal["ran", "hit", "failed"]
RunStatus = Literal["running", "succeeded", "failed", "stopped", "interrupted"]
TrialOutcome = Literal["promoted", "rolled_back", "inconclusive", "cancelled"]


class Event(msgspec.Struct, frozen=True, tag_field="kind", kw_only=True):
    """What every fact has: the Loop that it is about."""

    loop: str


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run exists. Its key is unique for ever: one trigger registers at most one version.

    Attributes:
        key: The identity of the trigger, for example `flight-delays/412`.
        kind: The policy or person that asked: `initial`, `manual`, `every`, `rows`, `drift`, `degraded`, `new_version`,
            or a combination such as `every|drift`.
        reason: One sentence for people.
        user: Who asked, when a person did.
        cause: Ledger number of the event that made the policy fire.
    """

    key: str
    kind: str
    reason: str
    user: str | None = None
    cause: int | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What a run ran on: enough to know whether another run had the same ground under it."""

    homeostat: str
    python: str
    platform: str
    packages: str
    """SHA-256 of the sorted `name==version` list of installed packages."""
    commit: str
    """The git commit of the Loop's code, with `+dirty` when the tree was changed, or `none` outside a repository."""


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """A version that gets traffic. `share` is the probability (0..1) that its answer is the one returned."""

    version: int
    role: Role
    share: float


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate saw and said. A binding gate guards a promise: nobody can overrule it."""

    gate: str
    passed: bool
    reason: str
    numbers: dict[str, Any]
    binding: bool = False


class RunStarted(Event, tag="run_started", frozen=True, kw_only=True):
    """A pipeline began."""

    run: str
    pipeline: str
    """SHA-256 of the pipeline's definition: step names, wiring and code."""
    steps: tuple[str, ...]
    trigger: Trigger
    environment: Environment
    settings: dict[str, Any]
    """`step.setting` to its value where it is plain JSON, to its fingerprint otherwise."""
    given: tuple[str, ...] = ()
    """The settings that the caller stated; the others are defaults of the code."""
    inputs: dict[str, dict[str, str]] = {}
    """Input name to its `fingerprint` and, where the value is small enough to be kept for a resume, its `artifact`."""
    executor: str = "threads"
    """What the steps ran on."""
    resumes: str | None = None


class StepFinished(Event, tag="step_finished", frozen=True, kw_only=True):
    """One step of a run ended.

    Attributes:
        key: The cache key, or None when the step cannot be fingerprinted.
        parts: What the key was made of: name of the part to its fingerprint or printable value.
        outcome: `ran`, `hit` (taken from the cache) or `failed`.
        why: One sentence: why it ran or was reused.
        output: Artifact hash of the result.
    """

    run: str
    step: str
    key: str | None
    parts: dict[str, str]
    outcome: Outcome
    why: str
    output: str | None
    started: datetime
    ended: datetime
    error: str | None = None


class RunFinished(Event, tag="run_finished", frozen=True, kw_only=True):
    """A pipeline ended. `stopped` means that the data were refused; `interrupted` that its process died."""

    run: str
    trigger: str
    status: RunStatus
    outputs: dict[str, str]
    """Step name to artifact hash."""
    error: str | None = None


class RowsAppended(Event, tag="rows_appended", frozen=True, kw_only=True):
    """New rows landed in a table."""

    table: str
    table_version: int
    source: str
    rows: int
    duplicates: int
    late: int
    total: int
    newest: datetime | None
    labelled: int = 0
    notes: tuple[str, ...] = ()


class RowsRemoved(Event, tag="rows_removed", frozen=True, kw_only=True):
    """Rows were taken out of a table. The version before still has them, for what was trained on it.

    Attributes:
        selection: Which rows were meant, in words.
        before, after: Versions of the table.
        total: Rows in the table afterwards.
    """

    table: str
    user: str
    reason: str
    selection: str
    rows: int
    before: int
    after: int
    total: int


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a column is from now on; a kind of None means that it is gone."""

    column: str
    kind: str | None
    nullable: bool = False


class SchemaAccepted(Event, tag="schema_accepted", frozen=True, kw_only=True):
    """A change of the schema was accepted: from now on, rows are held against the changed one.

    Attributes:
        user: Who accepted it: a person, or the loop where nothing that was known before is lost.
        changes: What each column is that changed.
        described: The same in sentences.
    """

    user: str
    reason: str
    changes: tuple[ColumnChange, ...]
    described: tuple[str, ...]


class VersionRegistered(Event, tag="version_registered", frozen=True, kw_only=True):
    """A model entered the registry, with everything that the gates saw. Refused candidates are registered too.

    Attributes:
        manifest: Artifact hash of the bundle's manifest.
        train_metrics, test_metrics: Metric name to value; NaN is recorded as None.
        window_start, window_end: Event-time range of the training rows.
        trainable: Rows of the table whose label had matured when training began.
        told: What gates said in the registry that an imported version comes from: information, which decides nothing.
    """

    version: int
    run: str
    trigger: Trigger
    manifest: str
    parent: int | None
    train_metrics: dict[str, float | None]
    test_metrics: dict[str, float | None]
    gates: tuple[GateResult, ...]
    how: str
    trained_rows: int
    trainable: int
    window_start: datetime | None
    window_end: datetime | None
    told: tuple[GateResult, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every gate passed. No gates at all is not a pass."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)


class TrainingEnded(Event, tag="training_ended", frozen=True, kw_only=True):
    """A training command ended without a version: its run failed, was stopped by the data, or was cancelled."""

    trigger: str
    run: str | None
    status: Literal["failed", "stopped", "cancelled"]
    error: str


class TrialStarted(Event, tag="trial_started", frozen=True, kw_only=True):
    """A challenger began its way: shadow, canary, champion."""

    challenger: int
    champion: int
    plan: dict[str, Any]
    veto: str | None = None
    """Why it may not become the champion whatever the judge says: the binding gates that refused it."""


class ArmsSet(Event, tag="arms_set", frozen=True, kw_only=True):
    """Traffic was divided anew. Units stay on their arm while the salt stays.

    Attributes:
        stage: Stage of the running trial that this division belongs to: 0 is the shadow; None without a trial.
        pairs: Matured pairs that the judge had seen by then.
    """

    arms: tuple[Arm, ...]
    salt: str
    reason: str
    stage: int | None = None
    pairs: int = 0


class TrialEnded(Event, tag="trial_ended", frozen=True, kw_only=True):
    """A challenger was promoted, rolled back, found inconclusive or cancelled."""

    challenger: int
    champion: int
    outcome: TrialOutcome
    reason: str
    judgement: Judgement | None = None


class Promoted(Event, tag="promoted", frozen=True, kw_only=True):
    """The champion changed by compare-and-set: `epoch` is the new epoch, `previous` what it replaced."""

    version: int
    previous: int | None
    epoch: int
    who: str
    reason: str


class RolledBack(Event, tag="rolled_back", frozen=True, kw_only=True):
    """The champion was replaced by an earlier one."""

    version: int
    previous: int
    epoch: int
    who: str
    reason: str


class LoopStarted(Event, tag="loop_started", frozen=True, kw_only=True):
    """`homeostat up` (or a replay) took charge of the loop."""

    who: str
    declaration: str
    """SHA-256 of the Loop's declaration."""


class LoopStopped(Event, tag="loop_stopped", frozen=True, kw_only=True):
    """The process in charge let go."""

    who: str
    reason: str


class RoutingRefused(Event, tag="routing_refused", frozen=True, kw_only=True):
    """The server cannot answer with a division of traffic: a version of it does not load, or breaks the contract."""

    arms_seq: int
    error: str


class Observed(Event, tag="observed", frozen=True, kw_only=True):
    """What the monitor saw at `now`: the only thing that policies look at.

    Attributes:
        now: Time on the loop's clock.
        rows: Rows predicted since the last observation.
        labelled: Labels matured since the last observation.
        trainable: Rows of the training table whose label has matured by now.
        newest: Newest event time seen.
        signals: One per column, metric and service that was looked at, alarmed or not.
        performance: One per arm with matured labels.
        judgement: The judge's view of the running trial.
        source_version: Version of the upstream source, where it has one (for `when.new_version`).
    """

    now: datetime
    rows: int
    labelled: int
    trainable: int
    newest: datetime | None = None
    signals: tuple[Signal, ...] = ()
    performance: tuple[Performance, ...] = ()
    judgement: Judgement | None = None
    source_version: str | None = None


class RoutingApplied(Event, tag="routing_applied", frozen=True, kw_only=True):
    """The server answers with the division of traffic that stands at ledger number `arms_seq`."""

    arms_seq: int


class BatchRefused(Event, tag="batch_refused", frozen=True, kw_only=True):
    """A table that was to be predicted as a whole does not fit the model's schema: nothing of it was predicted."""

    source: str
    version: int
    problems: tuple[str, ...]


class RetrainRequested(Event, tag="retrain_requested", frozen=True, kw_only=True):
    """A person asked for a new model."""

    user: str
    reason: str
    request: str


class PromotionRequested(Event, tag="promotion_requested", frozen=True, kw_only=True):
    """A person asked for a version to be put on its way (`direct=False`) or made champion at once."""

    version: int
    user: str
    reason: str
    direct: bool = True


class RollbackRequested(Event, tag="rollback_requested", frozen=True, kw_only=True):
    """A person asked for an earlier champion; None means the previous one."""

    version: int | None
    user: str
    reason: str


class CancelRequested(Event, tag="cancel_requested", frozen=True, kw_only=True):
    """A person asked to stop the run in flight or the running trial."""

    user: str
    reason: str


class Train(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="train"):
    """Run the Loop's pipeline for this trigger, on labels known by `now`."""

    trigger: Trigger
    now: datetime


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="cancel"):
    """End the run that works for this trigger."""

    trigger: str


Command = Train | Cancel


class Decided(Event, tag="decided", frozen=True, kw_only=True):
    """A decision with its evidence: recorded when it acted and when it did not.

    Attributes:
        action: What was decided; `keep` is a decision too.
        about: What was decided upon: `policy`, `trial`, `candidate`, `request`, `data` or `service`.
        fired: Whether anything follows from it.
        evidence: The numbers and thresholds that it was made from.
    """

    action: Action
    about: str
    fired: bool
    reason: str
    evidence: dict[str, Any]
    commands: tuple[Command, ...] = ()


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
