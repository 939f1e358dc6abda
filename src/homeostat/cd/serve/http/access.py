"""Who is let in, and what of a request's headers matters: one pass over them, before anything else is looked at."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import datetime

from homeostat.cd.serve.http.visitors import Visitors
from homeostat.core.errors import DataError, HomeostatError
from homeostat.core.values import taken

_ONCE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"homeostat-deadline",
        b"homeostat-time",
        b"host",
        b"inference-header-content-length",
        b"origin",
        b"sec-fetch-site",
    }
)
"""Headers of which one is meant: whoever reads the first and whoever reads the last must not see different requests."""
_MATTERING = _ONCE | {
    b"accept",
    b"accept-encoding",
    b"content-encoding",
    b"expect",
    b"traceparent",
    b"tracestate",
    b"upgrade",
}


class AccessError(HomeostatError):
    """A request is not let in."""

    def __init__(self, status: int, what: str, hint: str | None = None) -> None:
        self.status = status
        super().__init__(what, hint)

    def __reduce__(self) -> tuple[type[AccessError], tuple[int, str, str | None]]:
        return (AccessError, (self.status, self.what, self.hint))


class Access:
    """Lets requests in.

    Args:
        host: The address that the server is bound to.
        token: Every request must bear it; None only on loopback, where web pages are kept out instead.
    """

    def __init__(self, host: str, token: str | None) -> None:
        self._visitors = Visitors(host)
        self._bearer = f"Bearer {token}".encode() if token else None

    def enter(
        self, raw_headers: Iterable[tuple[bytes, bytes]], version: str = "1.1", port: int | None = None
    ) -> dict[bytes, bytes]:
        """The headers that matter, by name in small letters.

        Raises:
            AccessError: The request bears no token, comes from a web page, or names no host, or something twice.
        """
        headers: dict[bytes, bytes] = {}
        for name, value in raw_headers:
            if name in _MATTERING:
                if name in headers and name in _ONCE:
                    raise AccessError(400, f"the request has two headers {name.decode().title()}", "send it once")
                headers[name] = value
        host = headers.get(b"host")
        if host is None and version == "1.1":
            raise AccessError(400, "the request has no header Host", "HTTP/1.1 asks for one")
        if self._bearer is None:
            refused = self._visitors.problem(host, headers.get(b"origin"), headers.get(b"sec-fetch-site"), port)
            if refused is not None:
                raise AccessError(403, *refused)
        if self._bearer is not None and not hmac.compare_digest(headers.get(b"authorization", b""), self._bearer):
            raise AccessError(401, "this server needs a token: send `Authorization: Bearer TOKEN`")
        return headers


def moment(headers: dict[bytes, bytes]) -> datetime | None:
    """The time that a request says it is made at."""
    value = headers.get(b"homeostat-time")
    if value is None:
        return None
    said, problem = taken(value.decode("latin-1"), "time", event=True)
    if problem is not None:
        raise DataError(f"the header homeostat-time is no time: it {problem}")
    return said  # type: ignore[no-any-return]


def patience(headers: dict[bytes, bytes]) -> float | None:
    """Seconds that the caller waits at most, from the header `homeostat-deadline` in milliseconds."""
    value = headers.get(b"homeostat-deadline")
    if value is None:
        return None
    try:
        milliseconds = float(value)
    except ValueError:
        milliseconds = 0.0
    if not 0 < milliseconds < float("inf"):
        what = f"the header homeostat-deadline is {value[:40]!r}"
        raise DataError(what, hint="send the milliseconds that you wait at most, as in `Homeostat-Deadline: 50`")
    return milliseconds / 1e3
