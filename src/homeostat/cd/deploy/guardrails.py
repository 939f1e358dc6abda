"""Guardrails: checks of a challenger that need no labels and can only stop a trial, never win it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.cd.deploy.evidence import excess, excess_difference
from homeostat.cd.monitor.performance import finite_rows
from homeostat.core.events import Signal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


_TENTHS = np.arange(1, 10) / 10
_PERCENTILE = 0.99


class GuardrailConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger may not do.

    Attributes:
        errors: Share (0..1) of requests that may fail on the challenger.
        invalid: Share of rows that it may answer with NaN or infinity.
        slow: Share of its answers that may take longer than the limit, which the champion sets.
        alpha: Chance (0..1) of a false stop by each of them, however often one looks.
        shift: Share of its predictions that may crowd, beyond the champion's own, within a tenth of the champion's on
            the same rows; a retrained model moves its predictions, and is expected to.
        latency_factor: The limit, as a multiple of the champion's 99th percentile.
        latency_floor: Seconds that are always fast enough.
        minimum_rows: Rows and answers of the champion that say what is usual, before the challenger is held to it.
    """

    errors: float = 0.01
    invalid: float = 0.001
    slow: float = 0.05
    alpha: float = 0.001
    shift: float = 0.6
    latency_factor: float = 3.0
    latency_floor: float = 0.05
    minimum_rows: int = 500


class ArmCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted for one arm of a trial.

    Attributes:
        requests: Rows that it was asked about.
        errors: Rows among them of which it made nothing.
        answers: Upper bound in seconds, the last one infinite, to the number of answers that took at most so long and
            longer than the bound before.
    """

    requests: int = 0
    errors: int = 0
    answers: Mapping[float, int] = {}


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
    """Whether the challenger's predictions crowd where the champion's do not, for one of ten equal parts of these.

    The parts are cut at the champion's first predictions and looked for in the later ones, so that each is a bet of its
    own; the mean of their e-values is one.
    """
    # A two-class score is its second column; of more classes the last stands for all.
    before, after = (one if one.ndim == 1 else one[:, -1] for one in (old, new))
    edges = np.unique(np.quantile(before[: rule.minimum_rows], _TENTHS)) if len(before) > rule.minimum_rows else None
    n = max(0, len(before) - rule.minimum_rows)
    gap, evidence = None, 1.0
    if edges is not None:
        places = [np.searchsorted(edges, one[rule.minimum_rows :]) for one in (before, after)]
        inside = [np.equal.outer(np.arange(len(edges) + 1), one) for one in places]
        more, fewer = (inside[1] & ~inside[0]).sum(axis=1), (inside[0] & ~inside[1]).sum(axis=1)
        gap = float((more - fewer).max()) / n
        evidence = float(
            np.mean(
                [excess_difference(int(up), int(down), n, rule.shift) for up, down in zip(more, fewer, strict=True)]
            )
        )
    return Signal(
        kind="prediction_drift",
        subject="challenger predictions",
        value=gap,
        n=n,
        threshold=rule.shift,
        alarmed=evidence >= 1 / rule.alpha,
        detail=""
        if gap is None
        else f"{gap:.0%} more of them than the champion's lie in one place (e = {evidence:.3g} of {1 / rule.alpha:g})",
    )


def _latency(champion: ArmCounts, challenger: ArmCounts, rule: GuardrailConfig) -> Signal:
    """Whether too many of the challenger's answers take longer than the champion's do."""
    limit, n = _limit(champion.answers, rule), sum(challenger.answers.values())
    slow = 0 if limit is None else sum(count for bound, count in challenger.answers.items() if bound > limit)
    evidence = excess(slow, n, rule.slow)
    return Signal(
        kind="service_fault",
        subject="challenger latency",
        value=slow / n if n and limit is not None else None,
        n=n,
        threshold=rule.slow,
        alarmed=evidence >= 1 / rule.alpha,
        detail=""
        if limit is None
        else f"{slow} of {n} answers took longer than {limit * 1e3:g} ms (e = {evidence:.3g} of {1 / rule.alpha:g})",
    )


def _limit(answers: Mapping[float, int], rule: GuardrailConfig) -> float | None:
    """Seconds that an answer may take, at a bound of the histogram; None while the champion has answered too little.

    It hardly ever moves, because bounds are far apart: what is bet on is fixed before it is seen.
    """
    total, below = sum(answers.values()), 0
    if total < rule.minimum_rows:
        return None
    usual = math.inf
    for bound in sorted(answers):
        below += answers[bound]
        if below >= _PERCENTILE * total:
            usual = bound
            break
    wanted = max(rule.latency_floor, rule.latency_factor * usual)
    return min((bound for bound in answers if wanted <= bound < math.inf), default=None)
