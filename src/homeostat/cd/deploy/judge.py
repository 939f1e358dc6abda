"""The judge: is the challenger better than the champion, worse, or is it too early to say? Ask after every label.

Both versions are scored on the same rows, so that what they share cancels, and two gamblers bet on the difference of
their per-row losses: one that the challenger does harm, one that it is not worse by the margin. The first to win ends
the trial; the error of each is bounded however often one looks. The verdict is a pure function of the pairs in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.cd.deploy.evidence import Interval, Wealth, bet, bounds, e_value, watch
from homeostat.cd.deploy.plans import JudgeConfig
from homeostat.core.errors import DataError
from homeostat.core.events import Judgement, Signal, Verdict

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class JudgeState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the judge remembers of the pairs so far; it can be stored as JSON and continued exactly.

    Attributes:
        missing: Rows among them whose label never came.
        lower, upper: Interval sums of the least and the greatest possible difference of each row.
    """

    pairs: int = 0
    missing: int = 0
    harm: Wealth = Wealth()
    benefit: Wealth = Wealth()
    lower: Interval = Interval()
    upper: Interval = Interval()


def judge_losses(
    champion_loss: ArrayLike,
    challenger_loss: ArrayLike,
    config: JudgeConfig | None = None,
    *,
    champion: int = 0,
    challenger: int = 1,
    guardrails: tuple[Signal, ...] = (),
    least: ArrayLike | None = None,
    greatest: ArrayLike | None = None,
) -> Judgement:
    """Judge all pairs of a trial so far, in request order and from mature cohorts only (see `cohorts.matured`).

    Args:
        champion_loss: Loss of the champion on each row, shape (n,), in [0, 1]; NaN where the label is missing.
        challenger_loss: The same for the challenger.
        config: Tolerances and error rates.
        champion: Version number.
        challenger: Version number.
        guardrails: Checks that can only stop: any that alarmed is a roll-back.
        least: Smallest possible difference (challenger minus champion) of each row, used where a label is missing;
            default -1. See `pairs.pairs`.
        greatest: Greatest possible difference, default 1.

    Example:
        >>> judge_losses([0.2] * 500, [0.9] * 500).verdict
        'roll_back'
        >>> judge_losses([0.2] * 500, [0.1] * 500).verdict
        'promote'
    """
    rule = config or JudgeConfig()
    state = update(JudgeState(), champion_loss, challenger_loss, rule, least=least, greatest=greatest)
    return conclude(state, rule, champion=champion, challenger=challenger, guardrails=guardrails)


def update(
    state: JudgeState,
    champion_loss: ArrayLike,
    challenger_loss: ArrayLike,
    config: JudgeConfig | None = None,
    *,
    least: ArrayLike | None = None,
    greatest: ArrayLike | None = None,
) -> JudgeState:
    """Continue with further pairs; equal, bit for bit, to having seen all pairs in one call.

    Raises:
        DataError: A loss is outside [0, 1], or the two are not of one length.
    """
    rule = config or JudgeConfig()
    difference, missing = _differences(champion_loss, challenger_loss)
    room = max(0, rule.horizon - state.pairs)
    low = _filled(difference, missing, least, -1.0)[:room]
    high = _filled(difference, missing, greatest, 1.0)[:room]
    alpha = 1 - rule.confidence
    return JudgeState(
        pairs=state.pairs + len(low),
        missing=state.missing + int(missing[:room].sum()),
        harm=bet(state.harm, low, rule.harm, temper=1 / rule.dependence),
        benefit=bet(state.benefit, -high, -rule.margin, least=rule.minimum_pairs, temper=1 / rule.dependence),
        lower=watch(state.lower, (low + 1) / 2, alpha),
        upper=watch(state.upper, (high + 1) / 2, alpha),
    )


def conclude(
    state: JudgeState,
    config: JudgeConfig | None = None,
    *,
    champion: int = 0,
    challenger: int = 1,
    guardrails: tuple[Signal, ...] = (),
) -> Judgement:
    """The verdict at this state. Harm outranks benefit, and a guardrail outranks both.

    The reported e-values are the largest so far: that is what the error bound is about.
    """
    rule = config or JudgeConfig()
    e_harm = e_value(state.harm.peak)
    e_benefit = e_value(max(state.benefit.peak, state.benefit.log_e(1 / rule.dependence)))
    verdict, reason = _verdict(state, rule, guardrails)
    low, high = _interval(state, rule)
    return Judgement(
        champion=champion,
        challenger=challenger,
        pairs=state.pairs,
        verdict=verdict,
        reason=reason,
        e_harm=e_harm,
        e_benefit=e_benefit,
        difference=(state.lower.total + state.upper.total) / state.pairs - 1 if state.pairs else None,
        low=low,
        high=high,
        guardrails=guardrails,
    )


def _verdict(state: JudgeState, rule: JudgeConfig, guardrails: tuple[Signal, ...]) -> tuple[Verdict, str]:
    alarmed = [signal for signal in guardrails if signal.alarmed]
    if alarmed:
        return "roll_back", "guardrail: " + "; ".join(s.detail or f"{s.subject} = {s.value}" for s in alarmed[:5])
    if state.harm.peak >= np.log(1 / rule.alpha_harm):
        worse = f" by more than {rule.harm:g} per row" if rule.harm else ""
        return (
            "roll_back",
            f"the challenger is worse{worse} (e = {e_value(state.harm.peak):.3g} of {1 / rule.alpha_harm:g})",
        )
    if state.benefit.peak >= np.log(1 / rule.alpha_promote) and state.pairs >= rule.minimum_pairs:
        claim = f"not worse by {rule.margin:g} per row" if rule.margin else "better"
        return "promote", (
            f"the challenger is {claim} (e = {e_value(state.benefit.peak):.3g} of {1 / rule.alpha_promote:g})"
        )
    if state.pairs >= rule.horizon:
        return "inconclusive", f"undecided after {state.pairs} pairs: the champion is kept"
    return "continue", f"{state.pairs} of at most {rule.horizon} pairs seen"


def _interval(state: JudgeState, rule: JudgeConfig) -> tuple[float | None, float | None]:
    lower, upper = (bounds(sums, 1 - rule.confidence, rule.dependence) for sums in (state.lower, state.upper))
    return (2 * lower[0] - 1 if lower else None), (2 * upper[1] - 1 if upper else None)


def _differences(champion_loss: ArrayLike, challenger_loss: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    old, new = np.asarray(champion_loss, dtype=float), np.asarray(challenger_loss, dtype=float)
    if old.shape != new.shape or old.ndim != 1:
        what = f"pairs need two losses for each row: the champion has shape {old.shape}, the challenger {new.shape}"
        raise DataError(what, hint="score both versions on the same rows")
    for name, losses in (("champion", old), ("challenger", new)):
        outside = np.flatnonzero((losses < 0) | (losses > 1))
        if len(outside):
            what = (
                f"the {name}'s loss {losses[outside[0]]:g} at row {outside[0]} is outside [0, 1] ({len(outside)} rows)"
            )
            raise DataError(what, hint="declare the range of the loss; see homeostat.core.stats.losses")
    difference = new - old
    return difference, np.isnan(difference)


def _filled(
    difference: NDArray[Any], missing: NDArray[np.bool_], possible: ArrayLike | None, worst: float
) -> NDArray[Any]:
    if not missing.any():
        return difference
    stand_in = np.full(len(difference), worst) if possible is None else np.asarray(possible, dtype=float)
    return np.where(missing, stand_in, difference)
