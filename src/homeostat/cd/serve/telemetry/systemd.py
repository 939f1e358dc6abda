"""Tell systemd that the server is ready, leaving, or still alive (sd_notify): datagrams to a socket that it names."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(*facts: str) -> bool:
    """Send facts, `READY=1` say, to whoever started this process; False when nobody wants to know.

    Source: sd_notify(3); the address comes in NOTIFY_SOCKET.

    Example:
        >>> notify("READY=1")   # not started by systemd
        False
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    address = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.connect(address)
        out.sendall("\n".join(facts).encode())
        return True
    return False
