"""Several server processes at one port: started, watched, restarted when they die or hang, and ended together.

Each worker binds the port by itself (SO_REUSEPORT) when it can answer, so the kernel spreads connections over those
that do, and one that died gets none. The parent holds the port without listening, so nobody else can take it.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from homeostat.cd.serve.listen import announced, listen, reserve
from homeostat.cd.serve.operate.workers import WorkerState, is_stuck, states
from homeostat.cd.serve.telemetry.request_log import set_up_logging, tell
from homeostat.cd.serve.telemetry.systemd import notify
from homeostat.core.clock import stopwatch
from homeostat.engine.live.children import Child

_START_SECONDS = 600.0
"""A model may take minutes to load; a process that ends is noticed at once."""
_LOOK_SECONDS = 0.1
_DRAIN_SECONDS = 20.0
"""A worker that has not ended so long after its lead time is ended."""


class Workers:
    """The server processes of one port."""

    def __init__(
        self,
        count: int,
        arguments: Sequence[str],
        *,
        host: str,
        port: int,
        announce: Sequence[Path],
        drain_seconds: float = 0.0,
    ) -> None:
        self._count, self._arguments = count, list(arguments)
        self._host, self._port = host, port
        self._announce = list(announce)
        self._patience = drain_seconds + _DRAIN_SECONDS
        self._children: list[Child] = []
        self._halted = threading.Event()
        self._signals = 0

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one ends the workers without waiting for their callers.

        Raises:
            RefusedError: The address may not be served at, or a worker ended for something that the user can mend.
            StoreError: The address cannot be had.
        """
        set_up_logging()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        if self._port:
            listen(self._host, self._port).close()
        with reserve(self._host, self._port) as held, tempfile.TemporaryDirectory(prefix="homeostat-") as folder:
            port = held.getsockname()[1]
            self._children = [self._child(place, Path(folder), port) for place in range(self._count)]
            try:
                self._begin(Path(folder))
                with announced(self._announce, self._host, port):
                    self._keep(Path(folder))
            finally:
                self._end()

    def _child(self, place: int, folder: Path, port: int) -> Child:
        where = ["--host", self._host, "--port", str(port), "--worker", str(place), "--folder", str(folder)]
        return Child(f"worker {place}", "homeostat.engine.live.server_process", [*self._arguments, *where], log=None)

    def _begin(self, folder: Path) -> None:
        """Start all of them, and wait until they listen: connections that come earlier would all go to the first."""
        for child in self._children:
            child.start()
        for place, child in enumerate(self._children):
            child.wait_for(partial(self._has_begun, folder, place), seconds=_START_SECONDS)

    def _has_begun(self, folder: Path, place: int) -> bool:
        listens = any(one.place == place and one.pid == self._children[place].pid for one in states(folder))
        return listens or self._halted.is_set()

    def _keep(self, folder: Path) -> None:
        while not self._halted.wait(_LOOK_SECONDS):
            notify("WATCHDOG=1")
            said = {one.pid: one for one in states(folder)}
            for place, child in enumerate(self._children):
                if child.blames_the_user:
                    raise child.failure()
                if hung := _is_hung(said.get(child.pid or 0)):
                    tell("worker is killed", worker=place, pid=child.pid, why=hung)
                    child.kill()
                if child.revive():
                    tell("worker is started again", worker=place, pid=child.pid)

    def _end(self) -> None:
        for child in self._children:
            child.signal(signal.SIGTERM)
        end = stopwatch() + self._patience
        for child in self._children:
            child.await_end(max(0.1, end - stopwatch()))

    def _ask(self, _signal: int, _frame: Any) -> None:
        self._halted.set()
        self._signals += 1
        notify("STOPPING=1")
        if self._signals > 1:
            for child in self._children:
                child.signal(signal.SIGTERM)


def _is_hung(state: WorkerState | None) -> str | None:
    """Why a worker that exists is of no use, or None."""
    if state is None:
        return None
    if state.hung:
        return "; ".join(state.hung)
    return "it says nothing" if is_stuck(state, stopwatch()) else None
