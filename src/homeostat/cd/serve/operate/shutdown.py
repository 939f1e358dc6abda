"""While the server runs and as it leaves: housekeeping, supervisors, and an end that no caller notices."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys
from typing import TYPE_CHECKING

from homeostat.cd.serve.telemetry.request_log import tell
from homeostat.cd.serve.telemetry.systemd import notify
from homeostat.core.errors import ENDINGS

if TYPE_CHECKING:
    import uvicorn

    from homeostat.cd.serve.app import Application
    from homeostat.cd.serve.operate.status import Operations

DRAIN_SECONDS = 10.0
"""Longest time that requests in flight are waited for at the end."""

_HOUSEKEEPING_SECONDS = 0.2
_LAST_ANSWER_SECONDS = 1.0
"""So long a connection that is there may take to ask again, and be told with the answer that it is its last: none is
closed under a request that is on its way."""

_LOOK_SECONDS = 0.05

_SETTLE_SECONDS = 0.02
_SO_ATTACH_FILTER = 26


class Departure:
    """How the server leaves: unready at once, answering on for a while, then no new callers, then no requests."""

    def __init__(self, app: Application, server: uvicorn.Server, listener: socket.socket, drain_seconds: float) -> None:
        self._app, self._server, self._listener, self._drain_seconds = app, server, listener, drain_seconds

    def ask(self) -> None:
        """The first signal begins the departure; the second one ends it now."""
        if self._app.operations.draining:
            self._server.force_exit = self._server.should_exit = True
            return
        self._app.operations.draining = True
        notify("STOPPING=1")
        tell("leaving", drain_seconds=self._drain_seconds)
        now = asyncio.get_running_loop().time()
        self._wait(set(self._server.server_state.connections), now + self._drain_seconds, now + _LAST_ANSWER_SECONDS)

    def _wait(self, before: set[object], least: float, most: float) -> None:
        """Answer on until the lead time is over, and the connections that were there have had their last answer."""
        loop = asyncio.get_running_loop()
        before &= self._server.server_state.connections
        if loop.time() >= (max(least, most) if before else least):
            self._close_listener()
        else:
            loop.call_later(_LOOK_SECONDS, self._wait, before, least, most)

    def _close_listener(self) -> None:
        """Take in the callers that wait already; closing the listener on them would be a reset."""
        refuse_new(self._listener)
        asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._end)

    def _end(self) -> None:
        self._server.should_exit = True


def refuse_new(listener: socket.socket) -> None:
    """Have the kernel drop what would open a new connection: who comes now tries again, and is refused or gets another.

    Source: socket(7), SO_ATTACH_FILTER, with a filter of one instruction: return 0 bytes. Elsewhere than on Linux a
    caller may come between the last `accept` and `close`.
    """
    if sys.platform != "linux":
        return
    import ctypes

    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))


class Supervisors:
    """Tells the other workers, systemd's watchdog and the reader of the log whether this process is alive."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._told: list[str] = []

    def __call__(self, problems: list[str]) -> None:
        """Called several times a second, from a thread, with what makes the process not live."""
        self._operations.publish()
        if not self._operations.liveness.hung():
            notify("WATCHDOG=1")
        if bool(problems) != bool(self._told):
            level = logging.ERROR if problems else logging.INFO
            tell("not live" if problems else "live again", level=level, problems=problems)
        self._told = problems


async def keep_house(app: Application) -> None:
    """What is due a few times a second, for as long as the event loop turns."""
    while True:
        try:
            app.operations.liveness.beat()
        except (*ENDINGS, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - without a beat the loop would be taken for stuck
            tell("the models could not be looked after", level=logging.ERROR, error=error)
        await asyncio.sleep(_HOUSEKEEPING_SECONDS)
