"""Run with `make bench-serve`, or in part with `python -m benchmarks.serving --only swap --seconds 1`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.serving import scenarios, scenarios_change
from benchmarks.serving.processes import load_core, server_core
from benchmarks.serving.rounds import Bench, say
from benchmarks.serving.verdicts import Verdict, plain, rates, report

SCENARIOS = {
    "one": scenarios.one,
    "many": scenarios.many,
    "native": scenarios.native,
    "start": scenarios_change.start,
    "swap": scenarios_change.swap,
    "log": scenarios_change.log,
    "shadow": scenarios_change.shadow,
}


def main() -> None:
    """Measure, and print the tables."""
    options = _options()
    if server_core() == load_core():
        sys.exit("error: there is one core only\nhint: a server and its load need one each")
    os.sched_setaffinity(0, {load_core()})
    figures: dict[str, Any] = {}
    broken: dict[str, str] = {}
    verdicts: list[Verdict] = []
    begin = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="bench-serve-") as folder,
        Bench(Path(folder), options.peers, options.seconds, options.rounds) as bench,
    ):
        for name in options.only or SCENARIOS:
            say(f"{name}: {(SCENARIOS[name].__doc__ or '').splitlines()[0]}")
            try:
                figures[name], found = SCENARIOS[name](bench)
            except (RuntimeError, ValueError, OSError) as error:
                broken[name] = str(error)
                say(f"{name} broke: {error}")
                continue
            verdicts += found
            if not options.json:
                print(_shown(name, figures[name]), end="\n\n", flush=True)
    if options.json:
        told = {"figures": figures, "verdicts": plain(verdicts), "missing": bench.missing, "broken": broken}
        print(json.dumps(told, indent=1))
    else:
        print(report(verdicts))
        for name, reason in (bench.missing | broken).items():
            print(f"{name} was not measured: {reason}")
        missed = sum(one.met is False for one in verdicts)
        print(f"{len(verdicts)} requirements, {missed} missed; {time.perf_counter() - begin:.0f} s")
    if broken:
        sys.exit(1)


def _shown(name: str, figures: dict[str, Any]) -> str:
    title = (SCENARIOS[name].__doc__ or "").splitlines()[0]
    measured = {contestant: one for contestant, one in figures.items() if "rate" in one}
    lines = [rates(f"{name}:", measured)] if measured else [f"{name}: {title}"]
    for contestant, one in figures.items():
        if "rate" not in one:
            shown = ", ".join(f"{key} {_rounded(value)}" for key, value in one.items())
            lines.append(f"  {contestant:32}{shown}")
    return "\n".join(lines)


def _rounded(value: Any) -> str:
    return ", ".join(map(_rounded, value)) if isinstance(value, list) else f"{value:,.2f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument(
        "--peers", default=".venv-peers", help="the peers' environments, up to the dash before their name"
    )
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, help="some scenarios instead of all")
    parser.add_argument("--seconds", type=float, default=2.5, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contestant; medians are shown")
    parser.add_argument("--json", action="store_true", help="figures and verdicts as one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
