"""What calls for a new model: new rows, a new version of their source, drift, and performance that fell."""

from __future__ import annotations

from typing import Any

from homeostat.core.errors import LoopError
from homeostat.core.events import Performance, Signal
from homeostat.ct.when.combinators import POLICIES, Look, Memory, Policy, Reading


@POLICIES.register
class Never(Policy, tag="never", frozen=True):
    """Keep the first model for ever: the baseline that every policy has to beat."""

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """Never fires."""
        return memory, Reading(fired=False, reason="the policy is never to retrain", evidence={})


@POLICIES.register
class NewRows(Policy, tag="rows", frozen=True, kw_only=True):
    """Enough new labelled rows; see `rows`."""

    count: int

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """Fires when so many labelled rows are new since the last training."""
        new = seen.trainable - seen.past.trainable
        evidence = {"new_rows": new, "threshold": self.count, "trainable": seen.trainable}
        reason = f"{new:,} new labelled rows of {self.count:,}"
        return memory, Reading(fired=new >= self.count, reason=reason, evidence=evidence)


@POLICIES.register
class NewVersion(Policy, tag="new_version", frozen=True, kw_only=True):
    """The upstream source has a new version; see `new_version`."""

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """Fires once for each version of the source."""
        evidence = {"source_version": seen.source_version, "trained_on": seen.past.source_version}
        fired = seen.source_version is not None and seen.source_version != seen.past.source_version
        reason = f"the source {'is now' if fired else 'is still'} at version {seen.source_version}"
        return memory, Reading(fired=fired, reason=reason, evidence=evidence)


@POLICIES.register
class Drift(Policy, tag="drift", frozen=True, kw_only=True):
    """Inputs or predictions moved; see `drift`."""

    threshold: float
    statistic: str = "psi"
    columns: tuple[str, ...] | None = None
    at_least: int = 1
    q: float = 0.01
    predictions: bool = True

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """Fires when enough columns moved beyond the threshold and beyond their noise."""
        kinds = ("value_drift", "prediction_drift") if self.predictions else ("value_drift",)
        watched = [one for one in seen.signals if one.kind in kinds and one.value is not None and self._watches(one)]
        moved = sorted((one for one in watched if self._moved(one)), key=_excess, reverse=True)
        largest = max(watched, key=_excess, default=None)
        evidence: dict[str, Any] = {
            "statistic": self.statistic,
            "threshold": self.threshold,
            "columns_needed": self.at_least,
            "moved": {one.subject: _numbers(one) for one in moved},
            "largest": None if largest is None else {largest.subject: _numbers(largest)},
        }
        if len(moved) >= self.at_least:
            names = ", ".join(f"{one.subject} {_excess(one):.2f}" for one in moved[:3])
            return memory, Reading(fired=True, reason=f"drift beyond {self.threshold}: {names}", evidence=evidence)
        shown = "nothing measured" if largest is None else f"largest is {largest.subject} {_excess(largest):.2f}"
        return memory, Reading(fired=False, reason=f"no drift beyond {self.threshold} ({shown})", evidence=evidence)

    @property
    def statistics(self) -> tuple[str, ...]:
        """See `Policy.statistics`."""
        return (self.statistic,)

    def _watches(self, signal: Signal) -> bool:
        if signal.statistic not in (None, self.statistic):
            return False
        return self.columns is None or signal.subject in self.columns

    def _moved(self, signal: Signal) -> bool:
        return _excess(signal) >= self.threshold and (signal.q_value is None or signal.q_value <= self.q)


@POLICIES.register
class Degraded(Policy, tag="degraded", frozen=True, kw_only=True):
    """Measured performance fell; see `degraded`."""

    metric: str
    drop: float
    min_rows: int = 200

    def step(self, memory: Memory, seen: Look) -> tuple[Memory, Reading]:
        """Fires when even the good end of the interval lies below the reference minus the drop."""
        score = next((one for one in seen.performance if one.metric == self.metric), None)
        if score is None or score.value is None or score.reference is None or score.n < self.min_rows:
            seen_rows = 0 if score is None else score.n
            evidence: dict[str, Any] = {"metric": self.metric, "labelled": seen_rows, "needed": self.min_rows}
            reason = f"too few matured labels to measure {self.metric}"
            return memory, Reading(fired=False, reason=reason, evidence=evidence)
        return memory, self._compare(score, score.value, score.reference)

    @property
    def metrics(self) -> tuple[str, ...]:
        """See `Policy.metrics`."""
        return (self.metric,)

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


def never() -> Never:
    """Do not retrain by itself; `homeostat retrain --reason` still works."""
    return Never()


def rows(count: int) -> NewRows:
    """Retrain when `count` (at least 1) labelled rows are new since the last training."""
    if count < 1:
        raise LoopError(f"rows({count}) would retrain without new data", hint="choose at least 1")
    return NewRows(count=count)


def new_version() -> NewVersion:
    """Retrain once for every new version of the upstream source."""
    return NewVersion()


def drift(
    *,
    columns: tuple[str, ...] | None = None,
    at_least: int = 1,
    q: float = 0.01,
    predictions: bool = True,
    **statistic: float,
) -> Drift:
    """Retrain when columns moved: a statistic of drift above a threshold after its noise is taken off.

    Args:
        columns: The columns to watch; None watches all.
        at_least: How many of them must have moved.
        q: Largest false-discovery-adjusted probability (0..1) of the movement being chance.
        predictions: Watch the champion's predictions too.
        statistic: Any of `homeostat.core.stats.drift.STATISTICS` with its threshold (> 0). Of the population stability
            index, `psi`, 0.1 is commonly called a moderate, 0.25 a large shift.

    Example:
        >>> drift(psi=0.2).threshold
        0.2
    """
    from homeostat.core.stats.drift import STATISTICS

    if len(statistic) != 1:
        raise LoopError(f"drift() takes one statistic, not {len(statistic)}", hint="write drift(psi=0.2)")
    ((name, threshold),) = statistic.items()
    if threshold <= 0:
        what = f"drift({name}={threshold}) would always fire"
        raise LoopError(what, hint="choose a threshold above 0, for example 0.2")
    watched = tuple(columns) if columns else None
    rest: dict[str, Any] = {"at_least": at_least, "q": q, "predictions": predictions}
    return Drift(threshold=threshold, statistic=STATISTICS[name].name, columns=watched, **rest)


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


def _excess(signal: Signal) -> float:
    return (signal.value or 0.0) - (signal.noise or 0.0)


def _numbers(signal: Signal) -> dict[str, Any]:
    return {"value": signal.value, "noise": signal.noise, "q_value": signal.q_value, "n": signal.n}
