"""The arms that do not answer a row score it too, after the reply, where they can harm nobody.

The server only notes in the log which versions a row awaits. Each of them has a follower of the log, in a process of
its own that steps back behind the server: it may hang, crash or eat its memory, and nothing but its own scores is late
or lost.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from homeostat.cd.serve.shadow.follower import Follower, FollowerNotes, ShadowStats
from homeostat.cd.serve.telemetry.request_log import tell
from homeostat.core.clock import pause, stopwatch
from homeostat.core.errors import ENDINGS
from homeostat.core.files import make_folder, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from homeostat.cd.log import LogWriter
    from homeostat.cd.serve.routing import Division
    from homeostat.cd.serve.scoring.version import LoadedVersion

SCHEDULING: int | None = getattr(os, "SCHED_IDLE", None)
"""A scorer gets what nobody else wants of the processors: even on the server's own core it does not delay an answer."""

HUNG_SECONDS = 60.0
"""A process that has noted nothing for so long, although it was let run, hangs in a call and is ended."""

POLL_SECONDS = 0.02
"""How long a follower that has nothing to do waits before it looks at the log again."""

_WATCH_SECONDS = 0.1
_LEAVE_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY_SECONDS = 0.5, 60.0, 300.0
_ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class ShadowWorker(Protocol):
    """Whatever scores what awaits one version."""

    notes: FollowerNotes

    def watch(self) -> None:
        """Look after it; called several times a second."""

    @property
    def stats(self) -> ShadowStats:
        """What it has done."""

    def leave(self) -> None:
        """Ask it to score what waits, and end."""

    @property
    def gone(self) -> bool:
        """Whether it has ended."""

    def kill(self) -> None:
        """End it at once, as far as it can be ended."""


