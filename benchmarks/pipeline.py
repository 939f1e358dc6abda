"""The pipeline engine beside plain functions, Kedro and Dagster. Run with `make bench-pipeline`.

Three questions, each with the bar that the README promises: what 200 empty steps cost with their durable record, what
a rerun costs when nothing changed, and what five real steps on 10,000 rows cost beyond calling the functions. Kedro
records nothing and keeps all values in memory; Dagster keeps a durable record in SQLite and, here, values in memory;
Homeostat keeps a durable record and every value. Best of several, because another process can only add time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_steps import EMPTY, REAL, empty_steps, plain

from homeostat.ci.pipeline import Pipeline, step
from homeostat.core.clock import stopwatch
from homeostat.core.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
FIRST, RERUN, BEYOND = 0.100, 0.050, 0.030


def seconds(action: Callable[[], Any], repeats: int) -> float:
    """The best of some repeats."""
    best = float("inf")
    for _ in range(repeats):
        began = stopwatch()
        action()
        best = min(best, stopwatch() - began)
    return best


def homeostat(folder: Path, repeats: int) -> dict[str, float]:
    """Seconds of first runs in fresh stores, of a rerun, and of plain functions."""
    empty, real = empty_steps(folder), REAL
    names = iter(range(1_000_000))

    def fresh() -> Store:
        """A store that a process has begun to use, but not for this work."""
        store = Store.open(folder / f"store-{next(names)}")
        Pipeline(step(lambda: 0, name="warm_up")).run(store, loop="other")
        return store

    def first(pipeline: Pipeline, given: dict[str, Any]) -> float:
        stores = [fresh() for _ in range(repeats + 1)]
        pipeline.run(stores.pop(), loop="bench", inputs=given)
        return seconds(lambda: pipeline.run(stores.pop(), loop="bench", inputs=given), repeats)

    def again(pipeline: Pipeline, given: dict[str, Any]) -> float:
        store = fresh()
        pipeline.run(store, loop="bench", inputs=given)
        return seconds(lambda: pipeline.run(store, loop="bench", inputs=given), repeats)

    chain, flights = Pipeline(*empty), Pipeline(*real)
    plain(real, {"seed": 1})
    return {
        "plain empty": seconds(lambda: plain(empty, {}), repeats),
        "plain real": seconds(lambda: plain(real, {"seed": 1}), repeats),
        "first empty": first(chain, {}),
        "first real": first(flights, {"seed": 1}),
        "again empty": again(chain, {}),
        "again real": again(flights, {"seed": 1}),
    }


def peers(python: str | None, repeats: int) -> dict[str, dict[str, float]]:
    """The same work by Kedro and Dagster, measured in their own environment."""
    if python is None:
        return {}
    command = [python, str(HERE / "pipeline_peers.py"), str(repeats)]
    environment = {**os.environ, "KEDRO_DISABLE_TELEMETRY": "true", "DAGSTER_DISABLE_TELEMETRY": "yes"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        print(f"the peers could not be measured:\n{done.stderr[-2000:]}", file=sys.stderr)
        return {}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def table(own: dict[str, float], others: dict[str, dict[str, float]]) -> list[str]:
    """Milliseconds and ratios, engine by engine."""
    floor = {"empty": own["plain empty"], "real": own["plain real"]}
    lines = [f"{'':34}{f'{EMPTY} empty steps':>18}{'a step':>10}{'five real steps':>18}{'x plain':>9}{'beyond':>11}"]

    def line(name: str, empty: float, real: float, plain_real: float) -> str:
        one = f"{empty / EMPTY * 1e6:.0f} us"
        beyond = f"{(real - plain_real) * 1e3:+.1f} ms"
        return f"{name:34}{empty * 1e3:15.2f} ms{one:>10}{real * 1e3:15.1f} ms{real / plain_real:8.2f}x{beyond:>11}"

    lines.append(line("plain functions (floor)", floor["empty"], floor["real"], floor["real"]))
    lines.append(line("homeostat, first run, durable", own["first empty"], own["first real"], floor["real"]))
    lines.append(line("homeostat, nothing changed", own["again empty"], own["again real"], floor["real"]))
    words = {"kedro": "kedro, in memory, no record", "dagster": "dagster, in process, durable"}
    for name, words_for in words.items():
        if name in others:
            lines.append(line(words_for, others[name]["empty"], others[name]["real"], others["plain"]["real"]))
    for name in words:
        if name in others:
            times = others[name]["empty"] / own["first empty"]
            again = others[name]["empty"] / own["again empty"]
            lines.append(f"{name} takes {times:.1f} times as long for {EMPTY} empty steps; {again:.1f} times a rerun")
    return lines


def bars(own: dict[str, float]) -> list[tuple[str, float, float]]:
    """What was promised: name, seconds found, seconds allowed."""
    return [
        (f"{EMPTY} empty steps with durable record", own["first empty"], FIRST),
        (f"{EMPTY} empty steps, nothing changed", own["again empty"], RERUN),
        ("five real steps beyond plain functions", own["first real"] - own["plain real"], BEYOND),
    ]


def main() -> int:
    """Print the table and whether each bar is met; 1 when one is not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python that has Kedro and Dagster; left out, they are not measured")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own = homeostat(Path(folder), arguments.repeats)
    others = peers(arguments.peers, max(3, arguments.repeats // 3))
    if arguments.json:
        print(json.dumps({"homeostat": own, "peers": others}))
    else:
        print("\n".join(table(own, others)))
        for name, found, allowed in bars(own):
            met = "met" if found <= allowed else "MISSED"
            print(f"{name:42}{found * 1e3:8.1f} ms  must be at most {allowed * 1e3:.0f} ms: {met}")
    return int(any(found > allowed for _, found, allowed in bars(own)))


if __name__ == "__main__":
    sys.exit(main())
