"""How often the judge is right, and how many labels it needs: 1,000 simulated canaries for each situation.

Run with `make bench-judge`, or with a number of canaries: `python benchmarks/judge.py 200`. Beside the judge stands
what it replaces: the paired z-test at the same level, looked at after every label, and the fewest labels that a z-test
with one look would need for the same errors.
"""

from __future__ import annotations

import sys
from collections import Counter
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from homeostat.cd.judge import JudgeConfig, JudgeState, conclude, update
from homeostat.core.clock import stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

ROWS = 20_000
CHUNK = 250
RULE = JudgeConfig(horizon=ROWS)
DEPENDENT = JudgeConfig(horizon=ROWS, dependence=5.1)


def disagree(worse: float, better: float) -> Callable[[np.random.Generator], Array]:
    """Zero-one losses: the challenger alone is wrong on a share `worse` of the rows, the champion alone on `better`."""
    return lambda rng: rng.choice([-1.0, 0.0, 1.0], size=ROWS, p=[better, 1 - better - worse, worse])


def normal(mean: float, deviation: float) -> Callable[[np.random.Generator], Array]:
    """Brier losses that differ on every row."""
    return lambda rng: np.clip(rng.normal(mean, deviation, ROWS), -1, 1)


def storms(rng: np.random.Generator) -> Array:
    """Differences that come in runs of 50 rows which share a draw: the same storm hits all flights of its hours."""
    shared = np.repeat(rng.normal(0, 0.03, ROWS // 50), 50)
    return np.clip(shared + rng.normal(0, 0.1, ROWS), -1, 1)


SITUATIONS: dict[str, tuple[Callable[[np.random.Generator], Array], str]] = {
    "identical models": (lambda _: np.zeros(ROWS), "roll_back <= 1 %"),
    "same quality, 4 % of rows disagree": (disagree(0.02, 0.02), "roll_back <= 1 %"),
    "same quality, Brier differs on every row": (normal(0.0, 0.1), "roll_back <= 1 %"),
    "same quality, 30 % of labels missing for the worst": (disagree(0.02, 0.02), "roll_back <= 1 %"),
    "accuracy one point lower, 4 % of rows disagree": (disagree(0.025, 0.015), "roll_back >= 99 %"),
    "worse by exactly the margin": (normal(RULE.margin, 0.1), "promote <= 5 %"),
    "better: Brier -0.005, deviation 0.1": (normal(-0.005, 0.1), "promote"),
    "same quality, runs of 50 dependent rows, not told": (storms, "(seen rows only)"),
    "same quality, runs of 50 dependent rows, told so": (storms, "roll_back <= 1 %"),
}


def canary(difference: Array, missing: NDArray[np.bool_], rule: JudgeConfig) -> tuple[str, int, bool]:
    """First verdict of one canary whose pairs differ like this, its number of labels, and whether harm was ever found.

    The harm is looked for on all rows, also after a promotion, so that no false alarm is hidden by stopping early.
    """
    state, judgement = JudgeState(), conclude(JudgeState(), rule)
    champion = np.where(missing, np.nan, np.clip(-difference, 0, 1))
    challenger = np.clip(difference, 0, 1)
    bounds = -np.abs(difference), np.abs(difference)

    def look(state: JudgeState, cut: slice) -> JudgeState:
        return update(state, champion[cut], challenger[cut], rule, least=bounds[0][cut], greatest=bounds[1][cut])

    while judgement.verdict == "continue":
        state = look(state, slice(state.pairs, state.pairs + CHUNK))
        judgement = conclude(state, rule)
    whole = look(state, slice(state.pairs, ROWS))
    return judgement.verdict, state.pairs, conclude(whole, rule).verdict == "roll_back"


def z_test_rolls_back(difference: Array) -> bool:
    """Whether a one-sided paired z-test at the level of harm, looked at after every label from the 30th, ever fires."""
    n = np.arange(1, len(difference) + 1)
    total, squares = np.cumsum(difference), np.cumsum(difference**2)
    error = np.sqrt(np.maximum(squares - total**2 / n, 1e-12))
    return bool(np.any((total / error)[30:] > NormalDist().inv_cdf(1 - RULE.alpha_harm)))


def fixed_sample(difference: Array, line: float, alpha: float, power: float = 0.99) -> int:
    """Labels that a z-test with a single look needs for this power (0..1)."""
    z = NormalDist().inv_cdf
    effect = abs(float(difference.mean()) - line)
    return int(np.ceil(((z(1 - alpha) + z(power)) * float(difference.std()) / effect) ** 2)) if effect else 0


def simulate(name: str, canaries: int) -> None:
    """Run one situation and print its line."""
    draw, must = SITUATIONS[name]
    rule = DEPENDENT if "told so" in name else RULE
    verdicts: Counter[str] = Counter()
    labels: dict[str, list[int]] = {"roll_back": [], "promote": []}
    harmed = peeking = 0
    for seed in range(canaries):
        rng = np.random.default_rng([seed, 7])
        difference = draw(rng)
        # The label is missing where the challenger was right and the champion wrong: it looks worse than it is.
        missing = (difference < 0) & (rng.random(ROWS) < 0.3) if "missing" in name else np.zeros(ROWS, dtype=bool)
        verdict, seen, harm = canary(difference, missing, rule)
        harmed += harm
        verdicts[verdict] += 1
        labels.setdefault(verdict, []).append(seen)
        peeking += z_test_rolls_back(difference[~missing])
    shares = [f"{100 * count / canaries:6.1f}" for count in (harmed, verdicts["promote"], verdicts["inconclusive"])]
    kind = max(("roll_back", "promote"), key=lambda verdict: verdicts[verdict])
    median = f"{int(np.median(labels[kind])):7,}" if labels[kind] else "      -"
    print(f"{name:52} {' '.join(shares)}  {median} {_minimum(draw, kind):>8} {100 * peeking / canaries:8.1f}   {must}")


def _minimum(draw: Callable[[np.random.Generator], Array], kind: str) -> str:
    many = np.concatenate([draw(np.random.default_rng([seed, 11])) for seed in range(20)])
    line, alpha = (RULE.harm, RULE.alpha_harm) if kind == "roll_back" else (RULE.margin, RULE.alpha_promote)
    moved = abs(float(many.mean()) - line) > 4 * float(many.std()) / np.sqrt(len(many))
    return f"{fixed_sample(many, line, alpha):,}" if moved and many.any() else "-"


def main() -> None:
    """Run every situation."""
    canaries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    print(f"{canaries} canaries each, at most {ROWS:,} labelled rows, a look after every label; shares in per cent\n")
    print(f"{'':52} {'back':>6} {'promo':>6} {'undec':>6}  {'median':>7} {'one look':>8} {'peeking':>8}   must")
    started = stopwatch()
    for name in SITUATIONS:
        simulate(name, canaries)
    print("\nback: harm found anywhere in the horizon, also after a promotion; promo, undec: the first verdict")
    print("median: labels until the judge's more frequent verdict; one look: labels of a fixed z-test with power 99 %")
    print(
        "peeking: share of canaries that a z-test at the same level would have rolled back when looked at all the time"
    )
    print(f"{stopwatch() - started:.0f} s")


if __name__ == "__main__":
    main()
