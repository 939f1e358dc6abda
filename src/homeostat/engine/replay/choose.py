"""Which policy to take: chosen on the first 60 % of the blocks, and held against never retraining on the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from homeostat.engine.replay.result import Block, Comparison, PolicyResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

_CHOSEN_ON = 0.6
_DRAWS = 2_000
_NEVER = "never"


def held_back_from(blocks: Sequence[Block]) -> datetime:
    """Where the held-back blocks begin."""
    return blocks[min(len(blocks) - 1, round(_CHOSEN_ON * len(blocks)))].start


def compare(results: Sequence[PolicyResult]) -> Comparison:
    """Choose on the first blocks, test on the rest.

    The interval is a moving-block bootstrap (Künsch, Annals of Statistics 17, 1989) of the difference in mean loss per
    row, since losses of neighbouring blocks are not independent.

    Args:
        results: Every policy on the same blocks; the one called `never` is what the chosen one is held against, and
            the first one when there is no such policy.
    """
    baseline = next((result for result in results if result.name == _NEVER), results[0])
    cut = round(_CHOSEN_ON * len(baseline.blocks))
    chosen = min(results, key=lambda result: (_loss(result.blocks[:cut]), result.retrains))
    if chosen is baseline:
        verdict = "do not retrain: no policy did better than the first model on the first 60 % of the history"
        return _comparison(chosen, verdict, 0.0, 0.0, 0.0, evidence=False)
    rows = np.array([block.rows for block in chosen.blocks[cut:]], dtype=np.float64)
    gaps = np.array([a.loss - b.loss for a, b in zip(chosen.blocks[cut:], baseline.blocks[cut:], strict=True)])
    difference = float((gaps * rows).sum() / rows.sum())
    low, high = _interval(gaps, rows)
    evidence = high < 0
    share = f"{difference:+.4f} loss per row on the held-back blocks, 95 % interval {low:+.4f} to {high:+.4f}"
    if evidence:
        verdict = f"retrain by {chosen.name!r}: {share}"
    elif low > 0:
        verdict = f"do not retrain: {chosen.name!r} was best at first and did harm later ({share})"
    else:
        verdict = f"no evidence that {chosen.name!r} pays: {share}"
    return _comparison(chosen, verdict, difference, low, high, evidence=evidence)


def _comparison(
    chosen: PolicyResult, verdict: str, difference: float, low: float, high: float, *, evidence: bool
) -> Comparison:
    told = f"{verdict}. {_humbling(chosen)}".rstrip()
    return Comparison(chosen=chosen.name, difference=difference, low=low, high=high, evidence=evidence, verdict=told)


def _humbling(chosen: PolicyResult) -> str:
    """What no policy should be allowed to hide: that the last label would have done better."""
    kappa = chosen.report.kappa_per
    return f"But {chosen.report.verdict}" if kappa is not None and kappa <= 0 else ""


def _loss(blocks: Sequence[Block]) -> float:
    return sum(block.loss * block.rows for block in blocks) / max(1, sum(block.rows for block in blocks))


def _interval(gaps: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[float, float]:
    count = len(gaps)
    length = max(1, round(count ** (1 / 3)))
    random = np.random.default_rng(0)
    starts = random.integers(0, count - length + 1, size=(_DRAWS, -(-count // length)))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(_DRAWS, -1)[:, :count]
    means = (gaps[drawn] * rows[drawn]).sum(axis=1) / rows[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
