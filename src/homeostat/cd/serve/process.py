"""The server process: bind, follow the ledger, answer, and leave in good order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.log import LogWriter
from homeostat.cd.serve.app import Application, Around
from homeostat.cd.serve.listen import TOKEN_VARIABLE, announced, endpoint_file, listen, share
from homeostat.cd.serve.model import ServedModel
from homeostat.cd.serve.operate.health import Watchdog
from homeostat.cd.serve.operate.shutdown import DRAIN_SECONDS, Departure, Supervisors, keep_house
from homeostat.cd.serve.operate.tracing import TimedLog, tracing_from_environment
from homeostat.cd.serve.operate.workers import Siblings
from homeostat.cd.serve.protocols import PROTOCOLS
from homeostat.cd.serve.routing import Router
from homeostat.cd.serve.scoring.loading import load_version
from homeostat.cd.serve.settings import OperatingSettings, Settings, operating_settings
from homeostat.cd.serve.shadow.supervisor import ShadowSupervisor, command, processes, threads
from homeostat.cd.serve.telemetry.counters import Metrics
from homeostat.cd.serve.telemetry.request_log import set_up_logging
from homeostat.core.clock import Clock, SystemClock, pause
from homeostat.core.store import Store

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from homeostat.cd.serve.protocols import Protocol
    from homeostat.core.model import Features

_STEP_BACK_SECONDS = 0.005
_YOUNG_OBJECTS = 10_000
"""New objects between two looks of the garbage collector: requests leave next to nothing behind."""


class Worker(msgspec.Struct, frozen=True):
    """One of several server processes at a port.

    Attributes:
        place: Its number, from 0.
        folder: Where the workers of this port, and nobody else, tell each other what they counted.
    """

    place: int
    folder: Path


class Hosting(msgspec.Struct, frozen=True):
    """A model to serve.

    Attributes:
        features: The Loop's `features()`; a bundle that was trained with another one is not loaded.
        trusted: Types of the user's own estimators, as for `Bundle.load`.
        scorer: Command line of the process that scores for arms that do not answer; see `ShadowProcess`. Without, they
            score in threads of this process.
    """

    name: str
    features: Features | None = None
    trusted: tuple[str, ...] = ()
    scorer: tuple[str, ...] | None = None


def serve(
    store_path: Path | str,
    name: str,
    features: Features | None = None,
    *,
    clock: Clock | None = None,
    header_clock: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    trusted: Collection[str] = (),
    settings: Settings | None = None,
    scorer: Sequence[str] | None = None,
    operating: OperatingSettings | None = None,
    worker: Worker | None = None,
    more: Sequence[Hosting] = (),
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
        trusted: Types of the user's own estimators, as for `Bundle.load`.
        settings: Limits, by default with what `operating` says of the log; name, token, host and clock are overridden.
        scorer: As in `Hosting`; with `features`, only the caller knows one.
        operating: How it is operated; as the environment says by default.
        more: Further models, behind the routes that name them.
        worker: Which of several processes at the port this is; their parent says where the server is found.

    Raises:
        RefusedError: Not loopback, and no token.
        StoreError: The port or the log cannot be had.
    """
    sys.setswitchinterval(0.000_5)  # threads that score must not keep the event loop waiting for the usual 5 ms
    set_up_logging()
    listener = listen(host, port) if worker is None else None
    siblings = Siblings(worker.folder, worker.place) if worker else None
    around = Around(siblings, operating := operating or operating_settings(), tracing_from_environment())
    base = settings or Settings(name=name, log_bytes=operating.log_bytes, when_full=operating.when_full)
    own = {"name": name, "token": os.environ.get(TOKEN_VARIABLE) or None, "host": host, "header_clock": header_clock}
    told = msgspec.structs.replace(base, **own)
    store, clock = Store.open(store_path), clock or SystemClock()
    if scorer is None and features is None:
        scorer = command(store_path, name, trusted)
    # Whoever plays traffic back waits for no wall clock, and has no callers that a shadow could harm.
    scorer = None if header_clock else scorer
    with application(store, told, features, clock, trusted=trusted, scorer=scorer, more=more, around=around) as app:
        # A worker has the kernel send it connections only now that it can answer them.
        listener = listener or share(host, port)
        files = [] if worker else [endpoint_file(store_path, model) for model in app.models]
        _run(app, listener, files, operating.drain_seconds)
    if around.tracing is not None:
        around.tracing.close()
    if app.operations.liveness.problems():
        # A model that never returns holds its thread, and Python would wait for it for ever; all else is done.
        os._exit(0)


