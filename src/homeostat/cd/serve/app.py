"""The server as a bare ASGI application: routes, the door (token, limits, errors), and what each route says."""

from __future__ import annotations

import asyncio
import hmac
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.log import LabelRecord, WhenFull
from homeostat.cd.serve import openinference
from homeostat.cd.serve.answer import NotReadyError, answer, predictions
from homeostat.cd.serve.batcher import BusyError
from homeostat.cd.serve.decode import RowsError
from homeostat.cd.serve.labels import decode_labels
from homeostat.cd.serve.metrics import Metrics, render
from homeostat.cd.serve.visitors import Visitors
from homeostat.core.clock import stopwatch, utc
from homeostat.core.errors import (
    DataError,
    HomeostatError,
    ModelError,
    NotFoundError,
    RefusedError,
    RetryableError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from homeostat.cd.log import LogWriter
    from homeostat.cd.serve.decode import Rows
    from homeostat.cd.serve.others import Others
    from homeostat.cd.serve.routing import Router, Table
    from homeostat.core.clock import Clock

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = b"application/json"
_BODY_SECONDS = 30.0
_JSON_HEADERS = [(b"content-type", JSON)]


class TooLargeError(DataError):
    """A request is larger than the server takes."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is told once.

    Attributes:
        name: Name of the Loop, and of its model in the protocol.
        token: Every request must bear it; None only on loopback, where web pages are kept out instead.
        host: The address that the server is bound to.
        header_clock: Take the time of a request from its header `homeostat-time`, for traffic that is played back.
        most_bytes: Longest body.
        most_rows: Rows of one request.
        log_bytes: Longest prediction log, all its segments together; None for no limit.
        when_full: A prediction that the log cannot take gets 503 by `block`, and is answered and counted by `drop`.
    """

    name: str
    token: str | None = None
    host: str = "127.0.0.1"
    header_clock: bool = False
    most_bytes: int = 32 << 20
    most_rows: int = 100_000
    log_bytes: int | None = None
    when_full: WhenFull = "block"


class Reply(msgspec.Struct, frozen=True):
    """Status and body of an answer."""

    status: int
    body: bytes
    route: str
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Request(msgspec.Struct):
    """What a route looks at."""

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    receive: Receive


class Application:
    """The ASGI application.

    Args:
        settings: What it is told once.
        router: Which versions answer.
        log: The prediction log.
        others: Scores the arms that do not answer.
        clock: What time it is, unless requests say so.
    """

    def __init__(self, settings: Settings, router: Router, log: LogWriter, others: Others, clock: Clock) -> None:
        self.settings, self.router, self.log, self.others, self.clock = settings, router, log, others, clock
        self.metrics = Metrics()
        self.draining = False
        self._visitors = Visitors(settings.host)
        self._bearer = f"Bearer {settings.token}".encode() if settings.token else None
        self.routes: dict[tuple[str, str], Callable[[Request], Awaitable[Reply]]] = {
            ("POST", "/predict"): self._predict,
            ("POST", "/labels"): self._labels,
            ("GET", "/health"): self._health,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/routing"): self._routing,
            ("GET", "/v2"): self._server,
            ("GET", "/v2/health/live"): self._live,
            ("GET", "/v2/health/ready"): self._ready,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        start = stopwatch()
        request = Request(scope["method"], scope["path"], scope["headers"], receive)
        try:
            reply = await self._route(request)
        except Exception as error:  # noqa: BLE001 - every failure is an answer, never a closed connection
            reply = failure(error, request.path)
        headers = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        self.metrics.count(reply.route, reply.status, stopwatch() - start)

    @property
    def ready(self) -> bool:
        """Whether predictions are answered."""
        return self.router.table is not None and not self.draining and not self.log.stats().refuses

    async def _route(self, request: Request) -> Reply:
        if self._bearer is not None and not self._bears_token(request):
            return _json(401, {"error": "this server needs a token: send `Authorization: Bearer TOKEN`"}, "401")
        if self._bearer is None and (refused := self._visitors.problem(request.headers)) is not None:
            return _json(403, refused, "403")
        handler = self.routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        if request.path.startswith("/v2/models/"):
            return await self._model(request)
        others = sorted({method for method, path in self.routes if path == request.path})
        if others:
            return _json(405, {"error": f"{request.path} takes {', '.join(others)}"}, request.path)
        raise NotFoundError(f"there is no {request.path[:200]!r}", hint="see /v2, /predict, /labels, /health, /metrics")

    def _bears_token(self, request: Request) -> bool:
        given = next((value for name, value in request.headers if name == b"authorization"), b"")
        return self._bearer is not None and hmac.compare_digest(given, self._bearer)

    async def _predict(self, request: Request) -> Reply:
        table = self._table()
        rows = table.champion.decoder.body(await self._body(request))
        found = await self._answer(request, table, rows, None)
        body = {"request": found.request, "model": self.settings.name, "predictions": predictions(found)}
        return Reply(200, _encode(body), "/predict")

    async def _infer(self, request: Request, version: int | None) -> Reply:
        table = self._table()
        champion = table.champion
        rows, wanted = openinference.decode(await self._body(request), champion.decoder, champion.signature)
        found = await self._answer(request, table, rows, version)
        return Reply(200, openinference.encode(self.settings.name, champion.version, found, wanted), "/v2/infer")

    async def _answer(self, request: Request, table: Table, rows: Rows, version: int | None) -> Any:
        if not rows.rows:
            raise DataError("the request has no rows", hint="send at least one")
        if len(rows.rows) > self.settings.most_rows:
            what = f"the request has {len(rows.rows):,} rows and this server takes {self.settings.most_rows:,}"
            raise TooLargeError(what, hint="send several requests, or use `homeostat infer` for tables")
        moment = self._now(request)
        return await answer(
            table, rows, moment, log=self.log, others=self.others, metrics=self.metrics, version=version
        )

    async def _labels(self, request: Request) -> Reply:
        signature = self._table().champion.signature
        now = self._now(request)
        items = decode_labels(await self._body(request), signature, now)
        if items:
            self.log.append(LabelRecord(now, items))
        self.metrics.labels += len(items)
        return _json(200, {"accepted": len(items)}, "/labels")

    async def _model(self, request: Request) -> Reply:
        name, version, action = _model_path(request.path)
        if name != self.settings.name:
            raise NotFoundError(f"there is no model {name[:100]!r}", hint=f"this server serves {self.settings.name!r}")
        table = self._table()
        if version is not None and version not in table.served:
            there = ", ".join(str(number) for number in sorted(table.served))
            raise NotFoundError(f"model {name!r} has no version {version} here", hint=f"there are {there}")
        if action == "infer" and request.method == "POST":
            return await self._infer(request, version)
        if action == "ready" and request.method == "GET":
            return _json(200 if self.ready else 503, {"name": name, "ready": self.ready}, "/v2/model/ready")
        if action == "" and request.method == "GET":
            served = table.served[version] if version is not None else table.champion
            described = openinference.metadata(name, sorted(table.served), served.signature, served.model.runtime)
            return _json(200, described, "/v2/model")
        if action in {"", "ready", "infer"}:
            return _json(405, {"error": f"{request.path} takes {'POST' if action == 'infer' else 'GET'}"}, "/v2/model")
        raise NotFoundError(f"a model has no {action[:100]!r}", hint="there are ready and infer")

    async def _server(self, _: Request) -> Reply:
        from homeostat import __version__

        return _json(200, {"name": "homeostat", "version": __version__, "extensions": []}, "/v2")

    async def _live(self, _: Request) -> Reply:
        return _json(200, {"live": True}, "/v2/health/live")

    async def _ready(self, _: Request) -> Reply:
        return _json(200 if self.ready else 503, {"ready": self.ready}, "/v2/health/ready")

    async def _health(self, _: Request) -> Reply:
        log, routing = self.log.stats(), self.router.status()
        problems = [problem for problem in (routing.error, log.fault) if problem]
        if routing.seq is None:
            problems.append("no version has been promoted yet")
        body = {"live": True, "ready": self.ready, "draining": self.draining, "problems": problems}
        return _json(200 if self.ready else 503, body | {"routing": routing, "log": log}, "/health")

    async def _routing(self, _: Request) -> Reply:
        return _json(200, self.router.status(), "/routing")

    async def _metrics(self, _: Request) -> Reply:
        found = self.metrics.collect(
            self.settings.name, self.log.stats(), self.router.status(), self.others.stats, ready=self.ready
        )
        return Reply(200, render(found), "/metrics", b"text/plain; version=0.0.4; charset=utf-8")

    def _table(self) -> Table:
        table = self.router.table
        if self.draining:
            raise NotReadyError("the server is going away", hint="send the request to another one")
        if table is None:
            reason = self.router.status().error or "no version has been promoted yet"
            raise NotReadyError(
                f"there is no model to answer: {reason}", hint="`homeostat run` trains and promotes one"
            )
        return table

    def _now(self, request: Request) -> datetime:
        if self.settings.header_clock:
            for name, value in request.headers:
                if name == b"homeostat-time":
                    try:
                        return utc(datetime.fromisoformat(value.decode("ascii")))
                    except ValueError:
                        raise DataError(f"the header homeostat-time is no time: {value[:40]!r}") from None
        return self.clock.now()

    async def _body(self, request: Request) -> bytes:
        for name, value in request.headers:
            if name == b"content-encoding" and value not in {b"", b"identity"}:
                raise DataError(f"the body is encoded as {value[:20]!r}", hint="send it plain")
            if name == b"content-length" and value.isdigit() and int(value) > self.settings.most_bytes:
                raise self._too_long()
        message = await request.receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            async with asyncio.timeout(_BODY_SECONDS):
                body = await self._long_body(request, body)
        if len(body) > self.settings.most_bytes:
            raise self._too_long()
        return body

    async def _long_body(self, request: Request, first: bytes) -> bytes:
        parts, size = [first], len(first)
        while True:
            message = await request.receive()
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


def failure(error: Exception, path: str) -> Reply:
    """The answer to a request that could not be answered: the right status, and a body that says why."""
    route = path if path in {"/predict", "/labels"} else "/v2/infer" if path.endswith("/infer") else "other"
    body: dict[str, Any] = {"error": str(error)}
    if isinstance(error, HomeostatError):
        body = {"error": error.what} | ({"hint": error.hint} if error.hint else {})
    status, headers = _status(error), ()
    if isinstance(error, RowsError):
        body["problems"] = error.problems
    if not isinstance(error, (HomeostatError, TimeoutError)):
        body["error"] = f"the server failed on this request: {type(error).__name__}"
    if isinstance(error, TimeoutError):
        body["error"] = f"the body did not arrive within {_BODY_SECONDS:.0f} seconds"
    return Reply(status, _encode(body), route, JSON, ((b"retry-after", b"1"),) if status == 503 else headers)


def _status(error: Exception) -> int:
    by_type: list[tuple[type[Exception], int]] = [
        (TooLargeError, 413),
        (DataError, 400),
        (NotFoundError, 404),
        (RefusedError, 409),
        (BusyError, 503),
        (StoreError, 503),
        (RetryableError, 503),
        (TimeoutError, 408),
        (ModelError, 500),
    ]
    return next((status for kind, status in by_type if isinstance(error, kind)), 500)


def _model_path(path: str) -> tuple[str, int | None, str]:
    """Name, version and action of `/v2/models/{name}[/versions/{version}][/{action}]`."""
    name, _, rest = path.removeprefix("/v2/models/").partition("/")
    if not rest.startswith("versions/"):
        return name, None, rest
    number, _, action = rest.removeprefix("versions/").partition("/")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFoundError(f"version {number[:40]!r} is no number", hint="versions are 1, 2, 3, …")
    return name, int(number), action


def _json(status: int, content: Any, route: str) -> Reply:
    return Reply(status, _encode(content), route)


_encode = msgspec.json.Encoder().encode
