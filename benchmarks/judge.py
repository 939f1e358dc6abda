"""How often the judge is right, and how many labels it needs: 1,000 simulated canaries for each situation.

Run with `make bench-judge`, or with a number of canaries: `python benchmarks/judge.py 200`. Beside the judge stands
what it replaces: the paired z-test at the same level, looked at after every label, and the fewest labels that a z-test
with one look would need for the same errors. Every claim is printed with its figure, and whether it is met.
"""

from __future__ import annotations

import sys
from collections import Counter
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from homeostat.cd.deploy.judge import JudgeConfig, JudgeState, conclude, update
from homeostat.cd.deploy.randomised import Drawn, judge_drawn
from homeostat.core.clock import stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Draw = Callable[[np.random.Generator], Array]

ROWS = 20_000
CHUNK = 250
MISSING = 0.3
RULE = JudgeConfig(horizon=ROWS)
DEPENDENT = JudgeConfig(horizon=ROWS, dependence=5.1)


def disagree(worse: float, better: float) -> Draw:
    """Zero-one losses: the challenger alone is wrong on a share `worse` of the rows, the champion alone on `better`."""
    return lambda rng: rng.choice([-1.0, 0.0, 1.0], size=ROWS, p=[better, 1 - better - worse, worse])


def normal(mean: float, deviation: float) -> Draw:
    """Brier losses that differ on every row."""
    return lambda rng: np.clip(rng.normal(mean, deviation, ROWS), -1, 1)


