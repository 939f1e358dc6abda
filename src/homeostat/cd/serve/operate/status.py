"""What the server says about itself: numbers, health and routing, of this process or of all workers at its port."""

from __future__ import annotations

import os
from functools import partial
from logging import ERROR
from typing import TYPE_CHECKING, Any

from homeostat.cd.serve.operate import workers
from homeostat.cd.serve.operate.health import HealthTarget, Liveness
from homeostat.cd.serve.operate.workers import Siblings, WorkerState
from homeostat.cd.serve.settings import OperatingSettings
from homeostat.cd.serve.telemetry.counters import Metrics, ModelState
from homeostat.cd.serve.telemetry.exposition import render
from homeostat.cd.serve.telemetry.request_log import RequestLog, tell
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from homeostat.cd.serve.http.replies import Reply
    from homeostat.cd.serve.model import ServedModel
    from homeostat.cd.serve.routing import RoutingStatus


_PROBES = frozenset({"/health", "/v2/health/live", "/v2/health/ready", "/v2/model/ready"})
"""Asked all the time; what makes them say no is told of where it happens."""


class Operations:
    """One server process, seen from outside."""

    def __init__(
        self,
        models: Callable[[], Iterable[ServedModel]],
        metrics: Metrics,
        *,
        siblings: Siblings | None = None,
        operating: OperatingSettings = OperatingSettings(),  # noqa: B008 - frozen
    ) -> None:
        self._models, self._siblings = models, siblings
        self.metrics = metrics
        self.draining = False
        self.liveness = Liveness(self._targets, hang_seconds=operating.hang_seconds)
        self.requests = RequestLog(slow_seconds=operating.slow_seconds, sample=operating.log_sample)

    def answered(self, reply: Reply, seconds: float) -> None:
        """Count a request that was answered, and tell of it if it should be told of; never an exception."""
        try:
            self.metrics.count(reply.route, reply.status, seconds, reply.model)
            if self.requests.wants(reply.status, seconds) and reply.route not in _PROBES:
                told = {"model": reply.model or None, "request": reply.request or None, "trace": reply.trace or None}
                why = reply.traceback or None
                self.requests.tell(reply.status, seconds, route=reply.route, **told, traceback=why)
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - the request was answered all the same
            tell("a request was not counted", level=ERROR, error=error)

    @property
    def live(self) -> bool:
        """Whether this process can still answer."""
        return not self.liveness.problems()

    @property
    def ready(self) -> bool:
        """Whether this process answers predictions."""
        models = list(self._models())
        fails = self.liveness.problems() or self.liveness.failures()
        return not self.draining and bool(models) and not fails and all(one.ready for one in models)

    def problems(self) -> list[str]:
        """Everything that keeps this process from answering as it should, in words."""
        found = self.liveness.problems() or self.liveness.failures()
        for one in self._models():
            found += [f"model {one.name!r}: {problem}" for problem in _problems(one)]
        return found

    def health(self) -> dict[str, Any]:
        """`live`, `ready`, `draining` and `problems` of all workers together."""
        if self._siblings is None:
            live, ready, problems = self.live, self.ready, self.problems()
        else:
            live, ready, problems = workers.together(self._workers(self._siblings))
        return {"live": live, "ready": ready and not self.draining, "draining": self.draining, "problems": problems}

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """`/metrics` and its content type."""
        if self._siblings is None:
            return render(self._snapshot(), accept)
        return render(workers.snapshot(self._workers(self._siblings)), accept)

    def routing(self, model: ServedModel) -> RoutingStatus:
        """The division of traffic that every worker has put in effect."""
        own = model.router.status()
        if self._siblings is None:
            return own
        return workers.routing(self._workers(self._siblings), model.name) or own

    def publish(self) -> None:
        """Tell the other workers; a process that is alone has nobody to tell."""
        if self._siblings is not None:
            self._siblings.publish(partial(self._state, self._siblings))

    def _workers(self, siblings: Siblings) -> list[WorkerState]:
        return siblings.all(siblings.publish(partial(self._state, siblings)))

    def _state(self, siblings: Siblings) -> WorkerState:
        return WorkerState(
            place=siblings.place,
            pid=os.getpid(),
            written=stopwatch(),
            live=self.live,
            ready=self.ready,
            draining=self.draining,
            problems=self.problems(),
            hung=self.liveness.hung(),
            routing={one.name: one.router.status() for one in self._models()},
            counts=self._snapshot(),
        )

    def _snapshot(self) -> dict[str, Any]:
        states = [
            ModelState(one.name, one.log.stats(), one.router.status(), one.shadows.stats) for one in self._models()
        ]
        return self.metrics.snapshot(states, live=self.live, ready=self.ready)

    def _targets(self) -> Iterable[HealthTarget]:
        for one in self._models():
            if (table := one.router.table) is not None:
                champion = table.champion
                batchers = one.dispatcher.batchers(champion)
                yield HealthTarget(
                    one.name,
                    champion.version,
                    champion.seconds,
                    one.counts.rows[champion.version],
                    sum(batcher.calls for batcher in batchers),
                    any(batcher.waits for batcher in batchers),
                    max((batcher.in_hand for batcher in batchers), default=0.0),
                    partial(one.dispatcher.probe, champion),
                )


def _problems(model: ServedModel) -> list[str]:
    """What is wrong with a model, also what its callers do not notice: a challenger that was refused."""
    status = model.router.status()
    none = "no version has been promoted yet" if status.seq is None else None
    log = model.log.stats()
    return [problem for problem in (status.error or none, log.fault, log.damage) if problem]
