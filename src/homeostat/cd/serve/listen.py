"""Where the server is reached: sockets, who may be let in at them, and the files that say where it is."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from homeostat.cd.serve.http.visitors import is_loopback
from homeostat.cd.serve.telemetry.request_log import tell
from homeostat.cd.serve.telemetry.systemd import notify
from homeostat.core.errors import RefusedError, StoreError
from homeostat.core.files import OddFileError, read_regular, write_whole
from homeostat.core.loop_names import check_loop_name

TOKEN_VARIABLE = "HOMEOSTAT_TOKEN"  # noqa: S105 - its name, not its value
_BACKLOG = 2_048


class Endpoint(msgspec.Struct, frozen=True):
    """Where a running server is found; kept in `serve-<name>.json` of its store for as long as it runs."""

    pid: int
    host: str
    port: int
    url: str


def endpoint_file(store_path: Path | str, name: str) -> Path:
    """Where a server says how to reach it."""
    return Path(store_path) / f"serve-{check_loop_name(name)}.json"


def read_endpoint(store_path: Path | str, name: str) -> Endpoint | None:
    """The endpoint of the running server of a Loop, or None."""
    try:
        return msgspec.json.decode(read_regular(endpoint_file(store_path, name)), type=Endpoint)
    except (FileNotFoundError, OddFileError, msgspec.MsgspecError):
        return None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket at an address that may be served at.

    Raises:
        RefusedError: Not loopback, and no token.
        StoreError: The address cannot be had.
    """
    # From here on callers queue up: whoever reads the endpoint file is never refused.
    return _bound(host, port, listens=True)


def reserve(host: str, port: int) -> socket.socket:
    """The address for several processes, held but not listened at; close it to give it up. Raises as `listen`."""
    return _bound(host, port, shared=True)


def share(host: str, port: int) -> socket.socket:
    """A listening socket beside others at the address: the kernel spreads connections. Raises as `listen`."""
    return _bound(host, port, shared=True, listens=True)


def _bound(host: str, port: int, *, shared: bool = False, listens: bool = False) -> socket.socket:
    if not is_loopback(host) and not os.environ.get(TOKEN_VARIABLE):
        what = f"{host} is not loopback, and the server has no token"
        raise RefusedError(what, hint=f"set {TOKEN_VARIABLE}, or bind to 127.0.0.1 behind a proxy")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if shared:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind((host, port))
        if listens:
            found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        what = f"the address {host}:{port} cannot be had: {error.strerror}"
        raise StoreError(what, hint="is another server running there? choose another port, or 0 for any") from error
    found.setblocking(False)
    return found


@contextlib.contextmanager
def announced(files: Sequence[Path], host: str, port: int) -> Iterator[None]:
    """Say in files where the server is, and to systemd that it is ready, for as long as the block runs."""
    shown = f"[{host}]" if ":" in host else host
    endpoint = Endpoint(os.getpid(), host, port, f"http://{shown}:{port}")
    for file in files:
        write_whole(file, msgspec.json.encode(endpoint), durable=False)
    notify("READY=1", f"STATUS=serving at {endpoint.url}")
    tell("serving", url=endpoint.url, pid=endpoint.pid)
    try:
        yield
    finally:
        for file in files:
            if _is_ours(file):
                file.unlink(missing_ok=True)


def _is_ours(file: Path) -> bool:
    try:
        return msgspec.json.decode(read_regular(file), type=Endpoint).pid == os.getpid()
    except (FileNotFoundError, OddFileError, msgspec.MsgspecError):
        return False
