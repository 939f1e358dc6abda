"""When to retrain: policies, each a pure function from what was observed and what happened before to a reading.

A policy is a value. It holds no memory: all that it may know about the past is in `Past`, which is folded from the
ledger. So the same policy gives the same reading live, in a replay and in a test.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from homeostat.core.clock import duration
from homeostat.core.errors import LoopError
from homeostat.core.events import Observed, Performance, Signal

Missed = Literal["once", "skip"]
Overlap = Literal["queue", "skip"]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What happened before, as far as a policy may know.

    Attributes:
        started: When the loop was first taken in charge.
        fires: When retraining was decided, oldest first; the last 100.
        trained_at: When the newest version was trained, on the loop's clock.
        trainable: Labelled rows that there were then.
        source_version: Version of the upstream source at the last fire.
        busy_until: When the last run or trial ended.
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


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy makes of an observation."""

    fired: bool
    reason: str
    evidence: dict[str, Any]


class Policy(msgspec.Struct, frozen=True, tag_field="when"):
    """The operators that every policy has."""

    def read(self, seen: Observed, history: Past) -> Reading:
        """Look at one observation.

        Args:
            seen: What the monitor saw.
            history: What happened before.

        Returns:
            Whether to retrain, why, and the numbers and thresholds behind it.
        """
        raise TypeError(f"{type(self).__name__} is not a policy of its own")

    def __or__(self, other: Policy) -> Any_:
        """Fire when either fires."""
        return Any_(policies=(*_same(self, Any_), *_same(other, Any_)))

    def __and__(self, other: Policy) -> All_:
        """Fire when both fire."""
        return All_(policies=(*_same(self, All_), *_same(other, All_)))

    def cooldown(self, period: str) -> Cooldown:
        """Stay quiet for a while after each fire.

        Example:
            >>> policy = drift(psi=0.2).cooldown("3d")
        """
        duration(period)
        return Cooldown(policy=self._known, period=period)

    def warmup(self, period: str) -> Warmup:
        """Stay quiet for a while after the loop was first started."""
        duration(period)
        return Warmup(policy=self._known, period=period)

    def at_most(self, times: int, per: str) -> AtMost:
        """Fire no more than `times` (1..100) in any stretch of length `per`."""
        duration(per)
        if not 1 <= times <= 100:
            raise LoopError(f"at_most({times}) is out of range", hint="choose 1 to 100 times")
        return AtMost(policy=self._known, times=times, per=per)

    @property
    def _known(self) -> AnyPolicy:
        """Itself, as one of the policies that there are."""
        return self  # type: ignore[return-value]

    @property
    def label(self) -> str:
        """A short name, for triggers and tables."""
        return str(type(self).__struct_config__.tag)


class Never(Policy, tag="never", frozen=True):
    """Keep the first model for ever: the baseline that every policy has to beat."""

    def read(self, seen: Observed, history: Past) -> Reading:
        """Never fires."""
        return Reading(fired=False, reason="the policy is never to retrain", evidence={})


class Every(Policy, tag="every", frozen=True, kw_only=True):
    """A schedule; see `every`."""

    schedule: str
    zone: str = "UTC"
    missed: Missed = "once"
    grace: str = "1h"
    overlap: Overlap = "queue"

    def read(self, seen: Observed, history: Past) -> Reading:
        """Fires when a scheduled time has passed since the last fire."""
        since = history.since
        if since is None:
            return Reading(fired=False, reason="the loop has not started", evidence={"schedule": self.schedule})
        due = self._due(since, history, seen.now)
        evidence = {"schedule": self.schedule, "zone": self.zone, "since": since, "due": due, "now": seen.now}
        if due > seen.now:
            return Reading(fired=False, reason=f"next scheduled for {due:%Y-%m-%d %H:%M}", evidence=evidence)
        return Reading(fired=True, reason=f"scheduled for {due:%Y-%m-%d %H:%M} ({self.schedule})", evidence=evidence)

    def _due(self, since: datetime, history: Past, now: datetime) -> datetime:
        due = self._next(since)
        if self.overlap == "skip" and history.busy_until is not None:
            while due <= history.busy_until:
                due = self._next(due)
        if self.missed == "skip":
            while due < now - duration(self.grace):
                due = self._next(due)
        return due

    def _next(self, moment: datetime) -> datetime:
        if not _is_cron(self.schedule):
            return moment + duration(self.schedule)
        from cronsim import CronSim

        upcoming: datetime = next(CronSim(self.schedule, moment.astimezone(ZoneInfo(self.zone))))
        return upcoming.astimezone(moment.tzinfo)


