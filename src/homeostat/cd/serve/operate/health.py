"""Whether the server can still answer: golden rows through the real model path, and a thread that watches the loop.

A server whose model never returns, whose scoring thread died, or whose event loop is stuck still accepts connections.
So a row whose answer is known goes through the same decoder, batcher and model as traffic does, at most twice a second
and only when no traffic proved the same; it is neither logged nor counted. A thread looks whether the event loop turns,
and answers for it, with 503 and the reason, while it does not.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterable
from logging import ERROR

import msgspec

from homeostat.cd.serve.telemetry.request_log import tell
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS, RetryableError

PROBE_SECONDS = 0.5
NOTICE_SECONDS = 1.0
"""A model whose rows wait for so long, beyond what its calls are known to take, does not answer."""

LOOP_SECONDS = 1.4
"""The same of the event loop, which may have a large request to decode."""

_MOST_SHARE = 50
"""A probe takes place at most every so many times of what a row takes: 2 % of a core."""
_CROWDED = 4
"""A call may take so many times of what calls took so far: others may want the processor too."""
_LONGEST_CALL = 60.0
"""A call of many rows is not trusted with more than this, whatever is expected of it."""
_LOOK_SECONDS = 0.2
_MOST_STEP = 2 * _LOOK_SECONDS
"""What is longer between two looks is a process that stood still, as a machine that was paused: it is not counted."""
_VISIT_SECONDS = 1.0
_LONGEST_HEAD = 1 << 16


class HealthTarget(msgspec.Struct, frozen=True):
    """One model.

    Attributes:
        seconds: What a row takes.
        answered: How many rows of traffic that version has answered so far.
        calls: How many calls of the model have come to an end so far, whatever that was.
        waits: Whether rows wait for it, or are with it.
        in_hand: Seconds that the call which it is in can be expected to take.
        probe: Sends a row that it can answer on its way, and has the outcome told: an error, or None.
    """

    name: str
    version: int
    seconds: float
    answered: int
    calls: int
    waits: bool
    in_hand: float
    probe: Callable[[Callable[[BaseException | None], None]], None]


class _Pulse(msgspec.Struct):
    """What is known of one version of a model."""

    answered: int
    calls: int
    looked: float
    silent: float = 0.0
    """Seconds for which rows waited and no call came to an end, or its own golden row failed."""
    slack: float = 0.0
    """Seconds beyond the usual patience, for a call that is known to take long."""
    due: float = 0.0
    asked: bool = False
    failure: str | None = None

    def told(self, error: BaseException | None) -> None:
        """A golden row came to its end."""
        self.asked = False
        # One that is busy, or did not get to it in time, is judged by the traffic that it answers.
        if not isinstance(error, RetryableError):
            self.failure = None if error is None else f"{type(error).__name__}: {error}".partition("\n")[0][:200]
            self.silent *= error is not None


class Liveness:
    """Probes the models and says what is wrong.

    Args:
        targets: The models to probe, as they are now.
        hang_seconds: What has not answered for so long is taken for dead: whoever can replace the process does.

    Example:
        >>> liveness = Liveness(lambda: [], hang_seconds=15.0)
        >>> liveness.problems()
        []
    """

    def __init__(self, targets: Callable[[], Iterable[HealthTarget]], *, hang_seconds: float = 15.0) -> None:
        self._targets = targets
        self.hang_seconds = hang_seconds
        self._pulses: dict[tuple[str, int], _Pulse] = {}
        self._beats = self._seen = 0
        self._watched = self._still = 0.0

    def beat(self, now: float | None = None) -> None:
        """Look after every model; called on the event loop a few times a second, which proves that it turns."""
        now = stopwatch() if now is None else now
        self._beats += 1
        targets = {(one.name, one.version): one for one in self._targets()}
        for gone in self._pulses.keys() - targets.keys():
            del self._pulses[gone]
        for key, one in targets.items():
            _look(one, self._pulses.setdefault(key, _Pulse(one.answered, one.calls, now)), now)

    def watch(self, now: float) -> None:
        """Look whether the event loop turns; called a few times a second by a thread beside it."""
        step, self._watched = min(now - self._watched, _MOST_STEP), now
        turned, self._seen = self._seen != self._beats, self._beats
        self._still = 0.0 if turned or not self._beats else self._still + step

    def problems(self) -> list[str]:
        """Why this process cannot answer now; each is seen within two seconds, and gone when it answers again."""
        return self._silent(min(NOTICE_SECONDS, self.hang_seconds), min(LOOP_SECONDS, self.hang_seconds))

    def hung(self) -> list[str]:
        """Why the process should be replaced: what has not answered for `hang_seconds`."""
        return self._silent(self.hang_seconds, self.hang_seconds)

    def failures(self) -> list[str]:
        """Models that failed on a row which they can answer, for whatever time: no request should be sent here."""
        return [
            f"model {name!r} version {version} fails on its own golden row: {pulse.failure}"
            for (name, version), pulse in list(self._pulses.items())
            if pulse.failure
        ]

    def stuck(self, patience: float | None = None) -> str | None:
        """Whether the event loop stands still, in words."""
        patience = min(LOOP_SECONDS, self.hang_seconds) if patience is None else patience
        if self._still <= patience:
            return None
        return f"the event loop has not turned for {self._still:.0f} s: a model or `features()` does not return"

    def _silent(self, patience: float, of_loop: float) -> list[str]:
        stuck = self.stuck(of_loop)
        found = [stuck] if stuck else []
        for (name, version), pulse in list(self._pulses.items()):
            # One that fails answers, if only that it fails; it is unready, and dead when it goes on failing.
            if pulse.silent <= (self.hang_seconds if pulse.failure else patience) + pulse.slack:
                continue
            why = f" ({pulse.failure})" if pulse.failure else ""
            found.append(f"model {name!r} version {version} has answered nothing for {pulse.silent:.0f} s{why}")
        return found


def _look(target: HealthTarget, pulse: _Pulse, now: float) -> None:
    step, pulse.looked = min(now - pulse.looked, _MOST_STEP), now
    if target.answered > pulse.answered:
        pulse.failure, pulse.due, pulse.silent = None, now + PROBE_SECONDS, 0.0
    elif pulse.failure is None and (target.calls != pulse.calls or not (pulse.asked or target.waits)):
        pulse.silent = 0.0
    else:
        pulse.silent += step
    pulse.answered, pulse.calls = target.answered, target.calls
    pulse.slack = _CROWDED * max(target.seconds, min(target.in_hand, _LONGEST_CALL))
    if pulse.asked or now < pulse.due:
        return
    pulse.asked, pulse.due = True, now + max(PROBE_SECONDS, _MOST_SHARE * target.seconds)
    try:
        target.probe(pulse.told)
    except ENDINGS:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, the model cannot answer
        pulse.told(error)


class Watchdog:
    """The thread that looks whether the event loop turns, and answers in its place while it does not."""

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
        while not self._closed.wait(_LOOK_SECONDS):
            try:
                self._look()
            except ENDINGS:
                raise
            except BaseException as error:  # noqa: BLE001 - without a look nobody would notice a stuck loop
                tell("the server could not be looked after", level=ERROR, error=error)

    def _look(self) -> None:
        self._liveness.watch(stopwatch())
        self._tick(self._liveness.problems())
        if self._listener is not None and (stuck := self._liveness.stuck()):
            self._stand_in(self._listener, stuck)

    def _stand_in(self, listener: socket.socket, why: str) -> None:
        """Answer the callers who wait to be let in, until there are none for a moment."""
        with contextlib.suppress(OSError, ValueError):
            while not self._closed.is_set() and select.select([listener], [], [], _LOOK_SECONDS)[0]:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    turn_away(connection, why)
                self._liveness.watch(stopwatch())
                if self._liveness.stuck() is None:
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
