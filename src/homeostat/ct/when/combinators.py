"""What every policy is, a fold that reads observations, and the policies that are made of others.

A policy is a value. What it may know of the past is its own memory, which it returns with every reading, and the `Past`
of its loop. Both are folded from the ledger, so the same policy gives the same reading live, in a replay and in a test.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

import msgspec

from homeostat.core.clock import duration
from homeostat.core.errors import LoopError
from homeostat.core.events import Observed
from homeostat.core.open_table import OpenTable, tag_of

Memory = Any
"""What a policy remembers: None at first, then anything that JSON can hold."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What happened before, as far as a policy may know.

    Attributes:
        started: When the loop was first taken in charge.
        fires: When retraining was decided, oldest first; the last 100.
        trained_at: When the newest version was trained, on the loop's clock.
        trainable: Labelled rows that there were then.
        source_version: Version of the upstream source at the last fire.
        busy_until: When the last run or trial ended; the time of the look while one goes on.
        failures: Runs and trials since the last promotion that came to nothing: failed, refused or withdrawn.
        failed_at: When the last of them did.
    """

    started: datetime | None = None
    fires: tuple[datetime, ...] = ()
    trained_at: datetime | None = None
    trainable: int = 0
    source_version: str | None = None
    busy_until: datetime | None = None
    failures: int = 0
    failed_at: datetime | None = None

    @property
    def since(self) -> datetime | None:
        """The last time that retraining was decided or done, or else the start."""
        known = [moment for moment in (self.started, self.trained_at, *self.fires[-1:]) if moment is not None]
        return max(known, default=None)


class Look(Observed, tag="look", frozen=True, kw_only=True):
    """What a policy looks at: an observation, and what happened before it."""

    past: Past

    @classmethod
    def at(cls, seen: Observed, past: Past) -> Self:
        """An observation at a point of the loop's history."""
        return cls(past=past, **{name: getattr(seen, name) for name in Observed.__struct_fields__})


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy makes of an observation."""

    fired: bool
    reason: str
    evidence: dict[str, Any]


POLICIES: OpenTable[type[Policy]] = OpenTable("policy", name=tag_of)
"""Every class of policies by its tag; `POLICIES.register` adds one's own."""


class Policy(msgspec.Struct, frozen=True, tag_field="when"):
    """What every policy has.

    One of your own has a tag and a `step`, and everything that it remembers is in the memory that it returns.
    """

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """Look at one observation. Pure.

        Args:
            memory: What it returned after the observation before; None at first. It must not be changed.
            seen: What the monitor saw, and what happened before.

        Returns:
            What it remembers, which JSON can hold; and whether to retrain, why, and the numbers and thresholds behind.
        """
        raise TypeError(f"{type(self).__name__} is not a policy of its own")

    def read(self, seen: Observed, history: Past) -> Reading:
        """What it makes of one observation without having seen another."""
        return self.step(None, Look.at(seen, history))[1]

    def __or__(self, other: Policy) -> Any_:
        """Fire when either fires."""
        return Any_(policies=(*_same(self, Any_), *_same(other, Any_)))

    def __and__(self, other: Policy) -> All_:
        """Fire when both fire."""
        return All_(policies=(*_same(self, All_), *_same(other, All_)))

    def cooldown(self, period: str) -> Cooldown:
        """Stay quiet for a while after each fire.

        Example:
            >>> from homeostat import when
            >>> policy = when.drift(psi=0.2).cooldown("3d")
        """
        duration(period)
        return Cooldown(policy=self, period=period)

    def warmup(self, period: str) -> Warmup:
        """Stay quiet for a while after the loop was first started."""
        duration(period)
        return Warmup(policy=self, period=period)

    def at_most(self, times: int, per: str) -> AtMost:
        """Fire no more than `times` (1..100) in any stretch of length `per`."""
        duration(per)
        if not 1 <= times <= 100:
            raise LoopError(f"at_most({times}) is out of range", hint="choose 1 to 100 times")
        return AtMost(policy=self, times=times, per=per)

    @property
    def label(self) -> str:
        """A short name, for triggers and tables."""
        return tag_of(type(self))

    @property
    def parts(self) -> tuple[Policy, ...]:
        """The policies that it is made of."""
        return ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that it, or a part of it, waits for to fall."""
        return tuple(name for part in self.parts for name in part.metrics)

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics of drift that it, or a part of it, looks at."""
        return tuple(name for part in self.parts for name in part.statistics)


