"""The server as the engine sees it: a child that is kept alive, asked what it routes, and read for its counts."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.monitor import ServiceCounts
from homeostat.cd.serve import RoutingStatus, read_endpoint
from homeostat.cd.serve.listen import TOKEN_VARIABLE, listen
from homeostat.cd.serve.settings import operating_settings
from homeostat.core.claims import is_running
from homeostat.core.clock import pause, stopwatch
from homeostat.core.errors import StoreError
from homeostat.engine.live.children import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from homeostat.cd.serve import Endpoint
    from homeostat.core.store import Store
    from homeostat.loop import Loop

_START_SECONDS = 600.0
"""A model may take minutes to load; a process that ends is noticed at once."""
_LEAVE_SECONDS = 12.0
_END_SECONDS = 25.0
"""Requests in flight, shadows and logs of all workers have to fit in here."""

_POLL_SECONDS = 0.1
_ASK_SECONDS = 5.0
_BY_VERSION = ("predictions", "invalid_predictions", "fallbacks")


class ServerChild:
    """The data plane of one loop."""

    def __init__(self, store: Store, loop: Loop, *, host: str, port: int, played: bool, workers: int = 1) -> None:
        self._store, self._loop = store, loop
        self._host, self._port = host, port
        arguments = ["--store", str(store.path), "--loop-file", str(loop.file), "--host", host, "--port", str(port)]
        arguments += ["--played"] if played else []
        arguments += ["--workers", str(workers)] if workers > 1 else []
        log = store.path / "logs" / f"{loop.name}-server.log"
        self._child = Child("server", "homeostat.engine.live.server_process", arguments, log)
        self._before: dict[tuple[str, int], float] = {}
        self._buckets = Counter[float]()

    @property
    def url(self) -> str | None:
        """Where it answers, while it runs."""
        endpoint = self._endpoint
        return None if endpoint is None else endpoint.url

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._child.pid

    @property
    def _endpoint(self) -> Endpoint | None:
        endpoint = read_endpoint(self._store.path, self._loop.name)
        return endpoint if endpoint is not None and endpoint.pid == self._child.pid else None

    def check(self) -> None:
        """Look whether it could listen there, before anything else is done.

        Raises:
            RefusedError: the address may not be served at without a token.
            StoreError: the address cannot be had.
        """
        begin = stopwatch()
        while True:
            try:
                listen(self._host, self._port).close()
            except StoreError:
                # The server of an engine that was killed leaves within moments.
                if not self._is_leaving() or stopwatch() - begin > _LEAVE_SECONDS:
                    raise
                pause(_POLL_SECONDS)
            else:
                return

    def _is_leaving(self) -> bool:
        endpoint = read_endpoint(self._store.path, self._loop.name)
        return endpoint is not None and endpoint.port == self._port and is_running(endpoint.pid)

    def keep(self) -> None:
        """Start it, or start it again when it died; returns when it answers."""
        if self._child.revive():
            self._before, self._buckets = {}, Counter()
            self._child.wait_for(lambda: self.url is not None, seconds=_START_SECONDS)

    def routing(self) -> RoutingStatus | None:
        """The division of traffic that it answers with, and what keeps it from a newer one; None when it is silent."""
        body = self._ask("/routing")
        return msgspec.json.decode(body, type=RoutingStatus) if body is not None else None

    def counts(self) -> ServiceCounts | None:
        """What it counted since the last call; None when it does not answer."""
        body = self._ask("/metrics")
        if body is None:
            return None
        from prometheus_client.parser import text_string_to_metric_families

        families = {family.name: family for family in text_string_to_metric_families(body.decode())}
        now = {
            (sample.labels["route"], int(sample.labels["status"])): sample.value
            for sample in families["homeostat_requests"].samples
            if sample.name.endswith("_total") and sample.labels["model"] == self._loop.name
        }
        new = {key: value - self._before.get(key, 0.0) for key, value in now.items()}
        by_version = {
            (name, version): count
            for name in _BY_VERSION
            for version, count in _by_version(families, name, self._loop.name).items()
        }
        rows, invalid = answered_rows({key: count - self._before.get(key, 0.0) for key, count in by_version.items()})
        self._before = now | by_version
        return ServiceCounts(
            requests=int(sum(new.values())),
            errors=int(sum(count for (_, status), count in new.items() if status >= 500)),
            refused=int(sum(count for (_, status), count in new.items() if status == 400)),
            rows=int(rows),
            invalid=int(invalid),
            latency=self._latency(families["homeostat_request_seconds"].samples),
            answers=answers_of(families["homeostat_answer_seconds"].samples, self._loop.name),
        )

    def _latency(self, samples: Iterable[Any]) -> float | None:
        """Upper bound of the 99th percentile in seconds since the last call, from the histogram's buckets."""
        now = Counter[float]()
        for one in samples:
            if one.name.endswith("_bucket") and one.labels["model"] == self._loop.name:
                now[float(one.labels["le"])] += int(one.value)
        new = {bound: count - self._buckets[bound] for bound, count in now.items()}
        self._buckets = now
        total = max(new.values(), default=0)
        return min((bound for bound, count in new.items() if count >= 0.99 * total), default=None) if total else None

    def stop(self) -> None:
        """Let it drain and end."""
        self._child.signal(signal.SIGTERM)
        self._child.await_end(operating_settings().drain_seconds + _END_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        self._child.stop()

    def _ask(self, path: str) -> bytes | None:
        endpoint = self._endpoint
        if endpoint is None:
            return None
        token = os.environ.get(TOKEN_VARIABLE)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(_near(endpoint) + path, headers=headers)  # noqa: S310 - our own server
        try:
            with _direct.open(request, timeout=_ASK_SECONDS) as reply:
                body: bytes = reply.read()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return None
        return body


# What is asked of a server beside us, and the token with it, goes through no proxy.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answered_rows(new: Mapping[tuple[str, int], float]) -> tuple[float, float]:
    """Rows that were answered or should have been, and how many of them nobody answered.

    Args:
        new: By counter (`predictions`, `invalid_predictions` or `fallbacks`) and version: its growth.

    Example:
        >>> answered_rows({("predictions", 1): 10.0, ("invalid_predictions", 2): 4.0, ("fallbacks", 2): 4.0})
        (10.0, 0.0)
    """
    answered = sum(count for (name, _), count in new.items() if name == "predictions")
    failed = {version: count for (name, version), count in new.items() if name == "invalid_predictions"}
    invalid = sum(max(0.0, count - new.get(("fallbacks", version), 0.0)) for version, count in failed.items())
    return answered + invalid, invalid


def answers_of(samples: Iterable[Any], model: str) -> dict[int, dict[float, int]]:
    """By version, the answers of one model in each bucket of its histogram: upper bound in seconds to their number."""
    reached: dict[int, dict[float, int]] = {}
    for one in samples:
        if one.name.endswith("_bucket") and one.labels["model"] == model:
            reached.setdefault(int(one.labels["version"]), {})[float(one.labels["le"])] = int(one.value)
    found = {}
    for version, up_to in reached.items():
        bounds = sorted(up_to)
        below = [0, *(up_to[bound] for bound in bounds[:-1])]
        found[version] = {bound: up_to[bound] - less for bound, less in zip(bounds, below, strict=True)}
    return found


def _by_version(families: Mapping[str, Any], name: str, model: str) -> dict[int, float]:
    samples = [one for one in families[f"homeostat_{name}"].samples if one.labels.get("model") == model]
    return {int(one.labels["version"]): one.value for one in samples if one.name.endswith("_total")}


def _near(endpoint: Endpoint) -> str:
    """Where this machine reaches the server: one that listens at every address is asked at loopback."""
    try:
        address = ip_address(endpoint.host)
    except ValueError:
        return endpoint.url
    if not address.is_unspecified:
        return endpoint.url
    return f"http://{'127.0.0.1' if address.version == 4 else '[::1]'}:{endpoint.port}"