class NewRows(Policy, tag="rows", frozen=True, kw_only=True):
    """Enough new labelled rows; see `rows`."""

    count: int

    def read(self, seen: Observed, history: Past) -> Reading:
        """Fires when so many labelled rows are new since the last training."""
        new = seen.trainable - history.trainable
        evidence = {"new_rows": new, "threshold": self.count, "trainable": seen.trainable}
        return Reading(
            fired=new >= self.count, reason=f"{new:,} new labelled rows of {self.count:,}", evidence=evidence
        )


class NewVersion(Policy, tag="new_version", frozen=True, kw_only=True):
    """The upstream source has a new version; see `new_version`."""

    def read(self, seen: Observed, history: Past) -> Reading:
        """Fires once for each version of the source."""
        evidence = {"source_version": seen.source_version, "trained_on": history.source_version}
        fired = seen.source_version is not None and seen.source_version != history.source_version
        reason = f"the source {'is now' if fired else 'is still'} at version {seen.source_version}"
        return Reading(fired=fired, reason=reason, evidence=evidence)


class Drift(Policy, tag="drift", frozen=True, kw_only=True):
    """Inputs or predictions moved; see `drift`."""

    psi: float
    columns: tuple[str, ...] | None = None
    at_least: int = 1
    q: float = 0.01
    predictions: bool = True

    def read(self, seen: Observed, history: Past) -> Reading:
        """Fires when enough columns moved beyond the threshold and beyond their noise."""
        kinds = ("value_drift", "prediction_drift") if self.predictions else ("value_drift",)
        watched = [one for one in seen.signals if one.kind in kinds and one.value is not None and self._watches(one)]
        moved = sorted((one for one in watched if self._moved(one)), key=_excess, reverse=True)
        largest = max(watched, key=_excess, default=None)
        evidence: dict[str, Any] = {
            "threshold": self.psi,
            "columns_needed": self.at_least,
            "moved": {one.subject: _numbers(one) for one in moved},
            "largest": None if largest is None else {largest.subject: _numbers(largest)},
        }
        if len(moved) >= self.at_least:
            names = ", ".join(f"{one.subject} {_excess(one):.2f}" for one in moved[:3])
            return Reading(fired=True, reason=f"drift beyond {self.psi}: {names}", evidence=evidence)
        shown = "nothing measured" if largest is None else f"largest is {largest.subject} {_excess(largest):.2f}"
        return Reading(fired=False, reason=f"no drift beyond {self.psi} ({shown})", evidence=evidence)

    def _watches(self, signal: Signal) -> bool:
        return self.columns is None or signal.subject in self.columns

    def _moved(self, signal: Signal) -> bool:
        return _excess(signal) >= self.psi and (signal.q_value is None or signal.q_value <= self.q)


class Degraded(Policy, tag="degraded", frozen=True, kw_only=True):
    """Measured performance fell; see `degraded`."""

    metric: str
    drop: float
    min_rows: int = 200

    def read(self, seen: Observed, history: Past) -> Reading:
        """Fires when even the good end of the interval lies below the reference minus the drop."""
        score = next((one for one in seen.performance if one.metric == self.metric), None)
        if score is None or score.value is None or score.reference is None or score.n < self.min_rows:
            seen_rows = 0 if score is None else score.n
            evidence: dict[str, Any] = {"metric": self.metric, "labelled": seen_rows, "needed": self.min_rows}
            return Reading(fired=False, reason=f"too few matured labels to measure {self.metric}", evidence=evidence)
        return self._compare(score, score.value, score.reference)

    def _compare(self, score: Performance, value: float, reference: float) -> Reading:
        sign = 1.0 if score.greater_is_better else -1.0
        bound = score.high if sign > 0 else score.low
        best = value if bound is None else bound
        limit = reference - sign * self.drop
        evidence = {
            "metric": self.metric,
            "value": value,
            "interval": [score.low, score.high],
            "reference": reference,
            "limit": limit,
            "labelled": score.n,
            "version": score.version,
        }
        fired = sign * (best - limit) < 0
        reason = f"{self.metric} {value:.3f} against {reference:.3f} at acceptance, tolerated drop {self.drop}"
        return Reading(fired=fired, reason=reason, evidence=evidence)


