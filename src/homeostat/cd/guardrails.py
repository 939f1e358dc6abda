"""Guardrails: checks of a challenger that need no labels and can only stop a trial, never win it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from homeostat.cd.evidence import excess
from homeostat.cd.performance import finite_rows
from homeostat.core.drift import distance
from homeostat.core.events import Signal, SignalKind
from homeostat.core.profile import Profile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


_NO_COLUMNS = pl.DataFrame()


class GuardrailConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger may not do.

    Attributes:
        errors: Share (0..1) of requests that may fail on the challenger.
        invalid: Share of rows that it may answer with NaN or infinity.
        alpha: Chance (0..1) of a false stop by either share, however often one looks.
        shift: Distance (PSI, nats) between both versions' predictions on the same rows that is absurd; a retrained
            model moves its predictions, and is expected to.
        latency_factor: How much slower than the champion at the 99th percentile it may be.
        latency_floor: Seconds at the 99th percentile that are always fast enough.
        minimum_rows: Fewer rows than this are not compared in shift or latency.
    """

    errors: float = 0.01
    invalid: float = 0.001
    alpha: float = 0.001
    shift: float = 2.0
    latency_factor: float = 3.0
    latency_floor: float = 0.05
    minimum_rows: int = 500


class ArmCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What the server counted for one arm since the trial began; latency in seconds at the 99th percentile."""

    requests: int = 0
    errors: int = 0
    latency: float | None = None


def check(
    champion_scores: ArrayLike,
    challenger_scores: ArrayLike,
    *,
    champion: ArmCounts | None = None,
    challenger: ArmCounts | None = None,
    config: GuardrailConfig | None = None,
) -> tuple[Signal, ...]:
    """One signal for each guardrail, alarmed or not.

    Args:
        champion_scores: Predictions of the champion on all rows of the trial that both were asked about, labelled or
            not: (n, classes) or (n,).
        challenger_scores: The same of the challenger; NaN or infinity where its answer was.
        champion: Server counts of the champion.
        challenger: Server counts of the challenger.
        config: Limits.

    Example:
        >>> steady = np.full(1000, 0.3)
        >>> [signal.subject for signal in check(steady, np.full(1000, np.nan)) if signal.alarmed]
        ['challenger invalid']
    """
    rule = config or GuardrailConfig()
    old, new = np.asarray(champion_scores, dtype=float), np.asarray(challenger_scores, dtype=float)
    valid_old, valid_new = finite_rows(old), finite_rows(new)
    asked = int(valid_old.sum())
    broken = int((valid_old & ~valid_new).sum())
    counts = challenger or ArmCounts()
    both = valid_old & valid_new
    return (
        _rate("errors", counts.errors, counts.requests, rule.errors, rule.alpha),
        _rate("invalid", broken, asked, rule.invalid, rule.alpha),
        _shift(old[both], new[both], rule),
        _latency(champion or ArmCounts(), counts, rule),
    )


def _rate(name: str, failures: int, trials: int, tolerated: float, alpha: float) -> Signal:
    evidence = excess(failures, trials, tolerated)
    return Signal(
        kind="service_fault",
        subject=f"challenger {name}",
        value=failures / trials if trials else 0.0,
        n=trials,
        threshold=tolerated,
        alarmed=evidence >= 1 / alpha,
        detail=f"{failures} of {trials} are {name} (e = {evidence:.3g} of {1 / alpha:g})",
    )


def _shift(old: NDArray[Any], new: NDArray[Any], rule: GuardrailConfig) -> Signal:
    kind: SignalKind = "prediction_drift"
    subject = "challenger predictions"
    if len(old) < rule.minimum_rows:
        return Signal(kind=kind, subject=subject, value=None, n=len(old), threshold=rule.shift)
    # A two-class score is its second column; of more classes the last stands for all.
    reference = Profile.of(_NO_COLUMNS, prediction=old if old.ndim == 1 else old[:, -1])
    later = Profile.of(_NO_COLUMNS, edges_from=reference, prediction=new if new.ndim == 1 else new[:, -1])
    assert reference.prediction is not None
    assert later.prediction is not None
    measured = distance(reference.prediction, later.prediction)
    return Signal(
        kind=kind,
        subject=subject,
        value=measured.psi,
        noise=measured.noise,
        n=len(old),
        threshold=rule.shift,
        alarmed=measured.psi - measured.noise > rule.shift,
        detail=f"predictions lie {measured.psi:.2f} nats from the champion's on the same {len(old)} rows",
    )


def _latency(champion: ArmCounts, challenger: ArmCounts, rule: GuardrailConfig) -> Signal:
    measured, usual = challenger.latency, champion.latency
    limit = None if usual is None else max(rule.latency_floor, rule.latency_factor * usual)
    enough = challenger.requests >= rule.minimum_rows
    return Signal(
        kind="service_fault",
        subject="challenger latency",
        value=measured,
        n=challenger.requests,
        threshold=limit,
        alarmed=enough and measured is not None and limit is not None and measured > limit,
        detail="" if measured is None else f"{measured * 1e3:.1f} ms at the 99th percentile",
    )
