"""HTTP/1.1 under uvicorn, with a short way for predictions: no task, no ASGI messages, one write per answer.

Uvicorn's own protocol spends as much on a small request as the whole prediction does: it makes a scope, a task, an
event and a timer, and checks two messages. A `POST` of moderate length to a prediction route needs none of that. It is
parsed by the same parser (httptools), decoded and answered by the same `Lane` as under any other ASGI server, and
written in one piece. Everything else takes uvicorn's way: other routes, pipelined and chunked requests, and bodies that
are long or compressed.

Both ways have two bounds that uvicorn lacks: a request's head has to be complete within a time and a length.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from logging import ERROR
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from homeostat.cd.serve import compression
from homeostat.cd.serve.replies import JSON, Reply, SlowError, failure
from homeostat.cd.serve.requestlog import tell
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS, HomeostatError

if TYPE_CHECKING:
    from homeostat.cd.serve.app import Application
    from homeostat.cd.serve.hosted import Lane

SHORT_BYTES = 256 << 10
"""Longer bodies take uvicorn's way, which reads no faster than it is read from."""

HEAD_BYTES = 64 << 10
"""Longest head of a request: its first line and its headers."""

_LEAST_LOOK = 0.05
_LONG_WAY = frozenset({b"content-encoding", b"expect", b"upgrade"})
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_GOOD = _LINES[200] + b"content-type: " + JSON + b"\r\ncontent-length: %d\r\n\r\n"


class _NoEvent:
    """Nobody waits for a short request's messages."""

    def set(self) -> None:
        """Do nothing."""


_NO_EVENT = _NoEvent()


class _Short:
    """A prediction on its short way; to uvicorn it looks like the request that is being answered."""

    __slots__ = (
        "body",
        "disconnected",
        "headers",
        "keep_alive",
        "lane",
        "minded",
        "protocol",
        "response_complete",
        "start",
    )
    message_event = _NO_EVENT

    def __init__(self, protocol: ShortWay, lane: Lane, minded: dict[bytes, bytes], *, keep_alive: bool) -> None:
        self.protocol, self.lane, self.minded, self.keep_alive = protocol, lane, minded, keep_alive
        self.headers = protocol.headers
        self.body = b""
        self.disconnected = self.response_complete = False
        self.start = stopwatch()

    def answer(self) -> None:
        """The body is complete."""
        self.lane.answer(self.body, self.minded, self.done)

    def done(self, reply: Reply) -> None:
        """Send the reply, unless the caller is gone."""
        if self.response_complete:
            return
        self.response_complete = True
        self.protocol.send(self, reply)


class ShortWay(HttpToolsProtocol):
    """Uvicorn's protocol for `Application`, with the short way for predictions."""

    _idle: asyncio.TimerHandle | None = None
    _head = 0
    _since = 0.0
    _waits = False
    _current: _Short | None = None
    """The short request that is being read or answered."""

    application: Application
    """What answers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller is there, and has to begin soon."""
        super().connection_made(transport)
        self.application = self.config.app  # type: ignore[assignment]
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
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to upgrade to; the request is answered as it is
        except httptools.HttpParserError:
            self.send_400_response("")
        if self._head > HEAD_BYTES:
            self._refuse(431, "the request's head is too long")

    def on_message_begin(self) -> None:
        """A request begins; its scope is made when uvicorn's way needs one."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the short way, if the request fits it."""
        self._head = 0
        self._waits = False
        self._current = self._short()
        if self._current is not None:
            self.cycle = self._current  # type: ignore[assignment]
            self._waits = True
            return
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url, self.headers = url, headers
        self.scope["headers"] = headers
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Part of a body, whose length does not count as the head's."""
        self._head = 0
        if self._current is not None:
            self._current.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is complete."""
        self._head = 0
        if self._current is not None:
            self._waits = False
            self._current.answer()
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
            self._start_asgi_task(cycle, app)

    def send(self, short: _Short, reply: Reply) -> None:
        """Write the answer of the short way; a caller to whom that fails sees a closed line, and does not wait."""
        transport = self.transport
        try:
            if not transport.is_closing():
                if b"accept-encoding" in short.minded and len(reply.body) > compression.SMALLEST:
                    reply = compression.compressed(reply, short.headers)
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
        cycle: Any = self.cycle
        torn = self._waits if isinstance(cycle, _Short) else cycle is not None and cycle.more_body
        if cycle is None or cycle.response_complete or torn:
            self._refuse(400, "what came is no HTTP/1.1 request")
            return
        cycle.keep_alive = False
        self.flow.pause_reading()

    def _short(self) -> _Short | None:
        """The request as a short one; None when it has to take uvicorn's way."""
        parser, cycle = self.parser, self.cycle
        if (cycle is not None and not cycle.response_complete) or parser.get_method() != b"POST":
            return None
        lane = self.application.lanes.get(self.url)
        if lane is None or self.flow.write_paused:
            return None
        try:
            minded = self.application.door.enter(self.headers)
        except HomeostatError:
            return None
        length = minded.get(b"content-length", b"")
        if not length or len(length) > 6 or int(length) > SHORT_BYTES or not _LONG_WAY.isdisjoint(minded):
            return None
        last = self.application.operations.draining or not parser.should_keep_alive()
        return _Short(self, lane, minded, keep_alive=not last)

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
            short.done(failure(slow, short.lane.route))
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


def _head_of(reply: Reply, *, keep_alive: bool) -> bytes:
    if reply.status == 200 and keep_alive and not reply.headers and reply.content_type is JSON:
        return _GOOD % len(reply.body)
    headers: list[Any] = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body))]
    headers += reply.headers
    if not keep_alive:
        headers.append((b"connection", b"close"))
    return _LINES[reply.status] + b"".join([b"%s: %s\r\n" % header for header in headers]) + b"\r\n"