@contextlib.contextmanager
def application(
    store: Store,
    settings: Settings,
    features: Features | None,
    clock: Clock,
    *,
    trusted: Collection[str] = (),
    scorer: Sequence[str] | None = None,
    more: Sequence[Hosting] = (),
    around: Around = Around(),  # noqa: B008 - frozen
    protocols: Sequence[Protocol] = PROTOCOLS,
) -> Iterator[Application]:
    """An application with its logs and its routers running; closed in the order that loses nothing.

    Without a command for `scorer`, arms that do not answer score in threads. `protocols` is how it may be asked.
    """
    metrics = Metrics()
    wanted = (Hosting(settings.name, features, tuple(trusted), tuple(scorer) if scorer else None), *more)
    with contextlib.ExitStack() as stack:
        models = {
            one.name: stack.enter_context(
                _model(store, settings, one, metrics, clock, protocols, timed=around.tracing is not None)
            )
            for one in wanted
        }
        yield Application(settings, models, metrics, clock, around, protocols)


@contextlib.contextmanager
def _model(
    store: Store,
    settings: Settings,
    wanted: Hosting,
    metrics: Metrics,
    clock: Clock,
    protocols: Sequence[Protocol],
    *,
    timed: bool,
) -> Iterator[ServedModel]:
    folder = store.log_folder(wanted.name)
    log = (TimedLog if timed else LogWriter)(folder, most_bytes=settings.log_bytes, when_full=settings.when_full)
    shadows = ShadowSupervisor(
        folder, threads(log, folder) if wanted.scorer is None else processes(wanted.scorer, folder)
    )

    def between() -> None:
        """A version that is loaded under traffic is loaded in small steps, so that no request waits for all of them."""
        if router.table is not None:
            pause(_STEP_BACK_SECONDS)

    load = partial(load_version, store, wanted.name, features=wanted.features, trusted=wanted.trusted)
    load = partial(load, between=between, protocols=protocols)
    router = Router(store.ledger, wanted.name, load, before=shadows.follow)
    router.start()
    try:
        yield ServedModel(
            wanted.name,
            router,
            log,
            shadows,
            metrics.model(wanted.name),
            clock,
            header_clock=settings.header_clock,
            most_rows=settings.most_rows,
        )
    finally:
        router.stop()
        shadows.close()
        log.close()


def _run(app: Application, listener: socket.socket, files: Sequence[Path], drain_seconds: float) -> None:
    """Answer until it is told to end; what was made until here stays."""
    host, port = app.settings.host, listener.getsockname()[1]
    # The collector need not look through all of it again, request after request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    greeting = announced(files, host, port) if files else contextlib.nullcontext()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_answer(app, listener, greeting, drain_seconds))


async def _answer(
    app: Application, listener: socket.socket, greeting: AbstractContextManager[None], drain_seconds: float
) -> None:
    import uvicorn

    from homeostat.cd.serve.fast_path import ShortWay

    class UvicornServer(uvicorn.Server):
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
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
    )
    server = UvicornServer(config)
    departure = Departure(app, server, listener, drain_seconds)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, departure.ask)
    watch = Watchdog(app.operations.liveness, listener, Supervisors(app.operations))
    keeper = asyncio.create_task(keep_house(app))
    app.operations.publish()
    watch.start()
    try:
        with greeting:
            await server.serve(sockets=[listener])
    finally:
        watch.close()
        keeper.cancel()
        app.operations.publish()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