class ShadowSupervisor:
    """The arms beside the answering one."""

    def __init__(self, log: Path, scorer: Callable[[int, LoadedVersion], ShadowWorker]) -> None:
        self._log, self._make = log, scorer
        self._scorers: dict[int, ShadowWorker] = {}
        self._leaving: dict[int, tuple[ShadowWorker, float]] = {}
        self._last: dict[int, ShadowStats] = {}
        self._faults: dict[int, str] = {}
        self._lock = threading.Lock()
        self._wake, self._closed = threading.Event(), False
        self._thread: threading.Thread | None = None

    @property
    def stats(self) -> dict[int, ShadowStats]:
        """What was done for each version since its trial began, and for those whose trial is over."""
        # Without the lock, which is held while a process is started: who asks for metrics is the event loop.
        return self._last | {version: scorer.stats for version, scorer in list(self._scorers.items())}

    def follow(self, table: Division) -> None:
        """Score beside this table; called before it is put into effect, so that no row is missed."""
        wanted = {arm.version for arm in table.arms} - {table.sole}
        with self._lock:
            for version in wanted - self._scorers.keys():
                with suppress(OSError):  # a disk that is full keeps no version from being put into effect
                    FollowerNotes(self._log, version).begin()
                self._scorers[version] = self._make(version, table.served[version])
            for version in self._scorers.keys() - wanted:
                scorer = self._scorers.pop(version)
                scorer.leave()
                self._leaving[version] = (scorer, stopwatch() + _LEAVE_SECONDS)
            if self._scorers and self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="others", daemon=True)
                self._thread.start()
        self._wake.set()

    def close(self, *, patience: float = 2.0) -> None:
        """Have scored what waits and stop; what takes longer than `patience` seconds is left to the next server."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        scorers = [*self._scorers.values(), *(scorer for scorer, _ in self._leaving.values())]
        for scorer in scorers:
            scorer.leave()
        end = stopwatch() + patience
        while stopwatch() < end and not all(scorer.gone for scorer in scorers):
            pause(0.002)
        for scorer in scorers:
            scorer.kill()

    def _watch(self) -> None:
        while not self._closed:
            with self._lock:
                for version, scorer in self._scorers.items():
                    self._guarded(version, scorer.watch)
                for version in list(self._leaving):
                    self._guarded(version, partial(self._see_off, version))
                busy = bool(self._scorers or self._leaving)
            self._wake.wait(_WATCH_SECONDS if busy else None)
            self._wake.clear()

    def _guarded(self, version: int, act: Callable[[], None]) -> None:
        """Do something for one version; what it raises is told once, and the next look is another attempt."""
        try:
            act()
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - the other versions have to be looked after too
            if self._faults.get(version) != repr(error):
                self._faults[version] = repr(error)
                what = f"version {version} cannot be scored beside the answering one"
                tell(what, level=logging.WARNING, version=version, error=error)
        else:
            self._faults.pop(version, None)

    def _see_off(self, version: int) -> None:
        """Forget a scorer that has ended, and end one that takes too long to."""
        scorer, end = self._leaving[version]
        if not scorer.gone and stopwatch() < end:
            return
        scorer.kill()
        self._last[version] = scorer.stats
        del self._leaving[version]
        if version not in self._scorers:
            scorer.notes.forget()


class ShadowThread:
    """A follower in a thread of this process: for embedded applications, and for traffic that is played back."""

    def __init__(self, log: LogWriter, folder: Path, version: int, served: LoadedVersion) -> None:
        self.notes = FollowerNotes(folder, version)
        self._follower = Follower(folder, version, lambda: served, log.append)
        self._leave, self._kill = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"shadow-{version}", daemon=True)
        self._thread.start()

    def watch(self) -> None:
        """A thread cannot be helped."""

    @property
    def stats(self) -> ShadowStats:
        """See `ShadowWorker.stats`."""
        return self._follower.stats

    def leave(self) -> None:
        """See `ShadowWorker.leave`."""
        self._leave.set()

    @property
    def gone(self) -> bool:
        """See `ShadowWorker.gone`."""
        return not self._thread.is_alive()

    def kill(self) -> None:
        """Leave it behind."""
        self._kill.set()

    def _run(self) -> None:
        follow(self._follower, self._leave, self._kill, poll=POLL_SECONDS / 4)


def follow(follower: Follower, leave: threading.Event, kill: threading.Event, *, poll: float = POLL_SECONDS) -> None:
    """Drive a follower until it is told to leave and has done what waits.

    `leave` ends it when nothing waits any more, `kill` after the call in hand.
    """
    told = ""
    while not kill.is_set():
        leaving, busy = leave.is_set(), False
        try:
            busy = follower.step()
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - what cannot be read or noted now is tried again
            if told != (told := repr(error)):
                what = f"version {follower.version} cannot be scored beside the answering one"
                tell(what, level=logging.WARNING, version=follower.version, error=error)
        if leaving and not busy:
            break
        if not busy:
            leave.wait(poll)
    with suppress(OSError):  # the next one begins where the note before this one says
        follower.note()


class ShadowProcess:
    """A follower in a process of its own, started again when it dies.

    Args:
        command: What to run; the version's number is appended, and how the process before ended, if it died.
        folder: The log folder.
        version: Which version.
    """

    def __init__(self, command: Sequence[str], folder: Path, version: int) -> None:
        self.notes = FollowerNotes(folder, version)
        self._command = [*command, str(version)]
        self._version = version
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: str | None = None
        self._left = False
        self._started = self._again = self._seen = 0.0
        self._noted = self._used = 0
        self._pause = _FIRST_PAUSE

    @property
    def stats(self) -> ShadowStats:
        """See `ShadowWorker.stats`; also when another server's process does the work."""
        note = self.notes.read()
        return note.stats if note is not None else ShadowStats()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def watch(self) -> None:
        """Start it, start it again when it died, end it when it hangs; one server of a log does, and others wait."""
        if self._process is None:
            if not self._left and stopwatch() >= self._again and self._may():
                self._start()
        elif (code := self._process.poll()) is not None:
            self._hang_up()
            self._bury(f"exit code {code}" if code >= 0 else signal.Signals(-code).name)
        elif self._hangs():
            self.kill()
            self._bury(f"it took longer than {HUNG_SECONDS:.0f} s")

    def leave(self) -> None:
        """See `ShadowWorker.leave`: it reads the end of its input."""
        self._left = True
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    @property
    def gone(self) -> bool:
        """See `ShadowWorker.gone`."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """See `ShadowWorker.kill`."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._hang_up()

    def _may(self) -> bool:
        if self._lock is None:
            make_folder(self.notes.folder)
            lock = os.fdopen(open_regular(self.notes.lock, os.O_WRONLY | os.O_CREAT), "wb")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                return False
            self._lock = lock
        return True

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module, or what the caller of `serve` gave
            [*self._command, *([self._ended] if self._ended else [])],
            stdin=subprocess.PIPE,
            env=os.environ | _ONE_THREAD,
        )
        if SCHEDULING is not None:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(self._process.pid, SCHEDULING, os.sched_param(0))
        self._started = self._seen = stopwatch()

    def _bury(self, ended: str) -> None:
        """It died: the rows that it had in hand are given up, and it is started again, later each time."""
        self._process, self._ended = None, ended
        if stopwatch() - self._started > _STEADY_SECONDS:
            self._pause = _FIRST_PAUSE
        self._again = stopwatch() + self._pause
        what = f"the process that scores for version {self._version} ended: {ended}"
        tell(what, level=logging.WARNING, version=self._version, again_in_seconds=self._pause)
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause)

    def _hangs(self) -> bool:
        try:
            noted = self.notes.file.stat().st_mtime_ns
        except FileNotFoundError:
            noted = 0
        if noted != self._noted or self._starves():
            self._noted, self._seen = noted, stopwatch()
        return stopwatch() - self._seen > HUNG_SECONDS

    def _starves(self) -> bool:
        """Whether it would go on if it were let, but others take the processor."""
        assert self._process is not None
        with suppress(OSError):
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            used, before = sum(map(int, fields[11:13])), self._used
            self._used = used
            return fields[0] == "R" and used == before
        return False

    def _hang_up(self) -> None:
        """Give back the pipe, and the lock once it is over."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._left and self._lock is not None:
            self._lock.close()
            self._lock = None


def threads(log: LogWriter, folder: Path) -> Callable[[int, LoadedVersion], ShadowWorker]:
    """Scorers in threads of this process."""
    return lambda version, served: ShadowThread(log, folder, version, served)


def processes(command: Sequence[str], folder: Path) -> Callable[[int, LoadedVersion], ShadowWorker]:
    """Scorers in processes of their own; see `ShadowProcess`."""
    return lambda version, _: ShadowProcess(command, folder, version)


def command(store_path: Path | str, name: str, trusted: Collection[str] = ()) -> list[str]:
    """The command line of a process that scores for a Loop without `features()`."""
    types = [word for one in trusted for word in ("--trusted", one)]
    module = "homeostat.cd.serve.shadow.process"
    return [sys.executable, "-m", module, "--store", str(store_path), "--name", name, *types]
