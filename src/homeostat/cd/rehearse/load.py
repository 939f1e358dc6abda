"""A short closed-loop load on a server: a few connections, each asking again as soon as it was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import cycle
from urllib.parse import urlsplit

from homeostat.cd.rehearse.connection import Connection
from homeostat.core.clock import stopwatch
from homeostat.core.stats.latency import Latency

_WARM_SHARE = 0.1
_PATIENCE_SECONDS = 30.0
_OK = 200


def load(
    url: str, path: str, bodies: Sequence[bytes], *, seconds: float, connections: int, token: str | None = None
) -> Latency:
    """Ask a server for a while and measure how it answers; the first tenth of the time does not count."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    bearer = f"authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\n{bearer}content-type: application/json\r\ncontent-length: "
    messages = [f"{head}{len(body)}\r\n\r\n".encode("ascii") + body for body in bodies]
    return asyncio.run(_load(host, port, messages, seconds, connections))


async def _load(host: str, port: int, messages: Sequence[bytes], seconds: float, connections: int) -> Latency:
    loop = asyncio.get_running_loop()
    asked = cycle(messages)
    start = stopwatch()
    counted, end = start + _WARM_SHARE * seconds, start + seconds
    times: list[float] = []
    errors: list[str] = []

    async def ask() -> None:
        _, connection = await loop.create_connection(Connection, host, port)
        try:
            while (sent := stopwatch()) < end:
                status, body = await asyncio.wait_for(connection.exchange(next(asked)), _PATIENCE_SECONDS)
                if status != _OK:
                    errors.append(f"{status} {body[:200].decode(errors='replace')}")
                elif sent >= counted:
                    times.append(stopwatch() - sent)
        finally:
            connection.hang_up()

    found = await asyncio.gather(*(ask() for _ in range(connections)), return_exceptions=True)
    errors += [str(one) or type(one).__name__ for one in found if isinstance(one, BaseException)]
    lasted = max(stopwatch() - counted, 1e-9)
    first = errors[0] if errors else None
    return Latency.of(times, seconds=lasted, connections=connections, errors=len(errors), error=first)