class Any_(Policy, tag="any", frozen=True, kw_only=True):  # noqa: N801 - `any` is a built-in
    """Fires when one of its policies fires."""

    policies: tuple[AnyPolicy, ...]

    def read(self, seen: Observed, history: Past) -> Reading:
        """Reads every policy, so that the evidence is whole."""
        return _vote(self.policies, 1, seen, history)

    @property
    def label(self) -> str:
        """The names of its policies."""
        return "|".join(policy.label for policy in self.policies)


class All_(Policy, tag="all", frozen=True, kw_only=True):  # noqa: N801 - `all` is a built-in
    """Fires when all of its policies fire."""

    policies: tuple[AnyPolicy, ...]

    def read(self, seen: Observed, history: Past) -> Reading:
        """Reads every policy, so that the evidence is whole."""
        return _vote(self.policies, len(self.policies), seen, history)

    @property
    def label(self) -> str:
        """The names of its policies."""
        return "&".join(policy.label for policy in self.policies)


class Vote(Policy, tag="vote", frozen=True, kw_only=True):
    """Fires when enough of its policies fire; see `vote`."""

    needed: int
    policies: tuple[AnyPolicy, ...]

    def read(self, seen: Observed, history: Past) -> Reading:
        """Reads every policy, so that the evidence is whole."""
        return _vote(self.policies, self.needed, seen, history)


class _Wrapped(Policy, frozen=True, kw_only=True):
    policy: AnyPolicy

    @property
    def label(self) -> str:
        """The name of the policy inside."""
        return self.policy.label

    def read(self, seen: Observed, history: Past) -> Reading:
        """What the policy inside says, unless it is held back."""
        inner = self.policy.read(seen, history)
        held = self._held(seen.now, history) if inner.fired else None
        if held is None:
            return inner
        evidence = inner.evidence | {"held_back_by": held}
        return Reading(fired=False, reason=f"{held}, though {inner.reason}", evidence=evidence)

    def _held(self, now: datetime, history: Past) -> str | None:
        raise TypeError(f"{type(self).__name__} is not a policy of its own")


class Cooldown(_Wrapped, tag="cooldown", frozen=True, kw_only=True):
    """Holds a policy back after a fire."""

    period: str

    def _held(self, now: datetime, history: Past) -> str | None:
        until = history.fires[-1] + duration(self.period) if history.fires else None
        return f"cooling down until {until:%Y-%m-%d %H:%M}" if until is not None and now < until else None


class Warmup(_Wrapped, tag="warmup", frozen=True, kw_only=True):
    """Holds a policy back after the start."""

    period: str

    def _held(self, now: datetime, history: Past) -> str | None:
        until = (history.started or now) + duration(self.period)
        return f"warming up until {until:%Y-%m-%d %H:%M}" if now < until else None


class AtMost(_Wrapped, tag="at_most", frozen=True, kw_only=True):
    """Bounds how often a policy fires."""

    times: int
    per: str

    def _held(self, now: datetime, history: Past) -> str | None:
        recent = sum(fire > now - duration(self.per) for fire in history.fires)
        return f"fired {recent} times in {self.per} already" if recent >= self.times else None


AnyPolicy = Never | Every | NewRows | NewVersion | Drift | Degraded | Any_ | All_ | Vote | Cooldown | Warmup | AtMost


def never() -> Never:
    """Do not retrain by itself; `homeostat retrain --reason` still works."""
    return Never()


def every(
    schedule: str, *, zone: str = "UTC", missed: Missed = "once", grace: str = "1h", overlap: Overlap = "queue"
) -> Every:
    """A schedule: a length of time since the last retraining, or a cron expression.

    Args:
        schedule: `"7d"`, or five cron fields such as `"0 3 * * MON"`.
        zone: The IANA time zone of a cron expression.
        missed: `once` makes up for any number of missed times with one run; `skip` lets those older than `grace` go.
        grace: How late a run may still start with `missed="skip"`.
        overlap: `queue` runs once more after a run in flight; `skip` lets times that fell into it go.

    Raises:
        LoopError: the schedule or the zone does not exist.
    """
    if _is_cron(schedule):
        _check_cron(schedule, zone)
    else:
        duration(schedule)
    duration(grace)
    return Every(schedule=schedule, zone=zone, missed=missed, grace=grace, overlap=overlap)


