"""Whether the server can still answer: golden rows through the real model path, and a thread that watches the loop.

A server whose model never returns, whose scoring thread died, or whose event loop is stuck still accepts connections.
So a row whose answer is known goes through the same decoder, batcher and model as traffic does, at most once a second
and only when no traffic proved the same; it is neither logged nor counted. A thread looks whether the event loop turns,
and answers for it, with 503 and the reason, while it does not.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from homeostat.core.clock import stopwatch
from homeostat.core.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Iterable

PROBE_SECONDS = 1.0
_MOST_SHARE = 50
"""A probe takes place at most every so many times of what a row takes: 2 % of a core."""
_LOOK_SECONDS = 0.2
_STOPPED_SECONDS = 5.0
_VISIT_SECONDS = 1.0
_LONGEST_HEAD = 1 << 16


class Target(msgspec.Struct, frozen=True):
    """One hosted model.

    Attributes:
        name, version: The model, and its version that is probed.
        seconds: What a row takes.
        answered: How many rows of traffic that version has answered so far.
        probe: Sends a row that it can answer on its way, and has the outcome told: an error, or None.
    """

    name: str
    version: int
    seconds: float
    answered: int
    probe: Callable[[Callable[[BaseException | None], None]], None]


class _Pulse(msgspec.Struct):
    """What is known of one version of a model."""

    answered: int
    since: float
    """When it was last seen to answer, or was asked the first row that it did not answer."""
    due: float = 0.0
    asked: bool = False
    failure: str | None = None

    def told(self, error: BaseException | None) -> None:
        """A golden row came to its end."""
        self.asked = False
        # One that is busy, or did not get to it in time, is judged by the traffic that it answers.
        if not isinstance(error, RetryableError):
            self.failure = None if error is None else f"{type(error).__name__}: {error}".partition("\n")[0][:200]


class Liveness:
    """Probes the models and says what is wrong.

    Args:
        targets: The models to probe, as they are now.
        hang_seconds: A model that answers nothing for so long is taken for dead, and so is an event loop that does not
            turn.

    Example:
        >>> liveness = Liveness(lambda: [], hang_seconds=15.0)
        >>> liveness.problems()
        []
    """

    def __init__(self, targets: Callable[[], Iterable[Target]], *, hang_seconds: float = 15.0) -> None:
        self._targets = targets
        self.hang_seconds = hang_seconds
        self._pulses: dict[tuple[str, int], _Pulse] = {}
        self._beat: float | None = None

    def beat(self) -> None:
        """Look after every model; called on the event loop a few times a second, which proves that it turns."""
        now = self._beat = stopwatch()
        targets = {(one.name, one.version): one for one in self._targets()}
        for gone in self._pulses.keys() - targets.keys():
            del self._pulses[gone]
        for key, one in targets.items():
            _look(one, self._pulses.setdefault(key, _Pulse(one.answered, now)), now)

    def problems(self, now: float | None = None) -> list[str]:
        """Why the process should be replaced: what has been stuck or failing for too long."""
        now = stopwatch() if now is None else now
        stuck = self.stuck(now)
        found = [stuck] if stuck else []
        for (name, version), pulse in list(self._pulses.items()):
            silent = now - pulse.since
            if silent <= self.hang_seconds or (not pulse.asked and pulse.failure is None):
                continue
            why = f" ({pulse.failure})" if pulse.failure else ""
            found.append(f"model {name!r} version {version} has answered nothing for {silent:.0f} s{why}")
        return found

    def failures(self) -> list[str]:
        """Models that failed on a row which they can answer, for whatever time: no request should be sent here."""
        return [
            f"model {name!r} version {version} fails on its own golden row: {pulse.failure}"
            for (name, version), pulse in list(self._pulses.items())
            if pulse.failure
        ]

    def stuck(self, now: float) -> str | None:
        """Whether the event loop stands still, in words."""
        if self._beat is None or now - self._beat <= self.hang_seconds:
            return None
        return f"the event loop has not turned for {now - self._beat:.0f} s: a model or `features()` does not return"


def _look(target: Target, pulse: _Pulse, now: float) -> None:
    if target.answered > pulse.answered:
        pulse.answered, pulse.since, pulse.failure, pulse.due = target.answered, now, None, now + PROBE_SECONDS
    if pulse.asked or now < pulse.due:
        return
    if pulse.failure is None:
        pulse.since = now
    pulse.asked, pulse.due = True, now + max(PROBE_SECONDS, _MOST_SHARE * target.seconds)
    try:
        target.probe(pulse.told)
    except Exception as error:  # noqa: BLE001 - whatever it is, the model cannot answer
        pulse.told(error)


class Watch:
    """The thread that looks whether the event loop turns, and answers in its place while it does not.

    Args:
        liveness: Knows when the loop turned last.
        listener: The server's listening socket; None when there is none to answer at.
        tick: Called at every look, from the thread, with what is wrong; tells supervisors.
    """

    def __init__(
        self, liveness: Liveness, listener: socket.socket | None, tick: Callable[[list[str]], None] = lambda _: None
    ) -> None:
        self._liveness, self._listener, self._tick = liveness, listener, tick
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        looked = stopwatch()
        while not self._closed.wait(_LOOK_SECONDS):
            before, looked = looked, stopwatch()
            if looked - before > _STOPPED_SECONDS:
                continue  # the whole process stood still, as in a machine that was paused: the loop may turn first
            self._tick(self._liveness.problems())
            if self._listener is not None and (stuck := self._liveness.stuck(stopwatch())):
                self._stand_in(self._listener, stuck)

    def _stand_in(self, listener: socket.socket, why: str) -> None:
        """Answer the callers who wait at the door, until there are none for a moment."""
        with contextlib.suppress(OSError, ValueError):
            while not self._closed.is_set() and select.select([listener], [], [], _LOOK_SECONDS)[0]:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    turn_away(connection, why)
                if self._liveness.stuck(stopwatch()) is None:
                    return


def turn_away(connection: socket.socket, why: str) -> None:
    """Read one request and answer it with 503."""
    connection.settimeout(_VISIT_SECONDS)
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD:
        part = connection.recv(_LONGEST_HEAD)
        if not part:
            return
        head += part
    body = msgspec.json.encode({"live": False, "ready": False, "error": why, "problems": [why]})
    lines = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\n"
    connection.sendall(lines + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    # What was sent but not read would turn the answer into a reset.
    connection.shutdown(socket.SHUT_WR)
    end = stopwatch() + _VISIT_SECONDS
    while connection.recv(_LONGEST_HEAD) and stopwatch() < end:
        continue
