"""The evidence once more, row by row as the theorems say it: slow, and with nothing to be clever about."""

from __future__ import annotations

import math

STAKES = [0.8 * 0.5**k for k in range(8)]


def log_e(logs, temper=1.0):
    """Logarithm of the mean over all stakes of what they have won, to the power `temper`."""
    top = max(logs)
    return temper * top + math.log(sum(math.exp(temper * (one - top)) for one in logs) / len(logs))


def wagered(payoffs, line, least=0, temper=1.0):
    """Log-wealth of each stake after all payoffs, and the largest log e-value after `least` rows or more."""
    logs, peak = [0.0] * len(STAKES), 0.0
    for row, payoff in enumerate(payoffs, start=1):
        logs = [
            log + math.log(1 + stake / (1 + line) * (payoff - line)) for log, stake in zip(logs, STAKES, strict=True)
        ]
        if row >= least:
            peak = max(peak, log_e(logs, temper))
    return logs, peak


def covered(values, alpha, dependence=1.0):
    """The empirical Bernstein interval of Waudby-Smith and Ramdas (2024, Theorem 2), with its bets of Section 3.2."""
    mean, variance, total, squares = 0.5, 0.25, 0.0, 0.0
    stakes = staked = spread = 0.0
    for row, value in enumerate(values, start=1):
        stake = min(math.sqrt(2 * math.log(2 / alpha) / (variance * row * math.log(1 + row))), 0.5)
        stakes, staked = stakes + stake, staked + stake * value
        spread += 4 * (value - mean) ** 2 * (-math.log(1 - stake) - stake) / 4
        total += value
        mean = (0.5 + total) / (row + 1)
        squares += (value - mean) ** 2
        variance = (0.25 + squares) / (row + 1)
    radius = math.sqrt(dependence) * (math.log(2 / alpha) + spread) / stakes
    return max(0.0, staked / stakes - radius), min(1.0, staked / stakes + radius)
