"""One model of a server: which versions answer, where answers are recorded, and how a protocol asks it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from homeostat.cd.serve.http import access
from homeostat.cd.serve.http.replies import Reply, failure
from homeostat.cd.serve.scoring.dispatch import Answer, Dispatcher, NotReadyError, Pending
from homeostat.core.clock import Clock, stopwatch
from homeostat.core.errors import ENDINGS, DataError, NotFoundError
from homeostat.core.text.read_json import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from homeostat.cd.log import LogWriter
    from homeostat.cd.serve.protocols import Protocol
    from homeostat.cd.serve.routing import Division, Router
    from homeostat.cd.serve.rows import Rows
    from homeostat.cd.serve.shadow.supervisor import ShadowSupervisor
    from homeostat.cd.serve.telemetry.counters import ModelCounts

    Done = Callable[[Reply], None]


class ServedModel:
    """A model that a server answers for. With `header_clock`, requests may say what time it is."""

    def __init__(
        self,
        name: str,
        router: Router,
        log: LogWriter,
        shadows: ShadowSupervisor,
        counts: ModelCounts,
        clock: Clock,
        *,
        header_clock: bool = False,
        most_rows: int = 100_000,
    ) -> None:
        self.name, self.router, self.log, self.shadows, self.clock = name, router, log, shadows, clock
        self.header_clock, self.most_rows = header_clock, most_rows
        self.counts = counts
        self.dispatcher = Dispatcher(log, counts)

    @property
    def ready(self) -> bool:
        """Whether a version is in effect, and the log takes what it answers and keeps it."""
        return self.router.table is not None and self.log.stats().good

    def table(self) -> Division:
        """The division of traffic in effect."""
        table = self.router.table
        if table is None:
            reason = self.router.status().error or "no version has been promoted yet"
            raise NotReadyError(
                f"there is no model to answer: {reason}", hint="`homeostat run` trains and promotes one"
            )
        return table

    def now(self, headers: dict[bytes, bytes]) -> Any:
        """The time of a request."""
        if self.header_clock and (said := access.moment(headers)) is not None:
            return said
        return self.clock.now()


def named(models: Mapping[str, ServedModel], name: str) -> ServedModel:
    """The model of that name."""
    found = models.get(name)
    if found is None:
        there = ", ".join(sorted(models)[:20])
        raise NotFoundError(f"there is no model {name[:100]!r}", hint=f"this server serves {there}")
    return found


class ServedProtocol:
    """A way of asking one model: from a request's body to its reply.

    Without a version, whichever arm a row belongs to answers it.
    """

    def __init__(self, protocol: Protocol, model: ServedModel, version: int | None = None) -> None:
        self.protocol, self.model, self.version = protocol, model, version
        self.route = protocol.route

    def answer(self, body: bytes, headers: dict[bytes, bytes], done: Done) -> None:
        """Answer a request: `done` is told the reply, now or later, exactly once, whatever goes wrong."""
        model, request = self.model, ""
        try:
            table = model.table()
            rows = self.decode(table, body, headers)
            if not rows.count:
                raise DataError("the request has no rows", hint="send at least one")
            if rows.count > model.most_rows:
                what = f"the request has {rows.count:,} rows and this server takes {model.most_rows:,}"
                raise TooLargeError(what, hint="send several requests, or use `homeostat infer` for tables")
            request = rows.request or ""
            said = access.patience(headers) if b"homeostat-deadline" in headers else rows.patience
            deadline = math.inf if said is None else stopwatch() + said
            asked = Pending(table, rows, model.now(headers), self, done, deadline, self.version)
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - every failure is an answer
            done(self.failure(error, request))
        else:
            model.dispatcher.take(asked)

    def decode(self, table: Division, body: bytes, headers: dict[bytes, bytes]) -> Rows:
        """The rows of a body."""
        return table.champion.compiled[self.protocol].decode(body, headers)

    def encode(self, asked: Pending, answer: Answer) -> Reply:
        """The reply that is the answer."""
        name = self.model.name
        reply = asked.table.champion.compiled[self.protocol].encode(name, answer, asked.rows.wanted)
        reply.route, reply.model, reply.request = self.route, name, answer.request
        return reply

    def failure(self, error: BaseException, request: str) -> Reply:
        """The reply that is an error."""
        reply = failure(error, self.route, request)
        reply.model = self.model.name
        return reply
