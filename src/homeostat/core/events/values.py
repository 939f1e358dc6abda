"""What events are made of: who triggered what, which version gets traffic, what a gate said; and their one base."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Action = Literal["keep", "notify", "stop", "retrain", "reuse", "roll_back", "experiment", "deploy", "promote"]
Role = Literal["champion", "canary", "shadow", "split", "bandit"]
Outcome = Literal["ran", "hit", "failed"]
RunStatus = Literal["running", "succeeded", "failed", "stopped", "interrupted"]
DecisionOutcome = Literal["done", "refused", "held"]
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
        cause: Ledger number of the event that made the policy fire.
    """

    key: str
    kind: str
    reason: str
    user: str | None = None
    cause: int | None = None


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
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
