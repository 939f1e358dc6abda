"""What the operating system and the interpreter say about this process."""

from __future__ import annotations

import functools
import platform
from typing import TYPE_CHECKING

from homeostat.cd.serve.telemetry.families import BY_NAME, Snapshot
from homeostat.core.version import VERSION


def process_snapshot() -> Snapshot:
    """Its numbers now."""
    found: Snapshot = {name: [(labels, [1])] for name, labels in _facts().items()}
    for metric in _process_collector().collect():
        name = metric.name.removesuffix("_total")
        if name in BY_NAME:
            found[name] = [((), [sample.value for sample in metric.samples])]
    return found


@functools.cache
def _facts() -> dict[str, tuple[str, ...]]:
    python = (platform.python_implementation(), *platform.python_version_tuple(), platform.python_version())
    return {"homeostat_build": (VERSION,), "python": python}


@functools.cache
def _process_collector() -> _Collector:
    from prometheus_client import ProcessCollector

    return ProcessCollector(registry=None)


if TYPE_CHECKING:
    from prometheus_client import ProcessCollector as _Collector
