"""How often drift alarms without a cause, how much of a shift it takes to be seen, and what a block costs.

Run with `make bench-drift`. Beside our rule stand two that are common: PSI above 0.2 without a noise floor, and a
p-value below 0.05 in any column.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from homeostat.core.clock import stopwatch
from homeostat.core.stats.drift import distance, drift
from homeostat.core.stats.profile import Profile

COLUMNS = 20
BLOCKS = 300
PSI = 0.2


def frame(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pl.DataFrame:
    """Fourteen normal columns, of which the first is shifted by so many deviations, and six categorical ones."""
    columns = {f"x{i}": rng.normal(shift if i == 0 else 0.0, 1, rows) for i in range(14)}
    return pl.DataFrame(columns | {f"c{i}": rng.choice(list("abcdefgh"), rows) for i in range(COLUMNS - 14)})


def rates(reference: Profile, rows: int, shift: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Share of blocks in which any column alarms: by our rule, by PSI alone, by a p-value alone."""
    ours = psi = p_value = 0
    for _ in range(BLOCKS):
        block = Profile.of(frame(rng, rows, shift), edges_from=reference)
        ours += any(signal.alarmed for signal in drift(reference, block))
        found = [distance(column, block.columns[name]) for name, column in reference.columns.items()]
        psi += any(one.value > PSI for one in found)
        p_value += any(one.p_value < 0.05 for one in found)
    return ours / BLOCKS, psi / BLOCKS, p_value / BLOCKS


def cost(reference: Profile, rng: np.random.Generator) -> None:
    """Milliseconds to profile and compare one block, beside the floor: sorting every column once."""
    print(f"\n{'rows':>8} {'profile + drift':>16} {'sort the columns':>17} {'ratio':>6}")
    for rows in (1_000, 5_000, 100_000):
        block = frame(rng, rows)
        ours = best(lambda block=block: drift(reference, Profile.of(block, edges_from=reference)))
        floor = best(lambda block=block: [block[name].sort() for name in block.columns])
        print(f"{rows:8,} {ours * 1e3:13.1f} ms {floor * 1e3:14.1f} ms {ours / floor:6.2f}")


def best(work: object, times: int = 7) -> float:
    """Seconds of the fastest of some repetitions."""
    seconds = []
    for _ in range(times):
        started = stopwatch()
        work()  # type: ignore[operator]
        seconds.append(stopwatch() - started)
    return min(seconds)


def main() -> None:
    """Print the three tables."""
    rng = np.random.default_rng(0)
    reference = Profile.of(frame(rng, 50_000))
    print(f"share of {BLOCKS} blocks of {COLUMNS} columns with an alarm; one column shifted by so many deviations\n")
    print(f"{'rows':>8} {'shift':>6} {'homeostat':>10} {'PSI > 0.2':>10} {'p < 0.05':>10}")
    for rows in (100, 200, 1_000, 5_000):
        for shift in (0.0, 0.3, 0.5, 0.8):
            shares = rates(reference, rows, shift, rng)
            print(f"{rows:8,} {shift:6.1f} " + " ".join(f"{100 * share:8.1f} %" for share in shares))
    cost(reference, rng)


if __name__ == "__main__":
    main()
