"""Who may ask a server that has no token: programs of this machine, not the web pages that its browser shows.

A page of any site can make the browser send a POST to a local port. Browsers name the page's site in `Origin`, how far
that is from here in `Sec-Fetch-Site`, and in `Host` the name by which they reached the server, which a site may point
at 127.0.0.1 (DNS rebinding). A page of another port of this machine is another one's page too, whatever runs there.
"""

from __future__ import annotations

from ipaddress import ip_address

_MOST_KNOWN = 100
_OURS = frozenset({b"same-origin", b"none"})
_DEFAULT_PORTS = {b"http": "80", b"https": "443"}


class Visitors:
    """Tells the requests of this machine's programs from those that a web page had sent."""

    def __init__(self, host: str) -> None:
        self._host = host.lower()
        self._known: set[tuple[bytes | None, bytes | None, bytes | None, int | None]] = set()

    def problem(
        self, host: bytes | None, origin: bytes | None, fetched: bytes | None, port: int | None
    ) -> tuple[str, str] | None:
        """Why a request is refused, with a hint, or None. What was found good is known."""
        asked = (host, origin, fetched, port)
        if asked in self._known:
            return None
        if host is not None and not self._is_near(host, port):
            return _refusal("host", host, port)
        if origin is not None and not self._is_ours(origin, port):
            return _refusal("origin", origin, port)
        if fetched is not None and fetched not in _OURS and not (fetched == b"same-site" and origin is not None):
            return _refusal("origin", fetched + b" origin", port)
        if len(self._known) < _MOST_KNOWN:
            self._known.add(asked)
        return None

    def _is_ours(self, origin: bytes, port: int | None) -> bool:
        """Whether a page's origin is this server: another program's page at another port of this machine is not."""
        scheme, _, place = origin.partition(b"://")
        default = _DEFAULT_PORTS.get(scheme.lower())
        if default is None:
            return False
        host, given = _parted(place)
        return self._is_host(host) and (port is None or (given or default) == str(port))

    def _is_near(self, place: bytes, port: int | None) -> bool:
        """Whether `host[:port]` is this machine as itself, or the address that was bound, at the port that it asked."""
        host, given = _parted(place)
        return self._is_host(host) and (not given or port is None or given == str(port))

    def _is_host(self, host: str) -> bool:
        return host == self._host or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parted(place: bytes) -> tuple[str, str]:
    """Host in small letters, and port or nothing."""
    text = place.decode("latin-1").lower()
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port


def _refusal(name: str, value: bytes, port: int | None) -> tuple[str, str]:
    shown, at = value[:100].decode("latin-1"), f" at port {port}" if port else ""
    if name == "origin":
        what = f"a web page of {shown!r} asked; this server has no token, so it answers programs of this machine only"
    else:
        what = (
            f"the request is for the host {shown!r}; this server has no token, so it is 127.0.0.1 or localhost{at} only"
        )
    return what, "set HOMEOSTAT_TOKEN to open it to others, or let the proxy send `Host: 127.0.0.1`"
