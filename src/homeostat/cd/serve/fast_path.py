"""HTTP/1.1 under uvicorn, with a short way for predictions: no task, no ASGI messages, one write per answer.

Uvicorn's own protocol spends as much on a small request as the whole prediction does: it makes a scope, a task, an
event and a timer, and checks two messages. A `POST` of moderate length to a prediction route needs none of that. It is
parsed by the same parser (httptools), decoded and answered by the same `ServedProtocol` as under any other ASGI
server, and written in one piece. Everything else takes uvicorn's way: other routes, pipelined and chunked requests, and
bodies that are long or compressed.

Both ways have two bounds that uvicorn lacks: a request's head has to be complete within a time and a length. And where
a body ends is never a matter of taste: an `Upgrade` is ignored with its body read (RFC 9110, 7.8), and whatever two
parsers could read in two ways gets 400, and the line is closed.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from logging import ERROR
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from homeostat.cd.serve.errors import SlowError
from homeostat.cd.serve.http import compression
from homeostat.cd.serve.http.replies import JSON, Reply, failure
from homeostat.cd.serve.telemetry.request_log import tell
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS, HomeostatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homeostat.cd.serve.app import Application
    from homeostat.cd.serve.model import ServedProtocol

SHORT_BYTES = 256 << 10
"""Longer bodies take uvicorn's way, which reads no faster than it is read from."""

HEAD_BYTES = 64 << 10
"""Longest head of a request: its first line and its headers."""

_LEAST_LOOK = 0.05
_LONG_WAY = frozenset({b"content-encoding", b"expect"})
_VERSIONS = frozenset({"1.0", "1.1"})
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_GOOD = _LINES[200] + b"content-type: " + JSON + b"\r\ncontent-length: %d\r\n\r\n"


class _FramingError(Exception):
    """Where a request ends is not certain."""


class _NoEvent:
    """Nobody waits for a short request's messages."""

    def set(self) -> None:
        """Do nothing."""


_NO_EVENT = _NoEvent()


class _Short:
    """A prediction on its short way; to uvicorn it looks like the request that is being answered."""

    __slots__ = (
        "body",
        "connection",
        "disconnected",
        "headers",
        "keep_alive",
        "protocol",
        "raw_headers",
        "response_complete",
        "start",
        "whole",
    )
    message_event = _NO_EVENT

    def __init__(
        self, connection: ShortWay, protocol: ServedProtocol, headers: dict[bytes, bytes], *, keep_alive: bool
    ) -> None:
        self.connection, self.protocol, self.headers, self.keep_alive = connection, protocol, headers, keep_alive
        self.raw_headers = connection.headers
        self.body = b""
        self.disconnected = self.response_complete = self.whole = False
        self.start = stopwatch()

    def done(self, reply: Reply) -> None:
        """Send the reply, unless the caller is gone."""
        if self.response_complete:
            return
        self.response_complete = True
        self.connection.send(self, reply)


