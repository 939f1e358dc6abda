"""The server as a bare ASGI application: from a request's path to whoever answers it, and the body in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

import msgspec

from homeostat.cd.deploy import verdict_api
from homeostat.cd.labels.request import decode_labels
from homeostat.cd.log import LabelRecord, WhenFull
from homeostat.cd.serve.http import compression
from homeostat.cd.serve.http.access import Access
from homeostat.cd.serve.http.replies import MethodError, Reply, SlowError, failure, json_reply
from homeostat.cd.serve.model import InferLane, Lane, ServedModel
from homeostat.cd.serve.operate.status import Operations
from homeostat.cd.serve.protocols import PROTOCOLS, openinference, route_of
from homeostat.cd.serve.protocols.repository import EXTENSIONS, MODELS, Repository, config
from homeostat.cd.serve.settings import OperatingSettings
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS, DataError, NotFoundError
from homeostat.core.text.read_json import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from homeostat.cd.serve.operate.tracing import Tracing
    from homeostat.cd.serve.operate.workers import Siblings
    from homeostat.cd.serve.telemetry.counters import Metrics
    from homeostat.core.clock import Clock

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Handler = Callable[["Request"], Awaitable[Reply]]

_LAST = (b"connection", b"close")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is told once.

    Attributes:
        name: Name of the Loop, and of its model in the protocol. With several models, the one behind `/predict`.
        token: Every request must bear it; None only on loopback, where web pages are kept out instead.
        host: The address that the server is bound to.
        header_clock: Take the time of a request from its header `homeostat-time`, for traffic that is played back.
        most_bytes: Longest body, also once it is unpacked.
        most_rows: Rows of one request.
        most_seconds: In which the head of a request, and then its body, have to arrive.
        log_bytes: Longest prediction log, all its segments together; None for no limit.
        when_full: A prediction that the log cannot take gets 503 by `block`, and is answered and counted by `drop`.
    """

    name: str
    token: str | None = None
    host: str = "127.0.0.1"
    header_clock: bool = False
    most_bytes: int = 32 << 20
    most_rows: int = 100_000
    most_seconds: float = 30.0
    log_bytes: int | None = None
    when_full: WhenFull = "block"


class Around(msgspec.Struct, frozen=True):
    """What surrounds a server.

    Attributes:
        siblings: The other server processes at the port; None when there are none.
        knobs: How it is operated.
        tracing: Where spans go; None when nobody wants them.
    """

    siblings: Siblings | None = None
    knobs: OperatingSettings = OperatingSettings()
    tracing: Tracing | None = None


class Request(msgspec.Struct):
    """What a route looks at.

    Attributes:
        headers: All of them.
        minded: Those that matter, by name.
        query: What follows the question mark.
    """

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    minded: dict[bytes, bytes]
    receive: Receive
    query: bytes = b""


