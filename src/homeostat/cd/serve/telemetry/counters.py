"""Counters of the server: plain integers on the hot path, and a snapshot of them when somebody looks."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.serve.telemetry.families import BUCKETS, Snapshot
from homeostat.core.clock import stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from homeostat.cd.log import LogStats
    from homeostat.cd.serve.routing import RoutingStatus
    from homeostat.cd.serve.shadow.follower import ShadowStats


class ModelCounts:
    """What happened to one model since the start; written by the event loop only.

    Attributes:
        fallbacks: Rows that the champion answered because their arm raised, by that arm.
        invalid: Rows for which a version gave no finite number, or raised.
        took: While units are divided, by version: requests that it answered whole in each bucket of the histogram, and
            behind them their seconds.
    """

    def __init__(self) -> None:
        self.rows: dict[int, int] = defaultdict(int)
        self.fallbacks: dict[int, int] = defaultdict(int)
        self.invalid: dict[int, int] = defaultdict(int)
        self.labels = 0
        self.took: dict[int, list[float]] = defaultdict(lambda: [0] * (len(BUCKETS) + 2))

    def answered(self, version: int, seconds: float) -> None:
        """One of several arms answered a whole request, in that time."""
        cell = self.took[version]
        cell[bisect_left(BUCKETS, seconds)] += 1
        cell[-1] += seconds


class ModelState(msgspec.Struct, frozen=True):
    """What a model's parts say about themselves at a scrape."""

    name: str
    log: LogStats
    routing: RoutingStatus
    shadows: dict[int, ShadowStats]


class Metrics:
    """What happened since the start; written by the event loop only.

    Example:
        >>> metrics = Metrics()
        >>> metrics.count("/predict", 200, 0.0007, "flights")
        >>> metrics.model("flights").rows[3] += 1
    """

    def __init__(self) -> None:
        self.started = stopwatch()
        self._requests: dict[tuple[str, str, int], list[float]] = defaultdict(lambda: [0] * (len(BUCKETS) + 2))
        """By model, route and status: requests in each bucket of the histogram, and behind them their seconds."""
        self._models: dict[str, ModelCounts] = {}

    def count(self, route: str, status: int, seconds: float, model: str = "") -> None:
        """One request was answered, in that time; by a model, or by the server itself."""
        cell = self._requests[model, route, status]
        cell[bisect_left(BUCKETS, seconds)] += 1
        cell[-1] += seconds

    def model(self, name: str) -> ModelCounts:
        """The counts of one model; keep it, it stays the same."""
        found = self._models.get(name)
        if found is None:
            found = self._models[name] = ModelCounts()
        return found

    def snapshot(self, models: Iterable[ModelState], *, live: bool, ready: bool) -> Snapshot:
        """Every number of this process, by metric and labels."""
        from homeostat.cd.serve.telemetry.host import process_snapshot

        # One C call copies a dictionary's items, so another thread than the loop's may look too.
        found = _requests(list(self._requests.items()))
        for name, counts in list(self._models.items()):
            found.setdefault("homeostat_labels", []).append(((name,), [counts.labels]))
            versions = {"predictions": counts.rows, "fallbacks": counts.fallbacks}
            took = [((name, str(version)), list(cell)) for version, cell in sorted(counts.took.items())]
            found.setdefault("homeostat_answer_seconds", []).extend(took)
            for short, by_version in (versions | {"invalid_predictions": counts.invalid}).items():
                found.setdefault(f"homeostat_{short}", []).extend(_by_version(name, by_version))
        for state in models:
            for metric, sample in _state(state):
                found.setdefault(metric, []).append(sample)
        found["homeostat_live"] = [((), [float(live)])]
        found["homeostat_ready"] = [((), [float(ready)])]
        found["homeostat_workers"] = [((), [1])]
        found["homeostat_uptime_seconds"] = [((), [stopwatch() - self.started])]
        return found | process_snapshot()


_Sample = tuple[tuple[str, ...], list[float]]


def _requests(cells: list[tuple[tuple[str, str, int], list[float]]]) -> Snapshot:
    """The counter by status, and the histogram over all of them."""
    counter: list[_Sample] = []
    latency: dict[tuple[str, str], list[float]] = {}
    for (model, route, status), cell in sorted(cells):
        counter.append(((model, route, str(status)), [sum(cell[:-1])]))
        before = latency.get((model, route))
        latency[model, route] = list(cell) if before is None else list(map(sum, zip(before, cell, strict=True)))
    return {"homeostat_requests": counter, "homeostat_request_seconds": list(latency.items())}


def _by_version(model: str, counts: dict[int, int]) -> list[_Sample]:
    return [((model, str(version)), [count]) for version, count in sorted(counts.items())]


def _state(state: ModelState) -> Iterable[tuple[str, _Sample]]:
    name, log, routing = state.name, state.log, state.routing
    by_model = {
        "log_records": log.records,
        "log_bytes": log.bytes,
        "log_faults": log.faults,
        "log_dropped": log.dropped,
        "log_damages": log.damages,
        "log_segments": log.segments,
        "log_pending": log.pending,
        "log_held_bytes": log.held,
        "routing_swaps": routing.swaps,
        "routing_refusals": routing.refusals,
        "routing_epoch": routing.epoch or 0,
        "routing_seq": routing.seq or 0,
        "routing_error": routing.error is not None,
    }
    for short, value in by_model.items():
        yield f"homeostat_{short}", ((name,), [float(value)])
    for arm in routing.arms:
        yield "homeostat_arm_share", ((name, str(arm.version), arm.role), [arm.share])
    for version, stats in sorted(state.shadows.items()):
        for short in ("scored", "dropped", "failed", "restarts", "waiting"):
            yield f"homeostat_shadow_{short}", ((name, str(version)), [getattr(stats, short)])