def storms(rng: np.random.Generator) -> Array:
    """Differences that come in runs of 50 rows which share a draw: the same storm hits all flights of its hours."""
    shared = np.repeat(rng.normal(0, 0.03, ROWS // 50), 50)
    return np.clip(shared + rng.normal(0, 0.1, ROWS), -1, 1)


class Situation(NamedTuple):
    """What is simulated, and what must come out of it: the largest or least share of one verdict, in per cent.

    `hides` says whose good rows lose their labels first: those on which the challenger lost (1) or won (-1); others are
    lost at random until 30 % of all labels are missing.
    """

    name: str
    draw: Draw
    verdict: str = ""
    bound: float | None = None
    hides: int = 0
    rule: JudgeConfig = RULE


SITUATIONS = (
    Situation("identical models", lambda _: np.zeros(ROWS), "roll_back", 1.0),
    Situation("same quality, 4 % of rows disagree", disagree(0.02, 0.02), "roll_back", 1.0),
    Situation("same quality, Brier differs on every row", normal(0.0, 0.1), "roll_back", 1.0),
    Situation("accuracy one point lower, 4 % of rows disagree", disagree(0.025, 0.015), "roll_back", -99.0),
    Situation("worse by the margin, Brier", normal(RULE.margin, 0.1), "promote", 5.0),
    Situation("worse by the margin, 4 % of rows disagree", disagree(0.0225, 0.0175), "promote", 5.0),
    Situation("better: Brier -0.005, deviation 0.1", normal(-0.005, 0.1)),
    Situation("30 % missing, same quality, its wins hidden", disagree(0.02, 0.02), "roll_back", 1.0, -1),
    Situation("30 % missing, same quality, Brier, its wins hidden", normal(0.0, 0.1), "roll_back", 1.0, -1),
    Situation("30 % missing, a point lower, its losses hidden", disagree(0.025, 0.015), "promote", 5.0, 1),
    Situation("30 % missing, worse by the margin, losses hidden", normal(RULE.margin, 0.1), "promote", 5.0, 1),
    Situation("runs of 50 dependent rows, not told", storms),
    Situation("runs of 50 dependent rows, told so", storms, "roll_back", 1.0, 0, DEPENDENT),
)


def lost(difference: Array, hides: int, rng: np.random.Generator) -> Mask:
    """Which labels never come: the rows that speak most for one side first, then any, until 30 % are missing."""
    if not hides:
        return np.zeros(ROWS, dtype=bool)
    worst_first = np.argsort(-hides * difference + 1e-9 * rng.random(ROWS))
    speaking = worst_first[hides * difference[worst_first] > 0][: int(MISSING * ROWS)]
    others = np.setdiff1d(np.arange(ROWS), speaking)
    mask = np.zeros(ROWS, dtype=bool)
    mask[speaking] = True
    mask[rng.choice(others, int(MISSING * ROWS) - len(speaking), replace=False)] = True
    return mask


def canary(difference: Array, missing: Mask, rule: JudgeConfig) -> tuple[str, int, bool]:
    """First verdict of one canary whose pairs differ like this, its number of labels, and whether harm was ever found.

    The first verdict ends a trial. Harm is looked for on all rows, also after a promotion, so that no false alarm is
    hidden by stopping early.
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


class Claim(NamedTuple):
    """A claim with its figure in per cent; a negative bound is a least share, any other a largest."""

    what: str
    verdict: str
    bound: float
    figure: float
    note: str = ""

    def line(self) -> str:
        """How it is printed."""
        at_least = self.bound < 0
        met = self.figure >= -self.bound if at_least else self.figure <= self.bound
        must = f"{self.verdict} {'>=' if at_least else '<='} {abs(self.bound):g} %"
        return f"{self.what:54} {must:18} {self.figure:6.1f} %   {'met' if met else 'NOT MET'}{self.note}"


def simulate(situation: Situation, canaries: int) -> Claim | None:
    """Run one situation, print its line, and give its claim."""
    verdicts: Counter[str] = Counter()
    labels: dict[str, list[int]] = {"roll_back": [], "promote": []}
    harmed = peeking = 0
    for seed in range(canaries):
        rng = np.random.default_rng([seed, 7])
        difference = situation.draw(rng)
        missing = lost(difference, situation.hides, rng)
        verdict, seen, harm = canary(difference, missing, situation.rule)
        harmed += harm
        verdicts[verdict] += 1
        labels.setdefault(verdict, []).append(seen)
        peeking += z_test_rolls_back(difference[~missing])
    counts = (verdicts["roll_back"], verdicts["promote"], verdicts["inconclusive"], harmed)
    shares = " ".join(f"{100 * count / canaries:6.1f}" for count in counts)
    kind = max(("roll_back", "promote"), key=lambda verdict: verdicts[verdict])
    median = f"{int(np.median(labels[kind])):,}" if labels[kind] else "-"
    minimum = _minimum(situation.draw, kind)
    print(f"{situation.name:50} {shares}  {median:>7} {minimum:>8} {100 * peeking / canaries:8.1f}", flush=True)
    if situation.bound is None:
        return None
    # A false alarm counts wherever it is found; what a trial must find, it must find first.
    found = harmed if situation.verdict == "roll_back" and situation.bound > 0 else verdicts[situation.verdict]
    note = f", median of {median} labels where one look needs {minimum}" if situation.bound < 0 else ""
    return Claim(situation.name, situation.verdict, situation.bound, 100 * found / canaries, note)


def _minimum(draw: Draw, kind: str) -> str:
    many = np.concatenate([draw(np.random.default_rng([seed, 11])) for seed in range(20)])
    line, alpha = (RULE.harm, RULE.alpha_harm) if kind == "roll_back" else (RULE.margin, RULE.alpha_promote)
    moved = abs(float(many.mean()) - line) > 4 * float(many.std()) / np.sqrt(len(many))
    return f"{fixed_sample(many, line, alpha):,}" if moved and many.any() else "-"


def split(extra: float, hides: int, canaries: int) -> tuple[float, float]:
    """Shares (per cent) of randomised trials that find harm, and a promotion, anywhere in the horizon.

    Each row has one answer: right or wrong, wrong in 20 % of the champion's and `extra` more of the challenger's.
    """
    harmed = promoted = 0
    for seed in range(canaries):
        rng = np.random.default_rng([seed, 13])
        mine = rng.random(ROWS) < 0.5
        loss = (rng.random(ROWS) < 0.2 + extra * mine).astype(float)
        missing = lost(np.where(mine, loss - 0.5, 0.5 - loss), hides, rng)
        share, seen = np.full(ROWS, 0.5), np.where(missing, np.nan, loss)
        drawn = Drawn(challenger=mine, share=share, loss=seen, least=np.zeros(ROWS), greatest=np.ones(ROWS))
        judged = judge_drawn(drawn, RULE)
        harmed += judged.e_harm >= 1 / RULE.alpha_harm
        promoted += judged.e_benefit >= 1 / RULE.alpha_promote
    return 100 * harmed / canaries, 100 * promoted / canaries


def splits(canaries: int) -> list[Claim]:
    """The claims about randomised arms, each version on its own rows."""
    same, hidden = split(0.0, 0, canaries)[0], split(0.0, -1, canaries)[0]
    worse, masked = split(RULE.margin, 0, canaries)[1], split(RULE.margin, 1, canaries)[1]
    return [
        Claim("own rows only: the same model twice", "roll_back", 1.0, same),
        Claim("own rows only: the same, 30 % missing for the worst", "roll_back", 1.0, hidden),
        Claim("own rows only: worse by the margin", "promote", 5.0, worse),
        Claim("own rows only: worse by it, 30 % missing for the best", "promote", 5.0, masked),
    ]


def main() -> None:
    """Run every situation."""
    canaries = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    print(f"{canaries} canaries each, at most {ROWS:,} labelled rows, a look after every label; shares in per cent\n")
    print(f"{'':50} {'back':>6} {'promo':>6} {'undec':>6} {'harm':>6}  {'median':>7} {'one look':>8} {'peeking':>8}")
    started = stopwatch()
    claims = [claim for situation in SITUATIONS if (claim := simulate(situation, canaries)) is not None]
    print("\nback, promo, undec: the first verdict, which ends a trial; harm: found anywhere, also after a promotion")
    print("median: labels until the judge's more frequent verdict; one look: labels of a fixed z-test with power 99 %")
    print("peeking: share that a z-test at the same level, looked at all the time, would have rolled back\n")
    print(f"{'':54} {'must':18} {'figure':>8}")
    for claim in [*claims, *splits(canaries)]:
        print(claim.line(), flush=True)
    print(f"{stopwatch() - started:.0f} s")


if __name__ == "__main__":
    main()
