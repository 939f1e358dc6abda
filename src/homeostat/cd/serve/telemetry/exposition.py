"""From numbers by name and labels to what a scraper reads: merged over worker processes, in the format it accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from homeostat.cd.serve.telemetry.families import BUCKETS, BY_NAME, FAMILIES, Family, Snapshot

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_MERGE: dict[str, Callable[[Iterable[float]], float]] = {"sum": sum, "least": min, "most": max}
_UNITS = ("seconds", "bytes")


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot of several processes: what each metric's family says about sums, least and greatest values.

    Example:
        >>> merge([{"homeostat_workers": [((), [1])]}, {"homeostat_workers": [((), [1])]}])
        {'homeostat_workers': [((), [2])]}
    """
    found: dict[str, dict[tuple[str, ...], list[list[float]]]] = {}
    for snapshot in snapshots:
        for name, samples in snapshot.items():
            cells = found.setdefault(name, {})
            for labels, numbers in samples:
                cells.setdefault(tuple(labels), []).append(numbers)
    return {
        name: [(labels, _merged(BY_NAME[name], parts)) for labels, parts in sorted(cells.items())]
        for name, cells in found.items()
    }


def counters(snapshot: Snapshot) -> Snapshot:
    """What of a snapshot outlives its process: all that only grows."""
    return {name: cells for name, cells in snapshot.items() if BY_NAME[name].kind in {"counter", "histogram"}}


def render(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """The exposition, and its content type.

    Args:
        snapshot: What to show.
        accept: The request's Accept header: `application/openmetrics-text` gives OpenMetrics 1.0, all else the text
            format 0.0.4 of Prometheus.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.openmetrics import exposition as openmetrics

    class _Once:
        def collect(self) -> Iterable[Metric]:
            return [_metric(family, snapshot[family.name]) for family in FAMILIES if family.name in snapshot]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once())
    if "application/openmetrics-text" in accept:
        text: bytes = openmetrics.generate_latest(registry, version="1.0.0")  # type: ignore[no-untyped-call]
        return text, "application/openmetrics-text; version=1.0.0; charset=utf-8"
    return generate_latest(registry), "text/plain; version=0.0.4; charset=utf-8"


def _merged(family: Family, parts: Sequence[list[float]]) -> list[float]:
    if len(parts) == 1:
        return parts[0]
    combine = _MERGE[family.merge]
    return [combine(column) for column in zip(*parts, strict=True)]


def _metric(family: Family, cells: Iterable[tuple[tuple[str, ...], list[float]]]) -> Metric:
    from prometheus_client.core import Metric

    unit = next((unit for unit in _UNITS if family.name.endswith(f"_{unit}")), "")
    metric = Metric(family.name, family.text, family.kind, unit)
    for values, numbers in cells:
        labels = dict(zip(family.labels, values, strict=True))
        if family.kind != "histogram":
            metric.add_sample(family.shown, labels, numbers[0])
            continue
        total: float = 0
        for bound, count in zip([*map(str, BUCKETS), "+Inf"], numbers, strict=False):
            total += count
            metric.add_sample(f"{family.name}_bucket", labels | {"le": bound}, total)
        metric.add_sample(f"{family.name}_count", labels, total)
        metric.add_sample(f"{family.name}_sum", labels, numbers[-1])
    return metric
