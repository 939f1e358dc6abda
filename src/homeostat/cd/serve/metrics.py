"""Counters of the server, in plain integers on the hot path and in Prometheus' format when somebody looks."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

from homeostat.core.clock import stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from homeostat.cd.log import LogStats
    from homeostat.cd.serve.follower import OtherStats
    from homeostat.cd.serve.routing import RoutingStatus

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the latency histogram in seconds."""


class Metrics:
    """What happened since the start; written by the event loop only."""

    def __init__(self) -> None:
        self.started = stopwatch()
        self.requests: dict[tuple[str, int], int] = defaultdict(int)
        """By route and status."""
        self.rows: dict[int, int] = defaultdict(int)
        """Rows answered, by version."""
        self.fallbacks: dict[int, int] = defaultdict(int)
        """Rows that the champion answered because their arm raised, by that arm."""
        self.invalid: dict[int, int] = defaultdict(int)
        """Rows for which a version gave no finite number, or raised."""
        self.labels = 0
        self._latency: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._seconds: dict[str, float] = defaultdict(float)

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self.requests[route, status] += 1
        self._latency[route][bisect_left(BUCKETS, seconds)] += 1
        self._seconds[route] += seconds

    def collect(
        self, loop: str, log: LogStats, routing: RoutingStatus, others: dict[int, OtherStats], *, ready: bool
    ) -> Iterable[Metric]:
        """Everything as Prometheus metrics."""
        yield from self._traffic()
        yield from _log(log)
        yield from _routing(loop, routing)
        yield from _others(others)
        yield _gauge("homeostat_ready", "Whether the server answers predictions", float(ready))
        yield _gauge("homeostat_uptime_seconds", "Seconds since the start", stopwatch() - self.started)

    def _traffic(self) -> Iterable[Metric]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily("homeostat_requests", "Requests by route and status", labels=["route", "status"])
        for (route, status), count in sorted(self.requests.items()):
            requests.add_metric([route, str(status)], count)
        yield requests
        latency = HistogramMetricFamily("homeostat_request_seconds", "Seconds from request to answer", labels=["route"])
        for route, counts in sorted(self._latency.items()):
            total, buckets = 0, []
            for bound, count in zip([*map(str, BUCKETS), "+Inf"], counts, strict=True):
                total += count
                buckets.append((bound, total))
            latency.add_metric([route], buckets, self._seconds[route])
        yield latency
        yield _by_version("homeostat_predictions", "Rows answered, by version", self.rows)
        yield _by_version("homeostat_fallbacks", "Rows that the champion answered for a failing arm", self.fallbacks)
        yield _by_version("homeostat_invalid_predictions", "Rows that a version had no answer for", self.invalid)
        labels = CounterMetricFamily("homeostat_labels", "Labels received")
        labels.add_metric([], self.labels)
        yield labels


def render(metrics: Iterable[Metric]) -> bytes:
    """Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    class _Once:
        def collect(self) -> Iterable[Metric]:
            return metrics

    registry = CollectorRegistry(auto_describe=False)
    found = list(metrics)
    metrics = found
    registry.register(_Once())
    return generate_latest(registry)


def _log(log: LogStats) -> Iterable[Metric]:
    yield _counter("homeostat_log_records", "Records in the prediction log", log.records)
    yield _counter("homeostat_log_bytes", "Bytes in the prediction log", log.bytes)
    yield _counter("homeostat_log_faults", "Writes and syncs that the disk refused", log.faults)
    yield _counter("homeostat_log_dropped", "Records that a full log did not take, by its policy", log.dropped)
    yield _gauge("homeostat_log_pending", "Records that are not on the disk yet", log.pending)
    yield _gauge("homeostat_log_held_bytes", "Bytes of the whole log folder, of all its writers", log.held)
    yield _gauge("homeostat_log_segments", "Segments begun", log.segments)


def _routing(loop: str, routing: RoutingStatus) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    yield _gauge("homeostat_routing_epoch", "The champion's epoch that is in effect", routing.epoch or 0)
    yield _gauge("homeostat_routing_seq", "Ledger number of the division of traffic in effect", routing.seq or 0)
    yield _gauge(
        "homeostat_routing_error", "Whether the wanted division of traffic was refused", routing.error is not None
    )
    yield _counter("homeostat_routing_swaps", "Routing tables put in effect", routing.swaps)
    yield _counter("homeostat_routing_refusals", "Routing tables refused", routing.refusals)
    arms = GaugeMetricFamily("homeostat_arm_share", "Share of units by arm", labels=["loop", "version", "role"])
    for arm in routing.arms:
        arms.add_metric([loop, str(arm.version), arm.role], arm.share)
    yield arms


def _others(others: dict[int, OtherStats]) -> Iterable[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    for name in ("scored", "dropped", "failed"):
        values = {version: getattr(stats, name) for version, stats in others.items()}
        yield _by_version(f"homeostat_shadow_{name}", f"Rows of arms that did not answer: {name}", values)
    died = {version: stats.restarts for version, stats in others.items()}
    yield _by_version("homeostat_shadow_restarts", "Times that the process that scores for a version died", died)
    waiting = GaugeMetricFamily("homeostat_shadow_waiting", "Rows that wait for a version", labels=["version"])
    for version, stats in sorted(others.items()):
        waiting.add_metric([str(version)], stats.waiting)
    yield waiting


def _by_version(name: str, text: str, values: dict[int, int]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, text, labels=["version"])
    for version, count in sorted(values.items()):
        family.add_metric([str(version)], count)
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, text, value=value)
