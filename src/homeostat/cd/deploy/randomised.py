"""Comparing arms by the rows that fate gave them, for answers that change what happens.

When a prediction alters its own outcome, what the other version would have said of a row tells nothing: each version is
judged on the rows that it answered itself, weighted by one over the probability with which it was chosen (Horvitz and
Thompson, JASA 47, 1952). The weighted difference is a bounded payoff whose mean is the difference of the versions' mean
losses, so the same two gamblers bet on it and their errors hold at all times, also while shares move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.cd.deploy.evidence import Wealth, bet, e_value, watch
from homeostat.cd.deploy.judge import JudgeState, conclude
from homeostat.cd.deploy.paired import losses
from homeostat.cd.deploy.plans import SAMPLE_RATIO, JudgeConfig
from homeostat.cd.labels.maturity import microseconds
from homeostat.cd.labels.values import coded_labels
from homeostat.cd.monitor.performance import Champion, Outcomes, scores_of
from homeostat.core.errors import DataError
from homeostat.core.events import ArmOutcome, Signal

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from homeostat.core.events import Judgement


_LEAST_SHARE = 1e-4
ROUNDING = 1e-9


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of which a draw decided who answers, in request order.

    Attributes:
        challenger: Whether the challenger answered, shape (n,).
        share: Probability (0..1) with which it was to answer, shape (n,).
        loss: Loss of the version that answered, in [0, 1], shape (n,); NaN where the label is missing.
        least, greatest: Bounds of that loss, whatever the label, shape (n,).
    """

    challenger: Any
    share: Any
    loss: Any
    least: Any
    greatest: Any


def judge_drawn(
    drawn: Drawn,
    config: JudgeConfig | None = None,
    *,
    champion: int = 0,
    challenger: int = 1,
    guardrails: tuple[Signal, ...] = (),
    least_share: float = 0.5,
) -> Judgement:
    """Judge rows that were given to the arms at random, all of a trial so far.

    Raises:
        DataError: `least_share` is not from 0.0001 to a half, or a row was drawn with less.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> draw, share = rng.random(4_000) < 0.5, np.full(4_000, 0.5)
        >>> loss = np.where(draw, 0.3, 0.2)
        >>> judge_drawn(Drawn(challenger=draw, share=share, loss=loss, least=loss, greatest=loss)).verdict
        'roll_back'
    """
    rule = config or JudgeConfig()
    if not _LEAST_SHARE <= least_share <= 0.5:
        what = f"the least share of an arm is {least_share:g}, and cannot be judged"
        raise DataError(what, hint=f"give every arm from {_LEAST_SHARE} to a half")
    drawn = Drawn(**{name: np.asarray(getattr(drawn, name))[: rule.horizon] for name in Drawn.__struct_fields__})
    share = np.asarray(drawn.share, dtype=float)
    lesser = np.minimum(share, 1 - share)
    if len(share) and lesser.min() < least_share - ROUNDING:
        what = f"a row was drawn with a share of {lesser.min():g}, and the trial's least is {least_share:g}"
        raise DataError(what, hint="give the smallest share of the whole trial as least_share")
    low, high = _payoffs(drawn, share)
    temper = 1 / rule.dependence
    harm = (lesser * (low - rule.harm)) / (1 + lesser * rule.harm)
    benefit = lesser * (rule.margin - high)
    scaled = {"lower": (least_share * low + 1) / 2, "upper": (least_share * high + 1) / 2}
    state = JudgeState(
        pairs=len(share),
        missing=int(np.isnan(drawn.loss).sum()),
        harm=bet(Wealth(), harm, 0.0, temper=temper),
        benefit=bet(Wealth(), benefit, 0.0, least=rule.minimum_pairs, temper=temper),
        **{name: watch(getattr(JudgeState(), name), values, 1 - rule.confidence) for name, values in scaled.items()},
    )
    judgement = conclude(state, rule, champion=champion, challenger=challenger, guardrails=guardrails)
    arms = tuple(
        _outcome(version, drawn.loss[own], weights[own])
        for version, own, weights in (
            (champion, ~drawn.challenger, 1 / (1 - share)),
            (challenger, drawn.challenger, 1 / share),
        )
    )
    old, new = arms[0].loss, arms[1].loss
    return msgspec.structs.replace(
        judgement,
        difference=None if old is None or new is None else new - old,
        low=None if judgement.low is None else max(-1.0, judgement.low / least_share),
        high=None if judgement.high is None else min(1.0, judgement.high / least_share),
        arms=arms,
    )


def divided(champion: int, challenger: int, outcomes: Outcomes, *, by_request: bool = False) -> NDArray[np.bool_]:
    """Rows of which a draw between the two decided who answers, shape (n,), not a caller who named a version.

    Args:
        champion: Its version.
        challenger: Its version.
        outcomes: Rows with their arms and propensities.
        by_request: Only the first row of each request, because units are whole requests.
    """
    arms, propensities = np.asarray(outcomes.arms), np.asarray(outcomes.propensities, dtype=float)
    drawn = ((arms == champion) | (arms == challenger)) & (propensities > 0) & (propensities < 1)
    return np.asarray(drawn & outcomes.leads if by_request else drawn, dtype=np.bool_)


