"""How a bandit divides traffic: shares that follow what came of each arm's own rows, never below a floor. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.cd.deploy.plans import Bandit
    from homeostat.core.events import ArmOutcome

_POINTS = 401
_DEVIATIONS = 8.0
_DIGITS = 3
"""Of a share: what the last bits of a special function are on another machine must not change a decision."""


def shares(plan: Bandit, arms: Sequence[ArmOutcome]) -> dict[int, float]:
    """Version to its share of the units from now on; all together 1, each at least the floor.

    Thompson sampling gives an arm the probability that it is the best one (Thompson, Biometrika 25, 1933), computed
    here instead of drawn, so that the decision is pure and the propensities are known exactly. Epsilon-greedy gives the
    best arm so far all but `epsilon`, which the arms divide evenly.

    Args:
        plan: Method, floor and epsilon.
        arms: What came of each arm, the champion first; ties are decided in this order.

    Example:
        >>> from homeostat.cd.deploy.plans import Bandit
        >>> from homeostat.core.events import ArmOutcome
        >>> seen = [ArmOutcome(version=v, rows=500, loss=0.5 - v / 10, weight=500.0) for v in (1, 2)]
        >>> {version: round(share, 3) for version, share in shares(Bandit(floor=0.1), seen).items()}
        {1: 0.1, 2: 0.9}
    """
    best = _best(arms) if plan.method == "epsilon" else chance_of_best(arms, dependence=plan.dependence)
    count = len(arms)
    floor = max(plan.floor, plan.epsilon / count) if plan.method == "epsilon" else plan.floor
    room = 1 - count * floor
    others = {
        arm.version: max(floor, round(floor + room * chance, _DIGITS))
        for arm, chance in zip(arms[1:], best[1:], strict=True)
    }
    # What rounding gave to others beyond the first arm's floor comes back from the largest.
    largest = max(others, key=lambda version: others[version])
    others[largest] = min(others[largest], 1 - floor - sum(others.values()) + others[largest])
    return {arms[0].version: 1 - sum(others.values())} | others


def chance_of_best(arms: Sequence[ArmOutcome], *, dependence: float = 1.0) -> list[float]:
    """The probability that each arm has the smallest mean loss, under Beta posteriors with a uniform prior.

    Args:
        arms: Weighted mean losses and what they weigh.
        dependence: How many rows carry the information of one.
    """
    from scipy.special import betainc  # scipy.stats would cost half a second

    weights = np.array([arm.weight for arm in arms]) / dependence
    lost = weights * np.array([arm.loss if arm.loss is not None else 0.5 for arm in arms])
    a, b = 1 + lost, 1 + weights - lost
    mean, deviation = a / (a + b), np.sqrt(a * b / (a + b + 1)) / (a + b)
    reach = np.linspace(-_DEVIATIONS, _DEVIATIONS, _POINTS)
    edges = np.unique(np.clip(mean[:, None] + deviation[:, None] * reach, 0.0, 1.0))
    edges = np.unique(np.concatenate([[0.0], edges, [1.0]]))
    below = betainc(a[:, None], b[:, None], edges)
    mass, above = np.diff(below), 1 - (below[:, 1:] + below[:, :-1]) / 2
    chance = np.array([(mass[one] * np.delete(above, one, axis=0).prod(axis=0)).sum() for one in range(len(arms))])
    return [float(one) for one in chance / chance.sum()]


def _best(arms: Sequence[ArmOutcome]) -> list[float]:
    known = [arm.loss if arm.loss is not None else 0.5 for arm in arms]
    first = known.index(min(known))
    return [float(place == first) for place in range(len(arms))]
