"""Evidence that may be looked at after every row: betting e-processes and an interval that hold at all times at once.

An e-process starts at 1 and, while its null hypothesis is true, is unlikely ever to become large: the chance that it
reaches 1/alpha at *any* time is at most alpha (Ville 1939). So one may look after every label, and stop, and the error
stays bounded. Here a gambler bets on the mean of bounded differences (Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting", JRSS B 2024); the bets are a fixed mixture over a grid of stakes, which needs no
tuning, loses at most log(8) nats to the best stake in hindsight, and can be continued exactly from its sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STAKES = np.array([0.8 * 0.5**k for k in range(8)])
_LARGEST_EXPONENT = 700.0
_EB_CAP = 0.5


class Wealth(msgspec.Struct, frozen=True):
    """A gambler who bets that the mean of payoffs is above a line; one log-wealth for each stake of the grid.

    Attributes:
        logs: Natural logarithm of the wealth of each stake.
        peak: Largest log e-value so far, among rows that counted (see `bet`).
    """

    logs: tuple[float, ...] = (0.0,) * len(_STAKES)
    rows: int = 0
    peak: float = 0.0

    def log_e(self, temper: float = 1.0) -> float:
        """Natural logarithm of the e-value after the last row: 0 is no evidence, log(1/alpha) proof at level alpha."""
        return float(_log_mean_exp(temper * np.asarray(self.logs)))


def bet(wealth: Wealth, payoffs: NDArray[Any], line: float, *, least: int = 0, temper: float = 1.0) -> Wealth:
    """Continue betting that `E[payoff | past] > line`; a null of `<= line` makes the wealth a supermartingale.

    Args:
        wealth: Where the gambler stands.
        payoffs: Shape (n,), in the order in which they are to be believed; each in [-1, 1].
        line: The mean that the null allows, in (-1, 1).
        least: The peak counts only from this many rows on.
        temper: Power (0..1] of every stake's wealth in the peak; one over the design effect of dependent rows.

    Returns:
        The gambler after these rows; the same, bit for bit, however the rows were cut into calls.
    """
    n = len(payoffs)
    if n == 0:
        return wealth
    gains = np.asarray(payoffs, dtype=float) - line
    if least <= wealth.rows:
        gains = gains[gains != 0]  # neither won nor lost: rows on which two models agree cost nothing
    factors = np.empty((len(gains) + 1, len(_STAKES)))
    factors[0] = wealth.logs
    np.log1p(np.multiply.outer(gains, _STAKES / (1.0 + line)), out=factors[1:])
    paths = np.cumsum(factors, axis=0)
    counted = paths[1:] if least <= wealth.rows else paths[max(1, least - wealth.rows) :]
    return Wealth(logs=tuple(paths[-1].tolist()), rows=wealth.rows + n, peak=_peak(counted * temper, wealth.peak))


def _peak(paths: NDArray[np.float64], floor: float) -> float:
    """Largest log e-value along the paths, computed only where it can exceed `floor`."""
    candidates = paths[paths.max(axis=1, initial=-np.inf) > floor]
    return max(floor, float(_log_mean_exp(candidates).max(initial=-np.inf)))


def e_value(log_e: float) -> float:
    """An e-value from its logarithm, finite whatever it is."""
    return float(np.exp(min(log_e, _LARGEST_EXPONENT)))


def excess(failures: int, trials: int, tolerated: float) -> float:
    """E-value against "the failure rate is at most `tolerated`" from two counts; valid at any time.

    The bets are constant, so that only the counts matter and not the order of failures.

    Args:
        failures: Trials that failed.
        trials: All trials.
        tolerated: Rate that is no fault, in (0, 1).

    Example:
        >>> excess(0, 1000, 0.01) < 1 < 1000 < excess(60, 1000, 0.01)
        True
    """
    stakes = _STAKES / tolerated
    logs = failures * np.log1p(stakes * (1 - tolerated)) + (trials - failures) * np.log1p(-stakes * tolerated)
    return e_value(float(_log_mean_exp(logs)))


def excess_difference(more: int, fewer: int, rows: int, tolerated: float) -> float:
    """E-value against "the mean of differences that are -1, 0 or 1 is at most `tolerated`"; valid at any time.

    Args:
        more: Rows whose difference is 1.
        fewer: Rows whose difference is -1.
        rows: All rows.
        tolerated: Mean that is no fault, in [0, 1).

    Example:
        >>> excess_difference(50, 0, 1000, 0.6) < 1 < 1000 < excess_difference(900, 0, 1000, 0.6)
        True
    """
    stakes = _STAKES / (1 + tolerated)
    gains = np.log1p(np.multiply.outer(np.array([1.0, -1.0, 0.0]) - tolerated, stakes))
    logs = np.array([more, fewer, rows - more - fewer]) @ gains
    return e_value(float(_log_mean_exp(logs)))


class Interval(msgspec.Struct, frozen=True):
    """Running sums of the predictable plug-in empirical Bernstein interval (Waudby-Smith and Ramdas 2024, Theorem 2).

    Holds for a mean of values in [0, 1], at all times at once with probability 1 - alpha.
    """

    rows: int = 0
    total: float = 0.0
    squares: float = 0.0
    stakes: float = 0.0
    staked: float = 0.0
    spread: float = 0.0
    last_mean: float = 0.5


def watch(interval: Interval, values: NDArray[Any], alpha: float) -> Interval:
    """Continue an interval with values in [0, 1], shape (n,), in order; the same however they are cut into calls."""
    n = len(values)
    if n == 0:
        return interval
    x = np.asarray(values, dtype=float)
    t = np.arange(interval.rows + 1, interval.rows + n + 1, dtype=float)
    total = _running(interval.total, x)
    mean = (0.5 + total) / (t + 1)
    squares = _running(interval.squares, (x - mean) ** 2)
    variance = (0.25 + np.concatenate([[interval.squares], squares[:-1]])) / t
    stakes = np.minimum(np.sqrt(2 * np.log(2 / alpha) / (variance * t * np.log1p(t))), _EB_CAP)
    before = np.concatenate([[interval.last_mean], mean[:-1]])
    return Interval(
        rows=interval.rows + n,
        total=float(total[-1]),
        squares=float(squares[-1]),
        stakes=float(_running(interval.stakes, stakes)[-1]),
        staked=float(_running(interval.staked, stakes * x)[-1]),
        spread=float(_running(interval.spread, (x - before) ** 2 * (-np.log1p(-stakes) - stakes))[-1]),
        last_mean=float(mean[-1]),
    )


def bounds(interval: Interval, alpha: float, dependence: float = 1.0) -> tuple[float, float] | None:
    """The interval now, within [0, 1] and widened for dependent rows; None before the first value."""
    if not interval.rows:
        return None
    center = interval.staked / interval.stakes
    radius = np.sqrt(dependence) * (np.log(2 / alpha) + interval.spread) / interval.stakes
    return max(0.0, float(center - radius)), min(1.0, float(center + radius))


def _running(start: float, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cumulative sum continued from `start`, added strictly one by one so that chunks change nothing."""
    return np.cumsum(np.concatenate([[start], values]))[1:]


def _log_mean_exp(logs: NDArray[np.float64]) -> Any:
    top = logs.max(axis=-1, keepdims=True) if logs.size else np.zeros((*logs.shape[:-1], 1))
    return (top + np.log(np.mean(np.exp(logs - top), axis=-1, keepdims=True)))[..., 0]


def design_effect(differences: NDArray[Any], cohorts: NDArray[Any]) -> float:
    """How many rows carry the information of one, because rows of the same cohort move together; at least 1.

    The variance of cohort sums over what it would be if rows were independent (Kish, "Survey sampling", 1965).

    Args:
        differences: Per-row loss differences, shape (n,), from rows before the trial.
        cohorts: What is dependent, shape (n,): the day of each row, for example.

    Example:
        >>> design_effect(np.array([0.2, 0.2, -0.2, -0.2]), np.array([1, 1, 2, 2]))
        2.0
    """
    _, which = np.unique(cohorts, return_inverse=True)
    off = np.asarray(differences, dtype=float) - np.mean(differences)
    alone = float(off @ off)
    together = np.bincount(which, weights=off)
    return max(1.0, float(together @ together) / alone) if alone else 1.0
