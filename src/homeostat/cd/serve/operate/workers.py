"""What several server processes at one port know of each other: a small file each, merged by whichever is asked.

Every worker writes its own file a few times a second and before it answers for all, by an atomic rename. So whatever
was once shown is in the files, and counters never fall, not even when a worker dies: the next one at its place takes
over what its file counts.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from homeostat.cd.serve.routing import RoutingStatus
from homeostat.cd.serve.telemetry.exposition import counters, merge
from homeostat.cd.serve.telemetry.families import Snapshot
from homeostat.core.claims import is_running
from homeostat.core.clock import stopwatch
from homeostat.core.files import make_folder, write_whole

STALE_SECONDS = 5.0
"""A living worker writes several times a second; one that was silent for so long is stuck."""

_SUFFIX = ".worker"


class WorkerState(msgspec.Struct, frozen=True):
    """What a worker says about itself.

    Attributes:
        place: Its number, from 0.
        written: On the stopwatch, which all processes of a machine share.
        live, ready, draining: As in its health.
        hung: Why it should be replaced, in words.
        counts: Everything counted at this place, also by the workers before it.
    """

    place: int
    pid: int
    written: float
    live: bool
    ready: bool
    draining: bool
    problems: list[str]
    hung: list[str]
    routing: dict[str, RoutingStatus]
    counts: Snapshot


class Siblings:
    """The workers at one port, as one of them sees them."""

    def __init__(self, folder: Path, place: int) -> None:
        self._folder, self.place = folder, place
        self._lock = threading.Lock()
        before = _read(self._file(place))
        self._before = counters(before.counts) if before is not None else {}

    def publish(self, tell: Callable[[], WorkerState]) -> WorkerState:
        """Write this worker's state, its counts joined with those of the workers that were here before it.

        Where the disk takes nothing, it takes away what it wrote last: one that is silent is not taken for stuck.

        Args:
            tell: Gives the state; called under a lock, so that no older one overwrites a newer one.
        """
        with self._lock:  # a scrape and the watching thread may publish at the same time
            now = tell()
            state = msgspec.structs.replace(now, counts=merge([self._before, now.counts]))
            file = self._file(self.place)
            try:
                make_folder(self._folder)  # temporary folders are swept when they are old
                write_whole(file, msgspec.json.encode(state), durable=False)
            except OSError:
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)
        return state

    def all(self, own: WorkerState) -> list[WorkerState]:
        """Every worker's state after this one published its own; of a dead one only what it counted."""
        return [own] + [one for one in states(self._folder) if one.place != self.place]

    def _file(self, place: int) -> Path:
        return self._folder / f"{place}{_SUFFIX}"


def states(folder: Path) -> list[WorkerState]:
    """What the workers last said, in the order of their places."""
    found = (_read(file) for file in folder.glob(f"*{_SUFFIX}"))
    return sorted((one for one in found if one is not None), key=lambda one: one.place)


def snapshot(workers: list[WorkerState]) -> Snapshot:
    """One set of numbers for all of them: counters of the dead count on, their gauges do not."""
    return merge(one.counts if is_running(one.pid) else counters(one.counts) for one in workers)


def is_stuck(worker: WorkerState, now: float) -> bool:
    """Whether a process that exists has said nothing for too long."""
    return now - worker.written > STALE_SECONDS


def together(workers: list[WorkerState]) -> tuple[bool, bool, list[str]]:
    """Live, ready and what is wrong, of all that are alive: a worker that is being replaced takes no requests.

    One worker that answers keeps the server live, for the others are restarted; all of them have to be ready.
    """
    now = stopwatch()
    alive = [one for one in workers if is_running(one.pid)]
    live = [one.live and not is_stuck(one, now) for one in alive]
    problems = [f"worker {one.place}: {problem}" for one in alive for problem in one.problems]
    problems += [f"worker {one.place} says nothing" for one in alive if is_stuck(one, now)]
    return any(live), bool(alive) and all(live) and all(one.ready for one in alive), problems


def routing(workers: list[WorkerState], model: str) -> RoutingStatus | None:
    """The division of traffic that all living workers have put in effect: that of the one who is furthest behind."""
    found = [one.routing[model] for one in workers if model in one.routing and is_running(one.pid)]
    if not found:
        return None
    last = min(found, key=lambda one: (one.seq is not None, one.seq or 0))
    errors = [one.error for one in found if one.error]
    wanted = max((one.wanted for one in found if one.wanted is not None), default=None)
    return msgspec.structs.replace(last, wanted=wanted, error=errors[0] if errors else None)


def _read(file: Path) -> WorkerState | None:
    with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
        return msgspec.json.decode(file.read_bytes(), type=WorkerState)
    return None
