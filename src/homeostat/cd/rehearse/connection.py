"""One HTTP/1.1 connection to a server, for those who ask it a great deal: at most one request is on its way."""

from __future__ import annotations

import asyncio

import httptools


class Connection(asyncio.Protocol):
    """Speaks to a server; made again by `create_connection`, it goes on after the line broke."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[tuple[int, bytes]] | None = None

    @property
    def connected(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def exchange(self, message: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request; its status and body come as a future."""
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return self._reply

    def hang_up(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._parser, self._body = transport, httptools.HttpResponseParser(self), b""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The line broke; so did the request that is on its way."""
        self._transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def on_body(self, body: bytes) -> None:
        """Part of an answer's body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The answer is complete."""
        body, self._body = self._body, b""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result((self._parser.get_status_code(), body))
