"""Kedro and Dagster on the work of `pipeline_steps.py`; run by `pipeline.py` in an environment of their own."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_steps import REAL, empty_steps, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def seconds(action: Callable[[], Any], repeats: int) -> float:
    """The best of some repeats, after one that warms up."""
    action()
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - began)
    return best


def needs_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a function's parameters."""
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def kedro(functions: Sequence[Callable[..., Any]], given: dict[str, Any]) -> Callable[[], Any]:
    """A run of Kedro's sequential runner; everything stays in memory and nothing is recorded."""
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline
    from kedro.runner import SequentialRunner

    nodes = [node(each, list(needs_of(each)) or None, each.__name__, name=f"n_{each.__name__}") for each in functions]
    graph = pipeline(nodes)

    def run() -> Any:
        catalog = DataCatalog({name: MemoryDataset(value) for name, value in given.items()})
        return SequentialRunner().run(graph, catalog)

    return run


def dagster(functions: Sequence[Callable[..., Any]], given: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """A job in one process with Dagster's own durable record (SQLite) and file store."""
    from dagster import DagsterInstance, In, graph, mem_io_manager, op

    def source(name: str, value: Any) -> Any:
        return op(name=name)(lambda: value)

    ops = {name: source(name, value) for name, value in given.items()}
    for each in functions:
        ops[each.__name__] = op(name=each.__name__, ins={need: In() for need in needs_of(each)})(each)

    @graph
    def wired() -> None:
        made = {name: ops[name]() for name in given}
        for each in functions:
            made[each.__name__] = ops[each.__name__](**{need: made[need] for need in needs_of(each)})

    folder.mkdir(exist_ok=True)
    instance = DagsterInstance.local_temp(str(folder))
    job = wired.to_job(resource_defs={"io_manager": mem_io_manager})
    return lambda: job.execute_in_process(instance=instance)


def main(repeats: int) -> dict[str, dict[str, float]]:
    """Seconds by engine and work."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works = {"empty": (empty_steps(folder), {}), "real": (REAL, {"seed": 1})}
        for work, (functions, given) in works.items():
            found.setdefault("plain", {})[work] = seconds(lambda f=functions, g=given: plain(f, g), repeats)
            found.setdefault("kedro", {})[work] = seconds(kedro(functions, given), repeats)
            run = dagster(functions, given, folder / f"dagster-{work}")
            found.setdefault("dagster", {})[work] = seconds(run, max(1, repeats // 3))
    return found


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        answer = main(int(sys.argv[1]))
    print(json.dumps(answer))