class Application:
    """The ASGI application.

    Args:
        settings: What it is told once.
        models: The models that it answers for, by name; the first of them, or the one that `settings` names, is also
            behind the routes that name none.
        metrics: Counters.
        clock: What time it is, unless requests say so.
        around: Whom it tells what it does.
    """

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, ServedModel],
        metrics: Metrics,
        clock: Clock,
        around: Around = Around(),  # noqa: B008 - frozen
    ) -> None:
        self.settings, self.models, self.clock = settings, dict(models), clock
        self.operations = Operations(self.models.values, metrics, siblings=around.siblings, knobs=around.knobs)
        self._tracing = around.tracing
        self._default = self.models.get(settings.name) or next(iter(self.models.values()))
        self.door = Access(settings.host, settings.token)
        self.lanes: dict[bytes, Lane] = self._find_lanes()
        """What answers predictions, by the bytes of a request's target."""
        self.routes: dict[tuple[str, str], Handler] = {
            ("POST", "/labels"): self._labels,
            ("GET", "/health"): self._health,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/routing"): self._routing,
            ("GET", "/judge"): self._judge,
            ("POST", "/judge"): self._judge,
            ("POST", "/judge/gate"): self._judge,
            ("GET", "/v2"): self._server,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2/health/ready"): self._ready,
        }
        self._repository = Repository(self)
        self.routes |= self._repository.routes()

    @property
    def hosted(self) -> ServedModel:
        """The model behind the routes that name none."""
        return self._default

    @property
    def ready(self) -> bool:
        """Whether predictions of every model are answered."""
        return self.operations.ready

    def lane(self, path: str) -> Lane | None:
        """What answers predictions that are asked for at a path, or None for any other path."""
        return self.lanes.get(path.encode()) or self._lane_of_version(path)

    def _traced(self, lane: Lane) -> Lane:
        return lane if self._tracing is None else self._tracing.lane(lane)

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
            reply = failure(error, route_of(path))
        headers = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
        # Other servers than ours take what follows an upgrade, which may be a body, for the next request.
        if self.operations.draining or any(name == b"upgrade" for name, _ in scope["headers"]):
            headers.append(_LAST)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
        self.operations.answered(reply, stopwatch() - start)

    async def _reply(self, scope: Scope, path: str, receive: Receive) -> Reply:
        headers = scope["headers"]
        minded = self.door.enter(headers, scope.get("http_version", "1.1"), (scope.get("server") or (None, None))[1])
        lane = self.lane(path)
        if lane is not None:
            if scope["method"] != "POST":
                raise MethodError(path, "POST")
            body = await self.body(minded, headers, receive)
            answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            lane.answer(body, minded, lambda reply: None if answered.done() else answered.set_result(reply))
            reply = await answered
        else:
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            request = Request(method, path, headers, minded, receive, scope.get("query_string", b""))
            reply = await self._route(request)
        if b"accept-encoding" in minded and len(reply.body) > compression.SMALLEST:
            return compression.compressed(reply, headers)
        return reply

    async def _route(self, request: Request) -> Reply:
        handler = self.routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        if request.path.startswith("/v2/models/"):
            return await self._model(request)
        if request.path.startswith(MODELS):
            return await self._repository.change(request)
        others = sorted({method for method, path in self.routes if path == request.path})
        if others:
            raise MethodError(request.path, *others)
        raise NotFoundError(f"there is no {request.path[:200]!r}", hint="see /v2, /predict, /labels, /health, /metrics")

    def _find_lanes(self) -> dict[bytes, Lane]:
        lanes: dict[str, Lane] = {}
        for one in PROTOCOLS:
            if one.alone is not None:
                lanes[one.alone] = one.lane(self._default)
            if one.named is not None:
                lanes |= {one.named.format(name=name): one.lane(hosted) for name, hosted in self.models.items()}
        return {path.encode(): self._traced(lane) for path, lane in lanes.items()}

    def _lane_of_version(self, path: str) -> Lane | None:
        """The lane of a version that is asked for by number."""
        if not (path.startswith("/v2/models/") and path.endswith("/infer")):
            return None
        name, version, _ = _model_path(path)
        hosted = self._hosted(name)
        if version is not None:
            _known(hosted, version)
        return self._traced(InferLane(hosted, version))

    def _hosted(self, name: str) -> ServedModel:
        hosted = self.models.get(name)
        if hosted is None:
            raise NotFoundError(
                f"there is no model {name[:100]!r}", hint=f"this server serves {', '.join(sorted(self.models)[:20])}"
            )
        return hosted

    async def _labels(self, request: Request) -> Reply:
        hosted = self._default
        signature = hosted.table().champion.signature
        now = hosted.now(request.minded)
        items = decode_labels(await self.body(request.minded, request.headers, request.receive), signature, now)
        if items:
            hosted.log.append(LabelRecord(now, items))
        hosted.counts.labels += len(items)
        return json_reply(200, {"accepted": len(items)}, "/labels")

    async def _model(self, request: Request) -> Reply:
        name, version, action = _model_path(request.path)
        hosted = self._hosted(name)
        table = hosted.table()
        if version is not None:
            _known(hosted, version)
        if action not in {"", "ready", "config"}:
            raise NotFoundError(f"a model has no {action[:100]!r}", hint="there are ready, config and infer")
        if request.method != "GET":
            raise MethodError(request.path, "GET")
        if action == "ready":
            ready = hosted.ready and not self.operations.draining
            return json_reply(200 if ready else 503, {"name": name, "ready": ready}, "/v2/model/ready")
        served = table.served[version] if version is not None else table.champion
        if action == "config":
            return json_reply(200, config(name, served.signature, served.model.runtime), "/v2/model")
        described = openinference.metadata(name, sorted(table.served), served.signature, served.model.runtime)
        return json_reply(200, described, "/v2/model")

    async def _server(self, _: Request) -> Reply:
        from homeostat.core.version import VERSION

        return json_reply(200, {"name": "homeostat", "version": VERSION, "extensions": EXTENSIONS}, "/v2")

    async def _live(self, _: Request) -> Reply:
        return _probed("live", self.operations.health(), "/v2/health/live")

    async def _ready(self, _: Request) -> Reply:
        return _probed("ready", self.operations.health(), "/v2/health/ready")

    async def _health(self, _: Request) -> Reply:
        health = self.operations.health()
        more = {"routing": self.operations.routing(self._default), "log": self._default.log.stats()}
        return json_reply(200 if health["ready"] else 503, health | more, "/health")

    async def _routing(self, _: Request) -> Reply:
        return json_reply(200, self.operations.routing(self._default), "/routing")

    async def _judge(self, request: Request) -> Reply:
        name = parse_qs(request.query.decode("latin-1")).get("model")
        hosted = self._default if name is None else self._hosted(name[0])
        posted = request.method == "POST"
        body = await self.body(request.minded, request.headers, request.receive) if posted else None
        # A question of a hundred thousand rows takes a while, and predictions do not wait for it.
        status, said = await asyncio.to_thread(
            verdict_api.respond, hosted.router.ledger, hosted.name, body, gated=request.path.endswith("/gate")
        )
        return json_reply(status, said, request.path)

    async def _metrics(self, request: Request) -> Reply:
        text, content_type = self.operations.exposition(request.minded.get(b"accept", b"").decode("latin-1"))
        return Reply(200, text, "/metrics", content_type.encode())

    async def body(self, minded: dict[bytes, bytes], headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes:
        """The plain body of a request.

        Raises:
            TooLargeError: It is longer than this server takes.
            SlowError: It did not arrive in time.
            DataError: It cannot be unpacked.
        """
        length = minded.get(b"content-length")
        if length is not None and not length.strip().isdigit():
            raise DataError(f"the header content-length is no length: {length[:40]!r}")
        if length is not None and (len(length) > 12 or int(length) > self.settings.most_bytes):
            raise self._too_long()
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            try:
                async with asyncio.timeout(self.settings.most_seconds):
                    body = await self._long_body(receive, body)
            except TimeoutError:
                raise SlowError(f"the body did not arrive within {self.settings.most_seconds:g} seconds") from None
        if len(body) > self.settings.most_bytes:
            raise self._too_long()
        if length is not None and int(length) != len(body):
            raise DataError(f"the body has {len(body):,} bytes, and Content-Length says {int(length):,}")
        if b"content-encoding" in minded:
            return self.plain(headers, body)
        return body

    def plain(self, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        """A body without its content encoding."""
        encoding = compression.content_encoding(headers)
        return compression.inflate(encoding, body, self.settings.most_bytes) if encoding else body

    async def _long_body(self, receive: Receive, first: bytes) -> bytes:
        parts, size = [first], len(first)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise DataError("the caller went away before the body was complete")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.settings.most_bytes:
                raise self._too_long()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_long(self) -> TooLargeError:
        what = f"the body is longer than {self.settings.most_bytes:,} bytes"
        return TooLargeError(what, hint="send several requests, or use `homeostat infer` for tables")


def _probed(what: str, health: dict[str, Any], route: str) -> Reply:
    """The body of the protocol when all is well, and the reasons when not."""
    if health[what]:
        return json_reply(200, {what: True}, route)
    return json_reply(503, {what: False, "problems": health["problems"]}, route)


def _known(hosted: ServedModel, version: int) -> None:
    served = hosted.table().served
    if version not in served:
        there = ", ".join(str(number) for number in sorted(served))
        raise NotFoundError(f"model {hosted.name!r} has no version {version} here", hint=f"there are {there}")


def _model_path(path: str) -> tuple[str, int | None, str]:
    """Name, version and action of `/v2/models/{name}[/versions/{version}][/{action}]`."""
    name, _, rest = path.removeprefix("/v2/models/").partition("/")
    name = unquote(name)
    if not rest.startswith("versions/"):
        return name, None, rest
    number, _, action = rest.removeprefix("versions/").partition("/")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFoundError(f"version {number[:40]!r} is no number", hint="versions are 1, 2, 3, …")
    return name, int(number), action
