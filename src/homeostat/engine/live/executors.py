"""Where runs are carried out: an executor for each kind of place, chosen by one table."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core.clock import Clock, SystemClock, duration
from homeostat.core.errors import HomeostatError, LoopError, RefusedError, UserError
from homeostat.ct.where import Local, Process, TrainingPlace
from homeostat.engine.live.children import Child
from homeostat.engine.training.training import carry_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from homeostat.core.ports import Executor, TrainingSpec
    from homeostat.core.store import Store
    from homeostat.loop import Loop


class ThreadExecutor:
    """In a thread of this process; a run that is cancelled goes on, and its model is not registered."""

    def __init__(self, _place: Local, store: Store, loop: Loop, clock: Clock) -> None:
        self._store, self._loop, self._clock = store, loop, clock
        self._thread: threading.Thread | None = None
        self._error: HomeostatError | None = None

    def start(self, spec: TrainingSpec) -> None:
        """Begin a run."""
        self._error = None
        self._thread = threading.Thread(target=self._work, args=(spec,), name="trainer")
        self._thread.start()

    def running(self) -> bool:
        """Whether the run is under way; raises what ended it without a record."""
        if self._error is not None:
            raise self._error
        return self._thread is not None and self._thread.is_alive()

    def cancel(self, trigger: str) -> None:
        """Leave the thread alone: nothing can end it, and the ledger refuses what it makes for this trigger."""

    def logs(self) -> str:
        """What ended the run; it prints where this process does."""
        return str(self._error or "")

    def close(self) -> None:
        """Wait for the run."""
        if self._thread is not None:
            self._thread.join()

    def _work(self, spec: TrainingSpec) -> None:
        try:
            carry_out(self._store, self._loop, spec.trigger, clock=self._clock)
        except HomeostatError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on and says so
            self._error = UserError(f"{type(error).__name__}: {error}")  # here it would end alike again


class ProcessExecutor:
    """In one child process of low priority, which stays for the next run."""

    def __init__(self, place: Process, store: Store, loop: Loop, _clock: Clock) -> None:
        log = store.path / "logs" / f"{loop.name}-trainer.log"
        self._child = Child("trainer", "homeostat.engine.live.trainer_process", [], log, niceness=place.niceness)
        self._timeout = place.timeout
        self._trigger: str | None = None
        self._since: datetime | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid

    def start(self, spec: TrainingSpec) -> None:
        """Begin a run, in a new process where there is none."""
        if not self._child.running:
            self._child.start()
        self._child.order(msgspec.json.encode(spec).decode())
        self._trigger, self._since = spec.trigger, SystemClock().now()

    def running(self) -> bool:
        """Whether the process is there; raises why it ended, or that it took too long, when it was ended."""
        if self._since is None:
            return False
        if SystemClock().now() - self._since > duration(self._timeout):
            self._child.kill()
            raise RefusedError(f"took longer than {self._timeout}")
        if not self._child.running:
            raise self._child.failure()
        return True

    def cancel(self, trigger: str) -> None:
        """End the process, if it works for this trigger."""
        if self._trigger == trigger:
            self._since = None
            self._child.kill()

    def logs(self) -> str:
        """What it printed since it was started."""
        return self._child.printed()

    def close(self) -> None:
        """Ask the process to end, and make it end when it does not."""
        self._child.stop()


EXECUTORS: dict[type[TrainingPlace], Callable[[Any, Store, Loop, Clock], Executor]] = {
    Local: ThreadExecutor,
    Process: ProcessExecutor,
}
"""What carries runs out at each kind of place; whoever has another kind adds it here.

It is made of the place, the store, the loop and its clock, which nobody but this process shares.
"""


def executor_of(store: Store, loop: Loop, clock: Clock) -> Executor:
    """The executor that a declaration asks for."""
    make = EXECUTORS.get(type(loop.where))
    if make is None:
        hint = "add it to homeostat.engine.live.EXECUTORS"
        raise LoopError(f"where={loop.where!r} has no executor", hint=hint)
    return make(loop.where, store, loop, clock)
