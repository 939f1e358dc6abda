"""Start-up: `import homeostat` and `homeostat --help` in milliseconds, beside a bare Python. Best of several."""

from __future__ import annotations

import subprocess
import sys
import time

REPEATS = 9


def milliseconds(arguments: list[str]) -> float:
    """Wall-clock time of one process in milliseconds, the best of REPEATS."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    return best * 1_000


def main() -> None:
    """Print the table; exit 1 when a promise of the README is broken."""
    bare = milliseconds(["-c", "pass"])
    rows = [
        ("python -c pass (floor)", bare, None),
        ("import homeostat", milliseconds(["-c", "import homeostat"]), 100.0),
        ("homeostat --help", milliseconds(["-m", "homeostat", "--help"]), 200.0),
    ]
    print(f"{'':28}{'ms':>8}{'x floor':>10}{'must ms':>10}")
    for name, value, limit in rows:
        print(f"{name:28}{value:8.1f}{value / bare:10.1f}{limit or '':>10}")
    sys.exit(any(limit is not None and value > limit for _, value, limit in rows))


if __name__ == "__main__":
    main()