class ShortWay(HttpToolsProtocol):
    """Uvicorn's protocol for `Application`, with the short way for predictions."""

    _idle: asyncio.TimerHandle | None = None
    _head = 0
    _since = 0.0
    _waits = False
    _upgrade = False
    """The parser stops behind the head that it has read: somebody would like to speak another protocol."""

    _running: Any = None
    """The request that is being answered, while others may be queued behind it."""

    _port: int | None = None
    _current: _Short | None = None
    """The short request that is being read or answered."""

    _checked: tuple[bytes, list[tuple[bytes, bytes]]] | None = None
    _admitted: tuple[ServedProtocol, dict[bytes, bytes]] | None = None
    """What was found of the head that was checked last."""

    application: Application
    """What answers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller is there, and has to begin soon."""
        super().connection_made(transport)
        self.application = self.config.app  # type: ignore[assignment]
        self._port = self.server[1] if self.server else None
        self._parse_strictly()
        self._since = stopwatch()
        self._idle = self.loop.call_later(self.application.settings.most_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if not self._waits:
            self._waits = True
            self._since = stopwatch()
        self._head += len(data)
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as stopped:
                    data = data[stopped.args[0] :]
                    self._read_on()
        except httptools.HttpParserError:
            self.send_400_response("")
        if self._head > HEAD_BYTES:
            self._refuse(431, "the request's head is too long")

    def eof_received(self) -> bool:  # type: ignore[override]
        """The caller sends no more; a request that is whole is answered all the same."""
        return self._ends_with_an_answer()

    def _ends_with_an_answer(self) -> bool:
        """Have the line closed behind the answer of the last request that is whole; False when none is on its way."""
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        whole = cycle.whole if isinstance(cycle, _Short) else not cycle.more_body
        if whole:
            cycle.keep_alive = False
        return bool(whole)

    def _parse_strictly(self) -> None:
        """Uvicorn takes data behind a request that is its connection's last; we do not."""
        self.parser.set_dangerous_leniencies(lenient_data_after_close=False)

    def _read_on(self) -> None:
        """Ignore the wish for another protocol: the head is read again without it, and then its body as any other.

        The parser takes what follows such a head for the other protocol, whatever length the head says.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        lines = [b"%s %s HTTP/%s\r\n" % (method, self.url, version.encode())]
        lines += [b"%s: %s\r\n" % header for header in _without_upgrade(self.headers)]
        self.parser, self._upgrade = httptools.HttpRequestParser(self), False
        self._parse_strictly()
        self.parser.feed_data(b"".join(lines) + b"\r\n")

    def on_message_begin(self) -> None:
        """A request begins; its scope is made when uvicorn's way needs one."""
        if self.transport.is_closing():
            raise _FramingError  # what follows a request that was refused, or was the last, is nobody's request
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the short way, if the request fits it."""
        self._upgrade = self.parser.should_upgrade()
        if self._upgrade:
            if self.parser.get_method() == b"CONNECT":
                raise _FramingError
            return
        self._head = 0
        self._waits = False
        self._current = self._short()
        if self._current is not None:
            self.cycle = self._running = self._current  # type: ignore[assignment]
            self._waits = True
            return
        # The short way takes HTTP/1.1 with a length, beside which the parser takes no coding.
        self._check_framing()
        url, headers, before = self.url, self.headers, self.cycle
        super().on_message_begin()
        self.url, self.headers = url, headers
        self.scope["headers"] = headers
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        super().on_headers_complete()
        if before is None or before.response_complete:
            self._running = self.cycle

    def on_body(self, body: bytes) -> None:
        """Part of a body, whose length does not count as the head's."""
        self._head = 0
        if self._current is not None:
            self._current.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is complete."""
        if self._upgrade:
            return
        self._head = 0
        if self._current is not None:
            self._waits, short = False, self._current
            short.whole = True
            short.protocol.answer(short.body, short.headers, short.done)
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The next request may come; an idle caller is let go after a while."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._since = stopwatch()
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._running = cycle
            self._start_asgi_task(cycle, app)

    def send(self, short: _Short, reply: Reply) -> None:
        """Write the answer of the short way; a caller to whom that fails sees a closed line, and does not wait."""
        transport = self.transport
        try:
            if not transport.is_closing():
                if b"accept-encoding" in short.headers and len(reply.body) > compression.SMALLEST:
                    reply = compression.compressed(reply, short.raw_headers)
                transport.write(_head_of(reply, keep_alive=short.keep_alive) + reply.body)
                if not short.keep_alive:
                    transport.close()
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - the others' answers still have to be written
            transport.abort()
            tell("an answer was not sent", level=ERROR, request=reply.request, error=error)
        self.application.operations.answered(reply, stopwatch() - short.start)
        self.on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: whole requests before it are still answered, then the line is closed."""
        if self._ends_with_an_answer():
            self.flow.pause_reading()
        else:
            self._refuse(400, "what came is no HTTP/1.1 request")

    def _check_framing(self) -> None:
        """Refuse what another parser before or behind this one could read in another way."""
        version = self.parser.get_http_version()
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if version not in _VERSIONS or (codings and (version == "1.0" or codings[0].lower() != b"chunked")):
            raise _FramingError

    def _short(self) -> _Short | None:
        """The request as a short one; None when it has to take uvicorn's way."""
        parser, cycle = self.parser, self.cycle
        if (cycle is not None and not cycle.response_complete) or parser.get_method() != b"POST":
            return None
        if self.flow.write_paused or parser.get_http_version() != "1.1":
            return None
        # A caller that keeps its connection sends the same head again and again, which is checked once.
        head = self.url, self.headers
        if head != self._checked:
            self._admitted, self._checked = self._admit(), head
        if self._admitted is None:
            return None
        protocol, headers = self._admitted
        last = self.application.operations.draining or not parser.should_keep_alive()
        return _Short(self, protocol, headers, keep_alive=not last)

    def _admit(self) -> tuple[ServedProtocol, dict[bytes, bytes]] | None:
        """Who answers a request with this head, and its headers that matter; None when it takes uvicorn's way."""
        protocol = self.application.targets.get(self.url)
        if protocol is None:
            return None
        try:
            headers = self.application.access.enter(self.headers, "1.1", self._port)
        except HomeostatError:
            return None
        length = headers.get(b"content-length", b"")
        if not length or len(length) > 6 or int(length) > SHORT_BYTES or not _LONG_WAY.isdisjoint(headers):
            return None
        return protocol, headers

    def _look(self) -> None:
        """Let a caller go who is idle for too long, or does not come to an end with a request."""
        most = self.application.settings.most_seconds
        patience = most if self._waits else float(self.timeout_keep_alive)
        busy = self.cycle is not None and not self.cycle.response_complete and not self._waits
        left = patience - (stopwatch() - self._since)
        if busy or left > 0:
            self._idle = self.loop.call_later(max(left, _LEAST_LOOK), self._look)
            return
        self._idle = None
        if self.transport.is_closing():
            return
        short = self._current
        if short is not None and not short.response_complete:
            short.keep_alive = False
            slow = SlowError(f"the body did not arrive within {most:g} seconds")
            short.done(failure(slow, short.protocol.route))
        elif self._waits:
            self._refuse(408, f"the request did not arrive within {most:g} seconds")
        else:
            self.transport.close()

    def _refuse(self, status: int, what: str) -> None:
        """Say no to what is no whole request, and hang up."""
        if not self.transport.is_closing():
            body = b'{"error":"%s"}' % what.encode()
            self.transport.write(_head_of(Reply(status, body, "other"), keep_alive=False) + body)
            self.transport.close()


def _without_upgrade(headers: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            yield name, b", ".join(token for token in tokens if token.lower() != b"upgrade")
        elif name != b"upgrade":
            yield name, value


def _head_of(reply: Reply, *, keep_alive: bool) -> bytes:
    if reply.status == 200 and keep_alive and not reply.headers and reply.content_type is JSON:
        return _GOOD % len(reply.body)
    headers: list[Any] = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body))]
    headers += reply.headers
    if not keep_alive:
        headers.append((b"connection", b"close"))
    return _LINES[reply.status] + b"".join([b"%s: %s\r\n" % header for header in headers]) + b"\r\n"
