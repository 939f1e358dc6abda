"""A lean HTTP client for played traffic: a few keep-alive connections that are never idle, and the answers in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Self
from urllib.parse import urlsplit

import msgspec

from homeostat.cd.rehearse.connection import Connection
from homeostat.core.errors import RetryableError

_CONNECTIONS = 4
_ATTEMPTS = 200
_PAUSE_SECONDS = 0.05
_BUSY = 503


class PlayedRequest(msgspec.Struct, frozen=True):
    """One POST of a JSON body, at a time on the virtual clock."""

    path: str
    body: bytes
    time: datetime


class PlayedReply(msgspec.Struct, frozen=True):
    """Status and body of what came back."""

    status: int
    body: bytes


class Client:
    """Connections to one server; requests are taken up in order, and several are on their way at once."""

    def __init__(self, url: str, *, connections: int = _CONNECTIONS) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._connections = [Connection() for _ in range(connections)]
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        """Nothing is connected before the first request."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        for connection in self._connections:
            connection.hang_up()
        self._runner.close()

    def send(self, requests: Sequence[PlayedRequest]) -> list[PlayedReply]:
        """Send all requests and wait for their replies.

        A request whose connection broke, or that was told to come back (503), is sent again: the server logs a
        repeated row once.

        Raises:
            RetryableError: The server does not answer.
        """
        return self._runner.run(self._send(requests))

    async def _send(self, requests: Sequence[PlayedRequest]) -> list[PlayedReply]:
        waiting = deque(enumerate(requests))
        replies: dict[int, PlayedReply] = {}

        async def work(connection: Connection) -> None:
            while waiting:
                place, request = waiting.popleft()
                replies[place] = await self._persist(connection, request)

        async with asyncio.TaskGroup() as group:
            for connection in self._connections:
                group.create_task(work(connection))
        return [replies[place] for place in range(len(requests))]

    async def _persist(self, connection: Connection, request: PlayedRequest) -> PlayedReply:
        message = _message(request, self._host, self._port)
        last: object = None
        for _ in range(_ATTEMPTS):
            try:
                if not connection.connected:
                    await asyncio.get_running_loop().create_connection(lambda: connection, self._host, self._port)
                reply = PlayedReply(*await connection.exchange(message))
            except OSError as error:
                last = error
            else:
                if reply.status != _BUSY:
                    return reply
                last = reply.body.decode(errors="replace")
            await asyncio.sleep(_PAUSE_SECONDS)
        what = f"{self._host}:{self._port} does not answer {request.path}: {last}"
        raise RetryableError(what, hint="the end of the server's log says why")


def _message(request: PlayedRequest, host: str, port: int) -> bytes:
    head = (
        f"POST {request.path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(request.body)}\r\nhomeostat-time: {request.time.isoformat()}\r\n\r\n"
    )
    return head.encode("ascii") + request.body