class _Joined(Policy, frozen=True, kw_only=True):
    policies: tuple[Policy, ...]

    @property
    def parts(self) -> tuple[Policy, ...]:
        """See `Policy.parts`."""
        return self.policies

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """Reads every policy, so that the evidence is whole."""
        before = memory or [None] * len(self.policies)
        stepped = [policy.step(known, seen) for policy, known in zip(self.policies, before, strict=True)]
        after = [known for known, _ in stepped]
        return after if any(known is not None for known in after) else None, self._vote([one for _, one in stepped])

    def _vote(self, readings: list[Reading]) -> Reading:
        needed, fired = self._least, [reading for reading in readings if reading.fired]
        evidence: dict[str, Any] = {"needed": needed, "fired": len(fired)}
        evidence["policies"] = [
            {"policy": policy.label, "fired": reading.fired, "reason": reading.reason, **reading.evidence}
            for policy, reading in zip(self.policies, readings, strict=True)
        ]
        shown = fired if len(fired) >= needed else [reading for reading in readings if not reading.fired]
        return Reading(fired=len(fired) >= needed, reason="; ".join(one.reason for one in shown), evidence=evidence)

    @property
    def _least(self) -> int:
        """How many of its policies have to fire."""
        raise TypeError(f"{type(self).__name__} is not a policy of its own")


@POLICIES.register
class Any_(_Joined, tag="any", frozen=True, kw_only=True):  # noqa: N801 - `any` is a built-in
    """Fires when one of its policies fires."""

    @property
    def label(self) -> str:
        """The names of its policies."""
        return "|".join(policy.label for policy in self.policies)

    @property
    def _least(self) -> int:
        return 1


@POLICIES.register
class All_(_Joined, tag="all", frozen=True, kw_only=True):  # noqa: N801 - `all` is a built-in
    """Fires when all of its policies fire."""

    @property
    def label(self) -> str:
        """The names of its policies."""
        return "&".join(policy.label for policy in self.policies)

    @property
    def _least(self) -> int:
        return len(self.policies)


@POLICIES.register
class Vote(_Joined, tag="vote", frozen=True, kw_only=True):
    """Fires when enough of its policies fire; see `vote`."""

    needed: int

    @property
    def _least(self) -> int:
        return self.needed


class _Wrapped(Policy, frozen=True, kw_only=True):
    policy: Policy

    @property
    def label(self) -> str:
        """The name of the policy inside."""
        return self.policy.label

    @property
    def parts(self) -> tuple[Policy, ...]:
        """See `Policy.parts`."""
        return (self.policy,)

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """What the policy inside says, unless it is held back."""
        memory, inner = self.policy.step(memory, seen)
        held = self._held(seen.now, seen.past) if inner.fired else None
        if held is None:
            return memory, inner
        evidence = inner.evidence | {"held_back_by": held}
        return memory, Reading(fired=False, reason=f"{held}, though {inner.reason}", evidence=evidence)

    def _held(self, now: datetime, history: Past) -> str | None:
        raise TypeError(f"{type(self).__name__} is not a policy of its own")


@POLICIES.register
class Cooldown(_Wrapped, tag="cooldown", frozen=True, kw_only=True):
    """Holds a policy back after a fire."""

    period: str

    def _held(self, now: datetime, history: Past) -> str | None:
        until = history.fires[-1] + duration(self.period) if history.fires else None
        return f"cooling down until {until:%Y-%m-%d %H:%M}" if until is not None and now < until else None


@POLICIES.register
class Warmup(_Wrapped, tag="warmup", frozen=True, kw_only=True):
    """Holds a policy back after the start."""

    period: str

    def _held(self, now: datetime, history: Past) -> str | None:
        until = (history.started or now) + duration(self.period)
        return f"warming up until {until:%Y-%m-%d %H:%M}" if now < until else None


@POLICIES.register
class AtMost(_Wrapped, tag="at_most", frozen=True, kw_only=True):
    """Bounds how often a policy fires."""

    times: int
    per: str

    def _held(self, now: datetime, history: Past) -> str | None:
        recent = sum(fire > now - duration(self.per) for fire in history.fires)
        return f"fired {recent} times in {self.per} already" if recent >= self.times else None


def vote(needed: int, *policies: Policy) -> Vote:
    """Retrain when at least `needed` of the policies fire."""
    if not 1 <= needed <= len(policies):
        raise LoopError(f"vote({needed}) of {len(policies)} policies can never be decided")
    return Vote(needed=needed, policies=policies)


def _same(policy: Policy, kind: type[Any_ | All_]) -> tuple[Any, ...]:
    return policy.policies if isinstance(policy, kind) else (policy,)