def sample_ratio(challenger: ArrayLike, share: ArrayLike, *, alpha: float = 0.001) -> Signal:
    """Whether the arms get the units that they should get: evidence against "a draw with this share decides", any time.

    A mismatch means that units get lost on one side, or that the draw is none: then nothing that compares the arms can
    be believed. The test is a betting e-process in either direction, as in Lindon and Malek, "Anytime-valid inference
    for multinomial count data" (NeurIPS 2022), here with shares that may change from row to row.

    Args:
        challenger: Whether the challenger answered each unit, shape (n,), in order.
        share: Probability (0..1) with which it should have, shape (n,).
        alpha: Chance (0..1) of a false alarm, however often one looks.

    Example:
        >>> sample_ratio([True, False] * 500, [0.5] * 1000).alarmed
        False
        >>> sample_ratio([True, False, False] * 500, [0.5] * 1500).alarmed
        True
    """
    drawn, expected = np.asarray(challenger, dtype=float), np.asarray(share, dtype=float)
    off = drawn - expected
    more, fewer = bet(Wealth(), off / expected, 0.0), bet(Wealth(), -off / (1 - expected), 0.0)
    evidence = e_value(max(more.peak, fewer.peak)) / 2
    n = len(drawn)
    return Signal(
        kind="service_fault",
        subject=SAMPLE_RATIO,
        value=float(drawn.mean()) if n else None,
        n=n,
        threshold=float(expected.mean()) if n else None,
        alarmed=evidence >= 1 / alpha,
        detail=f"the challenger answered {int(drawn.sum()):,} of {n:,} units, {expected.sum():,.0f} were its share "
        f"(e = {evidence:.3g} of {1 / alpha:g})",
    )


def sample_ratio_of(champion: int, challenger: int, outcomes: Outcomes, *, by_request: bool = False) -> Signal:
    """`sample_ratio` of the rows of a trial, labelled or not."""
    rows = np.flatnonzero(divided(champion, challenger, outcomes, by_request=by_request))
    rows = rows[np.argsort(microseconds(outcomes.times)[rows], kind="stable")]
    return sample_ratio(*_draws(challenger, outcomes, rows))


def _draws(challenger: int, outcomes: Outcomes, rows: NDArray[np.intp]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Whether the challenger answered, and the probability with which it was to."""
    mine = np.asarray(outcomes.arms)[rows] == challenger
    own = np.asarray(outcomes.propensities, dtype=float)[rows]
    return mine, np.where(mine, own, 1 - own)


def drawn_rows(
    champion: Champion, challenger: int, outcomes: Outcomes, rows: NDArray[np.intp], known: NDArray[np.bool_]
) -> Drawn:
    """Rows of a trial that a draw decided, in the order given; `known` says of which of them the label is."""
    mine, share = _draws(challenger, outcomes, rows)
    labels = np.where(known, coded_labels(np.asarray(outcomes.labels)[rows], champion.classes), np.nan)
    both = [_own_losses(champion, version, outcomes, rows, labels) for version in (champion.version, challenger)]
    loss, least, greatest = (np.where(mine, new, old) for old, new in zip(*both, strict=True))
    return Drawn(challenger=mine, share=share, loss=loss, least=least, greatest=greatest)


def _own_losses(
    champion: Champion, version: int, outcomes: Outcomes, rows: NDArray[np.intp], labels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A version's loss on rows, with its bounds over all labels."""
    if version not in outcomes.predictions:
        nothing = np.full(len(rows), np.nan)
        return nothing, np.zeros(len(rows)), np.ones(len(rows))
    scores = scores_of(outcomes, version, champion.classes)[rows]
    lost = losses(champion, labels, scores)
    if champion.classes is None:
        return lost, np.zeros(len(rows)), np.ones(len(rows))
    each = [losses(champion, np.full(len(rows), float(place)), scores) for place in range(len(champion.classes))]
    return lost, np.min(each, axis=0), np.max(each, axis=0)


def _payoffs(drawn: Drawn, share: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and greatest weighted difference (challenger minus champion) of each row.

    The mean of the losses before is taken off first: it changes no expectation, because the weights of the two arms
    cancel, and most of the variance goes with it.
    """
    loss = np.asarray(drawn.loss, dtype=float)
    known = ~np.isnan(loss)
    before = np.cumsum(np.concatenate([[0.5], np.where(known, loss, 0.0)]))[:-1]
    center = before / np.cumsum(np.concatenate([[1.0], known]))[:-1]
    low, high = (np.where(known, loss, bound) - center for bound in (drawn.least, drawn.greatest))
    mine = drawn.challenger
    return np.where(mine, low / share, -high / (1 - share)), np.where(mine, high / share, -low / (1 - share))


def _outcome(version: int, loss: NDArray[np.float64], weights: NDArray[np.float64]) -> ArmOutcome:
    known = ~np.isnan(loss)
    total, squares = float(weights[known].sum()), float((weights[known] ** 2).sum())
    mean = float((weights[known] * loss[known]).sum()) / total if total else None
    return ArmOutcome(version=version, rows=int(known.sum()), loss=mean, weight=total**2 / squares if total else 0.0)
