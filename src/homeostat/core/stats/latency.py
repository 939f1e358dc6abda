"""How fast something answered: counts, rate and percentiles of a short load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """What a closed loop of connections saw, each sending its next request when the last was answered.

    Attributes:
        requests: Answered with success.
        errors: Answered otherwise, or not at all.
        connections: Requests on their way at a time.
        p50, p95, p99: Seconds from sending a request to its answer; None without any.
    """

    requests: int
    errors: int
    seconds: float
    connections: int
    qps: float
    p50: float | None
    p95: float | None
    p99: float | None
    error: str | None = None

    @classmethod
    def of(
        cls, times: Sequence[float], *, seconds: float, connections: int, errors: int = 0, error: str | None = None
    ) -> Latency:
        """From the time of each successful answer, in seconds.

        Example:
            >>> Latency.of([0.001] * 99 + [0.2], seconds=2.0, connections=4).p50
            0.001
        """
        ordered = sorted(times)

        def at(share: float) -> float | None:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

        rate = len(ordered) / seconds if seconds > 0 else 0.0
        return cls(
            requests=len(ordered),
            errors=errors,
            seconds=round(seconds, 3),
            connections=connections,
            qps=round(rate, 1),
            p50=at(0.5),
            p95=at(0.95),
            p99=at(0.99),
            error=error,
        )

    @classmethod
    def best(cls, rounds: Sequence[Latency]) -> Latency:
        """Several short loads as one: all requests and errors, and of each percentile the least disturbed round's."""

        def least(name: str) -> float | None:
            return min((value for one in rounds if (value := getattr(one, name)) is not None), default=None)

        return cls(
            requests=sum(one.requests for one in rounds),
            errors=sum(one.errors for one in rounds),
            seconds=round(sum(one.seconds for one in rounds), 3),
            connections=max((one.connections for one in rounds), default=0),
            qps=max((one.qps for one in rounds), default=0.0),
            p50=least("p50"),
            p95=least("p95"),
            p99=least("p99"),
            error=next((one.error for one in rounds if one.error is not None), None),
        )

    @classmethod
    def recorded(cls, numbers: Mapping[str, Any]) -> Latency | None:
        """Back from `numbers`; None when they hold no times."""
        times = {name: numbers.get(f"{name}_ms") for name in ("p50", "p95", "p99")}
        seconds = {name: value / 1_000 for name, value in times.items() if value is not None}
        if len(seconds) < len(times):
            return None
        counted = {name: numbers.get(name, 0) for name in ("requests", "errors", "seconds", "connections", "qps")}
        return msgspec.convert(counted | seconds, cls)

    def numbers(self) -> dict[str, float | int | None]:
        """For the ledger: times in milliseconds."""
        shown = {f"{name}_ms": _milliseconds(getattr(self, name)) for name in ("p50", "p95", "p99")}
        counted = {"requests": self.requests, "errors": self.errors, "seconds": self.seconds}
        return {"qps": self.qps, **shown, **counted, "connections": self.connections}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1_000 * seconds, 3)
