"""The server process: bind, follow the ledger, answer, and leave in good order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.log import LogWriter
from homeostat.cd.serve.app import Application, Settings
from homeostat.cd.serve.hosted import Hosted
from homeostat.cd.serve.loading import load_version
from homeostat.cd.serve.metrics import Metrics
from homeostat.cd.serve.others import Others, command, processes, threads
from homeostat.cd.serve.routing import Router
from homeostat.cd.serve.visitors import is_loopback
from homeostat.core.clock import SystemClock
from homeostat.core.errors import RefusedError, StoreError
from homeostat.core.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import uvicorn

    from homeostat.core.clock import Clock
    from homeostat.core.model import Features

TOKEN_VARIABLE = "HOMEOSTAT_TOKEN"  # noqa: S105 - its name, not its value
_DRAIN_SECONDS = 10.0
_BACKLOG = 2_048
_YOUNG_OBJECTS = 10_000
"""New objects between two looks of the garbage collector: requests leave next to nothing behind."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a running server is found; kept in `serve-<name>.json` of its store for as long as it runs."""

    pid: int
    host: str
    port: int
    url: str


def serve(
    store_path: Path | str,
    name: str,
    features: Features | None = None,
    *,
    clock: Clock | None = None,
    header_clock: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    ready_file: Path | None = None,
    trusted: Sequence[str] = (),
    settings: Settings | None = None,
    scorer: Sequence[str] | None = None,
) -> None:
    """Serve a Loop's champion and arms until SIGTERM or SIGINT.

    Args:
        store_path: The store whose ledger says what is served.
        name: Name of the Loop.
        features: The Loop's `features()`; a bundle that was trained with another one is not loaded.
        clock: What time it is.
        header_clock: Take the time of a request from its header `homeostat-time`.
        host: Address to bind; anything but loopback needs the variable HOMEOSTAT_TOKEN.
        port: Port to bind; 0 lets the system choose.
        ready_file: Where the endpoint is written; `serve-<name>.json` in the store by default.
        trusted: Types of the user's own estimators, as for `Bundle.load`.
        settings: Limits; name, token, host and clock in it are overridden.
        scorer: Command line of the process that scores for arms that do not answer; see `ProcessScorer`. With
            `features`, only the caller knows one; without, they score in threads of this process.

    Raises:
        RefusedError: Not loopback, and no token.
        StoreError: The port or the log cannot be had.
    """
    # Threads that score must not keep the event loop waiting for Python's default of 5 ms.
    sys.setswitchinterval(0.000_5)
    listener, token = listen(host, port), os.environ.get(TOKEN_VARIABLE) or None
    endpoint = _endpoint(host, listener)
    file = ready_file or endpoint_file(store_path, name)
    base = settings or Settings(name=name)
    told = msgspec.structs.replace(base, name=name, token=token, host=host, header_clock=header_clock)
    if scorer is None and features is None:
        scorer = command(store_path, name, trusted)
    # Whoever plays traffic back waits for no wall clock, and has no callers that a shadow could harm.
    scorer = None if header_clock else scorer
    store, clock = Store.open(store_path), clock or SystemClock()
    with application(store, told, features, clock, trusted=trusted, scorer=scorer) as app:
        try:
            # What was made until here stays: the collector need not look through it again, request after request.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_YOUNG_OBJECTS)
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_run(app, listener, lambda: _write_atomically(file, msgspec.json.encode(endpoint))))
        finally:
            if _is_ours(file):
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def application(
    store: Store,
    settings: Settings,
    features: Features | None,
    clock: Clock,
    *,
    trusted: Sequence[str] = (),
    scorer: Sequence[str] | None = None,
) -> Iterator[Application]:
    """An application with its log and its router running; closed in the order that loses nothing.

    Without a command for `scorer`, arms that do not answer score in threads.
    """
    folder = store.log_folder(settings.name)
    log = LogWriter(folder, most_bytes=settings.log_bytes, when_full=settings.when_full)
    metrics = Metrics()
    others = Others(folder, threads(log, folder) if scorer is None else processes(scorer, folder))
    load = partial(load_version, store, settings.name, features=features, trusted=trusted)
    router = Router(store.ledger, settings.name, load, before=others.follow)
    hosted = Hosted(
        settings.name,
        router,
        log,
        others,
        metrics,
        clock,
        header_clock=settings.header_clock,
        most_rows=settings.most_rows,
    )
    router.start()
    try:
        yield Application(settings, {settings.name: hosted}, metrics, clock)
    finally:
        router.stop()
        others.close()
        log.close()


def endpoint_file(store_path: Path | str, name: str) -> Path:
    """Where a server says how to reach it."""
    return Path(store_path) / f"serve-{name}.json"


def read_endpoint(store_path: Path | str, name: str) -> Endpoint | None:
    """The endpoint of the running server of a Loop, or None."""
    try:
        return msgspec.json.decode(endpoint_file(store_path, name).read_bytes(), type=Endpoint)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket at an address that may be served at.

    Raises:
        RefusedError: Not loopback, and no token.
        StoreError: The address cannot be had.
    """
    if not is_loopback(host) and not os.environ.get(TOKEN_VARIABLE):
        what = f"{host} is not loopback, and the server has no token"
        raise RefusedError(what, hint=f"set {TOKEN_VARIABLE}, or bind to 127.0.0.1 behind a proxy")
    return bind(host, port)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        StoreError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # From here on callers queue up: whoever reads the endpoint file is never refused.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        what = f"the address {host}:{port} cannot be had: {error.strerror}"
        raise StoreError(what, hint="is another server running there? choose another port, or 0 for any") from error
    listener.setblocking(False)
    return listener


async def _run(app: Application, listener: socket.socket, announce: Callable[[], None]) -> None:
    import uvicorn

    from homeostat.cd.serve.wire import ShortWay

    class Server(uvicorn.Server):
        """Signals are ours: unready first, then drain, then leave with exit code 0."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        http=ShortWay,
        loop="none",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(_DRAIN_SECONDS),
    )
    server = Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _leave, app, server)
    announce()
    await server.serve(sockets=[listener])


def _leave(app: Application, server: uvicorn.Server) -> None:
    """Turn unready; requests that are being answered still are."""
    app.draining = True
    server.should_exit = True


def _endpoint(host: str, listener: socket.socket) -> Endpoint:
    port = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    return Endpoint(os.getpid(), host, port, f"http://{shown}:{port}")


def _is_ours(file: Path) -> bool:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Endpoint).pid == os.getpid()
    except (FileNotFoundError, msgspec.MsgspecError):
        return False


def _write_atomically(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(file)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
