"""The trainer as the engine sees it: the run in flight is being worked on somewhere, until it is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from homeostat.core.errors import HomeostatError, InternalError, UserError
from homeostat.core.ports import TrainingSpec
from homeostat.engine.live.executors import executor_of
from homeostat.engine.training.training import end_training

if TYPE_CHECKING:
    from homeostat.core.clock import Clock
    from homeostat.core.ledger import Lease
    from homeostat.core.store import Store
    from homeostat.engine.decide.feed import Feed
    from homeostat.engine.decide.state import State
    from homeostat.loop import Loop

_ATTEMPTS = 3


class Trainer:
    """Carries out the run in flight, whoever asked for it, and gives up after three attempts that left no record."""

    def __init__(self, store: Store, loop: Loop, feed: Feed, clock: Clock, *, played: bool) -> None:
        self._store, self._feed, self._clock = store, feed, clock
        self._file, self._played = str(loop.file), played
        self.executor = executor_of(store, loop, clock)
        self._working: str | None = None
        self._attempts = 0

    def keep(self, state: State, lease: Lease | None) -> None:
        """See to it that the run in flight is being worked on, and that a cancelled one is not."""
        if state.inflight is None:
            self._working = None
            return
        key = state.inflight.key
        if state.cancelling:
            self._end(key, "cancelled", "cancelled", lease)
        elif key != self._working:
            self._working, self._attempts = key, 0
            self._begin(key)
        elif (failure := self._failure()) is None:
            return
        elif self._attempts < _ATTEMPTS and not isinstance(failure, UserError):
            self._begin(key)
        else:
            times = f"{self._attempts} times: " if self._attempts > 1 else ""
            self._end(key, "failed", f"{times}{failure}", lease)

    def stop(self) -> None:
        """End the work; a run in flight resumes with the next start."""
        self.executor.close()

    def _begin(self, key: str) -> None:
        self._attempts += 1
        spec = TrainingSpec(trigger=key, store=str(self._store.path), loop_file=self._file, played=self._played)
        self.executor.start(spec)

    def _failure(self) -> HomeostatError | None:
        """Why the work ended though nothing is recorded; None while it is under way."""
        try:
            if self.executor.running():
                return None
        except HomeostatError as error:
            return error
        printed = self.executor.logs().strip()
        return InternalError(f"the trainer ended: {printed.splitlines()[-1] if printed else 'it said nothing'}")

    def _end(self, key: str, status: Literal["failed", "cancelled"], error: str, lease: Lease | None) -> None:
        self.executor.cancel(key)
        self._working = None
        end_training(self._store, self._feed, self._clock, key, status, error, lease=lease)
