"""The server as a bare ASGI application: from a request's path to whoever answers it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

import msgspec

from homeostat.cd.deploy import verdict_api
from homeostat.cd.labels.request import decode_labels
from homeostat.cd.log import LabelRecord
from homeostat.cd.serve.errors import MethodError
from homeostat.cd.serve.http import compression
from homeostat.cd.serve.http.access import Access
from homeostat.cd.serve.http.replies import Reply, failure, json_reply
from homeostat.cd.serve.http.request import Request
from homeostat.cd.serve.model import ServedModel, ServedProtocol, named
from homeostat.cd.serve.operate.status import Operations
from homeostat.cd.serve.protocols import PROTOCOLS, route_of
from homeostat.cd.serve.protocols.repository import Repository, numbered
from homeostat.cd.serve.settings import OperatingSettings, Settings
from homeostat.core.clock import Clock, stopwatch
from homeostat.core.errors import ENDINGS, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from homeostat.cd.serve.http.request import Receive
    from homeostat.cd.serve.operate.tracing import Tracing
    from homeostat.cd.serve.operate.workers import Siblings
    from homeostat.cd.serve.protocols import Protocol
    from homeostat.cd.serve.telemetry.counters import Metrics

    Scope = dict[str, Any]
    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Handler = Callable[[Request], Awaitable[Reply]]

_LAST = (b"connection", b"close")


class Around(msgspec.Struct, frozen=True):
    """What surrounds a server.

    Attributes:
        siblings: The other server processes at the port; None when there are none.
        tracing: Where spans go; None when nobody wants them.
    """

    siblings: Siblings | None = None
    operating: OperatingSettings = OperatingSettings()
    tracing: Tracing | None = None


class Application:
    """The ASGI application.

    The first of the models, or the one that `settings` names, is also behind the routes that name none.
    """

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, ServedModel],
        metrics: Metrics,
        clock: Clock,
        around: Around = Around(),  # noqa: B008 - frozen
        protocols: Sequence[Protocol] = PROTOCOLS,
    ) -> None:
        self.settings, self.models, self.clock, self.protocols = settings, dict(models), clock, tuple(protocols)
        self.operations = Operations(self.models.values, metrics, siblings=around.siblings, operating=around.operating)
        self._tracing = around.tracing
        self.model: ServedModel = self.models.get(settings.name) or next(iter(self.models.values()))
        """The one behind the routes that name none."""
        self.access = Access(settings.host, settings.token)
        self.targets: dict[bytes, ServedProtocol] = self._find_targets()
        """What answers predictions, by the bytes of a request's target."""
        self._repository = Repository(self.models, self.model, self.protocols, settings, self.operations)
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", "/labels"): self._labels,
            ("GET", "/health"): self._health,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/routing"): self._routing,
            ("GET", "/judge"): self._judge,
            ("POST", "/judge"): self._judge,
            ("POST", "/judge/gate"): self._judge,
            ("GET", "/v2/health/live"): self._probe,
            ("GET", "/v2/health/ready"): self._probe,
            **self._repository.routes(),
        }

    @property
    def ready(self) -> bool:
        """Whether predictions of every model are answered."""
        return self.operations.ready

    def target(self, path: str) -> ServedProtocol | None:
        """What answers predictions that are asked for at a path, or None for any other path.

        Raises:
            NotFoundError: It would be a model or a version that is not there.
        """
        found = self.targets.get(path.encode())
        if found is not None:
            return found
        for protocol in self.protocols:
            said = protocol.match(path)
            if said is not None:
                model = named(self.models, unquote(said["name"])) if "name" in said else self.model
                version = numbered(model.name, model.table(), said["version"]) if "version" in said else None
                return self._served(protocol, model, version)
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        start = stopwatch()
        path = scope["path"]
        try:
            reply = await self._reply(scope, path, receive)
        except (*ENDINGS, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - every failure is an answer, never a closed connection
            reply = failure(error, route_of(self.protocols, path))
        headers = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
        # Other servers than ours take what follows an upgrade, which may be a body, for the next request.
        if self.operations.draining or any(name == b"upgrade" for name, _ in scope["headers"]):
            headers.append(_LAST)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
        self.operations.answered(reply, stopwatch() - start)

    async def _reply(self, scope: Scope, path: str, receive: Receive) -> Reply:
        raw, server = scope["headers"], scope.get("server") or (None, None)
        headers = self.access.enter(raw, scope.get("http_version", "1.1"), server[1])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        request = Request(method, path, raw, headers, receive, self.settings, scope.get("query_string", b""))
        target = self.target(path)
        reply = await (self._route(request) if target is None else self._predicted(request, target))
        if b"accept-encoding" in headers and len(reply.body) > compression.SMALLEST:
            return compression.compressed(reply, raw)
        return reply

    async def _predicted(self, request: Request, target: ServedProtocol) -> Reply:
        if request.method != "POST":
            raise MethodError(request.path, "POST")
        body = await request.body()
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        target.answer(body, request.headers, lambda reply: None if answered.done() else answered.set_result(reply))
        return await answered

    async def _route(self, request: Request) -> Reply:
        handler = self.routes.get((request.method, request.path)) or self._repository.route(request.path)
        if handler is not None:
            return await handler(request)
        allowed = sorted({method for method, path in self.routes if path == request.path})
        if allowed:
            raise MethodError(request.path, *allowed)
        asked = [protocol.paths[0] for protocol in self.protocols]
        hint = f"see /v2, {', '.join(asked)}, /labels, /health, /metrics"
        raise NotFoundError(f"there is no {request.path[:200]!r}", hint=hint)

    def _served(self, protocol: Protocol, model: ServedModel, version: int | None = None) -> ServedProtocol:
        served = ServedProtocol(protocol, model, version)
        return served if self._tracing is None else self._tracing.traced(served)

    def _find_targets(self) -> dict[bytes, ServedProtocol]:
        found: dict[bytes, ServedProtocol] = {}
        for protocol in self.protocols:
            for path in protocol.paths:
                if "{name}" not in path:
                    found[path.encode()] = self._served(protocol, self.model)
                elif "{version}" not in path:
                    each = self.models.items()
                    found |= {path.replace("{name}", name).encode(): self._served(protocol, one) for name, one in each}
        return found

    async def _labels(self, request: Request) -> Reply:
        model = self.model
        signature = model.table().champion.signature
        now = model.now(request.headers)
        items = decode_labels(await request.body(), signature, now)
        if items:
            model.log.append(LabelRecord(now, items))
        model.counts.labels += len(items)
        return json_reply(200, {"accepted": len(items)}, "/labels")

    async def _probe(self, request: Request) -> Reply:
        """The body of the protocol when all is well, and the reasons when not."""
        what, health = request.path.rpartition("/")[2], self.operations.health()
        told = {what: True} if health[what] else {what: False, "problems": health["problems"]}
        return json_reply(200 if health[what] else 503, told, request.path)

    async def _health(self, _: Request) -> Reply:
        health = self.operations.health()
        more = {"routing": self.operations.routing(self.model), "log": self.model.log.stats()}
        return json_reply(200 if health["ready"] else 503, health | more, "/health")

    async def _routing(self, _: Request) -> Reply:
        return json_reply(200, self.operations.routing(self.model), "/routing")

    async def _judge(self, request: Request) -> Reply:
        name = parse_qs(request.query.decode("latin-1")).get("model")
        model = self.model if name is None else named(self.models, name[0])
        body = await request.body() if request.method == "POST" else None
        # A question of a hundred thousand rows takes a while, and predictions do not wait for it.
        status, said = await asyncio.to_thread(
            verdict_api.respond, model.router.ledger, model.name, body, gated=request.path.endswith("/gate")
        )
        return json_reply(status, said, request.path)

    async def _metrics(self, request: Request) -> Reply:
        text, content_type = self.operations.exposition(request.headers.get(b"accept", b"").decode("latin-1"))
        return Reply(200, text, "/metrics", content_type.encode())