def rows(count: int) -> NewRows:
    """Retrain when `count` (at least 1) labelled rows are new since the last training."""
    if count < 1:
        raise LoopError(f"rows({count}) would retrain without new data", hint="choose at least 1")
    return NewRows(count=count)


def new_version() -> NewVersion:
    """Retrain once for every new version of the upstream source."""
    return NewVersion()


def drift(
    *, psi: float, columns: tuple[str, ...] | None = None, at_least: int = 1, q: float = 0.01, predictions: bool = True
) -> Drift:
    """Retrain when columns moved: population stability index above `psi` after its noise is taken off.

    Args:
        psi: Threshold (> 0); 0.1 is commonly called a moderate, 0.25 a large shift.
        columns: The columns to watch; None watches all.
        at_least: How many of them must have moved.
        q: Largest false-discovery-adjusted probability (0..1) of the movement being chance.
        predictions: Watch the champion's predictions too.
    """
    if psi <= 0:
        raise LoopError(f"drift(psi={psi}) would always fire", hint="choose a threshold above 0, for example 0.2")
    return Drift(psi=psi, columns=tuple(columns) if columns else None, at_least=at_least, q=q, predictions=predictions)


def degraded(*, min_rows: int = 200, **metric: float) -> Degraded:
    """Retrain when a metric on matured labels fell by more than the given drop since the champion was accepted.

    Example:
        >>> degraded(roc_auc=0.03).drop
        0.03
    """
    if len(metric) != 1:
        raise LoopError(f"degraded() takes one metric, not {len(metric)}", hint="write degraded(roc_auc=0.03)")
    ((name, drop),) = metric.items()
    if not 0 <= drop < float("inf"):
        raise LoopError(f"degraded({name}={drop}) is no drop", hint="how far it may fall, for example 0.03")
    return Degraded(metric=name, drop=drop, min_rows=min_rows)


def vote(needed: int, *policies: AnyPolicy) -> Vote:
    """Retrain when at least `needed` of the policies fire."""
    if not 1 <= needed <= len(policies):
        raise LoopError(f"vote({needed}) of {len(policies)} policies can never be decided")
    return Vote(needed=needed, policies=policies)


def metrics_of(policy: Any) -> tuple[str, ...]:
    """The metrics that a policy, or any policy inside it, waits for to fall."""
    match policy:
        case Degraded():
            return (policy.metric,)
        case Any_() | All_() | Vote():
            return tuple(name for inner in policy.policies for name in metrics_of(inner))
        case _Wrapped():
            return metrics_of(policy.policy)
    return ()


def _vote(policies: tuple[AnyPolicy, ...], needed: int, seen: Observed, history: Past) -> Reading:
    readings = [(policy.label, policy.read(seen, history)) for policy in policies]
    fired = [reading for _, reading in readings if reading.fired]
    evidence: dict[str, Any] = {"needed": needed, "fired": len(fired)}
    evidence["policies"] = [
        {"policy": label, "fired": reading.fired, "reason": reading.reason, **reading.evidence}
        for label, reading in readings
    ]
    shown = fired if len(fired) >= needed else [reading for _, reading in readings if not reading.fired]
    return Reading(fired=len(fired) >= needed, reason="; ".join(one.reason for one in shown), evidence=evidence)


def _same(policy: Policy, kind: type[Any_ | All_]) -> tuple[Any, ...]:
    return policy.policies if isinstance(policy, kind) else (policy,)


def _excess(signal: Signal) -> float:
    return (signal.value or 0.0) - (signal.noise or 0.0)


def _numbers(signal: Signal) -> dict[str, Any]:
    return {"value": signal.value, "noise": signal.noise, "q_value": signal.q_value, "n": signal.n}


def _is_cron(schedule: str) -> bool:
    return len(schedule.split()) > 1


def _check_cron(schedule: str, zone: str) -> None:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(schedule, datetime(2000, 1, 1, tzinfo=ZoneInfo(zone)))
    except CronSimError as error:
        raise LoopError(f"{schedule!r} is not a cron expression: {error}", hint="as in '0 3 * * MON'") from error
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise LoopError(f"there is no time zone {zone!r}", hint="as in 'America/New_York'") from error
