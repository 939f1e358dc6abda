"""What a request says, and its body: whole, plain, in time, and no longer than the server takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.errors import SlowError
from homeostat.cd.serve.http import compression
from homeostat.core.errors import DataError
from homeostat.core.text.read_json import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from homeostat.cd.serve.settings import Settings

    Receive = Callable[[], Awaitable[dict[str, Any]]]


class Request(msgspec.Struct):
    """What a route looks at."""

    method: str
    path: str
    raw_headers: list[tuple[bytes, bytes]]
    headers: dict[bytes, bytes]
    receive: Receive
    settings: Settings
    query: bytes = b""

    async def body(self) -> bytes:
        """The plain body.

        Raises:
            TooLargeError: It is longer than this server takes.
            SlowError: It did not arrive in time.
            DataError: It cannot be unpacked.
        """
        length, most = self.headers.get(b"content-length"), self.settings.most_bytes
        if length is not None and not length.strip().isdigit():
            raise DataError(f"the header content-length is no length: {length[:40]!r}")
        if length is not None and (len(length) > 12 or int(length) > most):
            raise self._too_long()
        message = await self.receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            try:
                async with asyncio.timeout(self.settings.most_seconds):
                    body = await self._long_body(body)
            except TimeoutError:
                raise SlowError(f"the body did not arrive within {self.settings.most_seconds:g} seconds") from None
        if len(body) > most:
            raise self._too_long()
        if length is not None and int(length) != len(body):
            raise DataError(f"the body has {len(body):,} bytes, and Content-Length says {int(length):,}")
        encoding = compression.content_encoding(self.raw_headers) if b"content-encoding" in self.headers else ""
        return compression.inflate(encoding, body, most) if encoding else body

    async def _long_body(self, first: bytes) -> bytes:
        parts, size = [first], len(first)
        while True:
            message = await self.receive()
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
