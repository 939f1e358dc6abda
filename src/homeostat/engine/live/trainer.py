"""The trainer as the engine sees it: runs happen in a child process, or in this one, until they are recorded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from homeostat.core.clock import SystemClock, duration
from homeostat.core.errors import HomeostatError
from homeostat.ct.where import Process
from homeostat.engine.live.children import Child
from homeostat.engine.training.training import carry_out, end_training

if TYPE_CHECKING:
    from datetime import datetime

    from homeostat.core.clock import Clock
    from homeostat.core.ledger import Lease
    from homeostat.core.store import Store
    from homeostat.engine.decide.feed import Feed
    from homeostat.engine.decide.state import State
    from homeostat.loop import Loop

_ATTEMPTS = 3


class Trainer:
    """Carries out the run that is in flight, whoever asked for it, and gives up after three dead processes.

    Args:
        store: Where models and records go.
        loop: The declaration; its `where` says where runs happen.
        feed: For what becomes of runs whose process died or that were cancelled.
        clock: The loop's clock.
        played: Whether that clock is a virtual one.
    """

    def __init__(self, store: Store, loop: Loop, feed: Feed, clock: Clock, *, played: bool) -> None:
        self._store, self._loop, self._feed, self._clock = store, loop, feed, clock
        self._place = loop.where
        arguments = ["--store", str(store.path), "--loop-file", str(loop.file)] + (["--played"] if played else [])
        log = store.path / "logs" / f"{loop.name}-trainer.log"
        niceness = self._place.niceness if isinstance(self._place, Process) else 0
        self._child = Child("trainer", "homeostat.engine.live.trainer_process", arguments, log, niceness=niceness)
        self._thread: threading.Thread | None = None
        self._working: str | None = None
        self._attempts = 0
        self._since: datetime | None = None

    def keep(self, state: State, lease: Lease | None) -> None:
        """See to it that the run in flight is being worked on, and that a cancelled one is not."""
        if state.inflight is None:
            self._working = None
            return
        key = state.inflight.key
        if state.cancelling:
            self._end(key, "cancelled", "cancelled", lease)
        elif self._overdue():
            self._end(key, "failed", f"took longer than {getattr(self._place, 'timeout', '')}", lease)
        elif key != self._working:
            self._working, self._attempts = key, 0
            self._begin(key)
        elif not self._busy():
            self._again(key, lease)

    def stop(self) -> None:
        """End the child; a run in flight resumes with the next start."""
        self._child.stop()
        if self._thread is not None:
            self._thread.join()

    def _begin(self, key: str) -> None:
        self._attempts += 1
        self._since = SystemClock().now()
        if isinstance(self._place, Process):
            if not self._child.running:
                self._child.start()
            self._child.order(key)
        else:
            self._thread = threading.Thread(target=self._local, args=(key,), name="trainer")
            self._thread.start()

    def _local(self, key: str) -> None:
        try:
            carry_out(self._store, self._loop, key, clock=self._clock)
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on and says so
            said = str(error) if isinstance(error, HomeostatError) else f"{type(error).__name__}: {error}"
            end_training(self._store, self._feed, self._clock, key, "failed", said)

    def _busy(self) -> bool:
        return (
            self._child.running if isinstance(self._place, Process) else bool(self._thread and self._thread.is_alive())
        )

    def _again(self, key: str, lease: Lease | None) -> None:
        """The process died, or ended the run without a record of it."""
        if self._attempts < _ATTEMPTS and not self._child.blames_the_user:
            self._begin(key)
            return
        failure = str(self._child.failure())
        self._end(key, "failed", failure if self._attempts == 1 else f"{self._attempts} times: {failure}", lease)

    def _overdue(self) -> bool:
        if self._working is None or self._since is None or not isinstance(self._place, Process):
            return False
        return SystemClock().now() - self._since > duration(self._place.timeout)

    def _end(self, key: str, status: Literal["failed", "cancelled"], error: str, lease: Lease | None) -> None:
        self._child.kill()
        self._working = None
        end_training(self._store, self._feed, self._clock, key, status, error, lease=lease)
