"""The demo's year, held against what it must show: the gain over the frozen model, the broken candidates, the time."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from homeostat.demo import run_demo

GAIN = 0.032
SECONDS = 150.0


def main() -> None:
    """Play it and exit 1 when a figure is missed."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        found = run_demo(output=Path(folder) / "demo")
        seconds = time.perf_counter() - begin
    total = found.total
    rows = [
        ("ROC AUC above the frozen model's", total.gain, f"at least {GAIN}", total.gain >= GAIN),
        ("seconds", seconds, f"at most {SECONDS:.0f}", seconds <= SECONDS),
        *(
            (f"share answered by broken v{one.version}", one.share, f"at most {one.allowed}", one.share <= one.allowed)
            for one in found.broken
        ),
    ]
    print(f"\n{'':36}{'measured':>10}   must be")
    for name, value, must, met in rows:
        print(f"{name:36}{value:10.4g}   {must}  {'met' if met else 'NOT MET'}")
    trials = found.trials
    print(f"\n{trials.opened} trials opened: " + ", ".join(f"{n} {how}" for how, n in sorted(trials.outcomes.items())))
    print("days per trial: " + ("none ended" if trials.days is None else f"{trials.days:.1f}"))
    sys.exit(not all(met for *_, met in rows))


if __name__ == "__main__":
    main()
