"""Who may ask a server that has no token: programs of this machine, not the web pages that its browser shows.

A page of any site can make the browser send a POST to a local port. Browsers name the page's site in `Origin`, and in
`Host` the name by which they reached the server, which a site may point at 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

from ipaddress import ip_address

_MOST_KNOWN = 100


class Visitors:
    """Tells the requests of this machine's programs from those that a web page had sent.

    Args:
        host: The address that the server is bound to, by which it may be called too.
    """

    def __init__(self, host: str) -> None:
        self._host = host.lower()
        self._known: set[bytes] = set()

    def problem(self, name: bytes, value: bytes) -> tuple[str, str] | None:
        """Why a request with this `host` or `origin` is refused, with a hint, or None. What was found good is known."""
        if value in self._known:
            return None
        if not self._is_near(value.rpartition(b"://")[2]):
            return _refusal(name.decode(), value)
        if len(self._known) < _MOST_KNOWN:
            self._known.add(value)
        return None

    def _is_near(self, place: bytes) -> bool:
        """Whether `host[:port]` is this machine as itself, or the address that was bound."""
        host = _without_port(place.decode("latin-1")).lower()
        return host == self._host or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_port(place: str) -> str:
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.partition(":")[0]


def _refusal(name: str, value: bytes) -> tuple[str, str]:
    shown = value[:100].decode("latin-1")
    if name == "origin":
        what = f"a web page of {shown!r} asked; this server has no token, so it answers programs of this machine only"
    else:
        what = f"the request is for the host {shown!r}; this server has no token, so it is 127.0.0.1 or localhost only"
    return what, "set HOMEOSTAT_TOKEN to open it to others, or let the proxy send `Host: 127.0.0.1`"
