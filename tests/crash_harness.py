"""Kill a process exactly at a named point, hundreds of times, without paying for an interpreter each time.

`isolated` starts one clean process that imports a scenario and opens no database. There the scenario calls `in_child`
for everything that touches a store: a forked child does it and is killed at the armed point, as by a power cut.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """What became of a child: killed at the armed point, or done with this JSON value."""

    killed: bool
    value: Any = None


def isolated(module: str, function: str, *arguments: str, timeout: float = 600) -> Any:
    """Call a scenario in a clean, single-threaded process and return the JSON value that it returns.

    Args:
        module: The scenario's module, for example `tests.engine.crash_run`.
        function: Its function.
        arguments: Texts that it is called with.
        timeout: Seconds after which the process is given up.
    """
    done = _process("", module, function, arguments, timeout)
    if done.returncode != 0:
        raise AssertionError(done.stderr[-4000:])
    return json.loads(done.stdout.splitlines()[-1])


def killed_at(point: str, module: str, function: str, *arguments: str, timeout: float = 600) -> bool:
    """Call a scenario in a process of its own, killed at a point; whether it got there."""
    done = _process(point, module, function, arguments, timeout)
    if done.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(done.stderr[-4000:])
    return done.returncode != 0


def _process(
    point: str, module: str, function: str, arguments: tuple[str, ...], timeout: float
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crash_harness", module, function, *arguments]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "HOMEOSTAT_CRASH_AT": point}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)


def in_child(action: Callable[[], Any], point: str = "") -> Outcome:
    """Do something in a forked child, killed at `point` (`name` or `name:passage`) when the child gets there.

    Raises:
        AssertionError: the child raised; its traceback is the message.
    """
    with tempfile.TemporaryFile() as answer:
        child = os.fork()
        if child == 0:
            _be_the_child(action, point, answer.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == -signal.SIGKILL:
            return Outcome(killed=True)
        answer.seek(0)
        said = json.loads(answer.read() or '{"error": "the child died without a word"}')
    if "error" in said:
        raise AssertionError(f"at {point or 'no point'}: {said['error']}")
    return Outcome(killed=False, value=said["value"])


def passages(kill: Callable[[str], bool], point: str) -> int:
    """Kill at the first, second, ... passage of a point until the work gets by without one; return how many kills."""
    count = 0
    while kill(f"{point}:{count + 1}"):
        count += 1
    return count


def _be_the_child(action: Callable[[], Any], point: str, answer: int) -> None:
    from homeostat.core import crash_points

    try:
        crash_points.crash_at(point)
        said = {"value": action()}
    except BaseException:  # noqa: BLE001 - whatever it was, the parent must hear of it
        said = {"error": traceback.format_exc()}
    os.write(answer, json.dumps(said).encode())
    os._exit(0)


if __name__ == "__main__":
    scenario = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    print(json.dumps(scenario(*sys.argv[3:])))
