"""Score what is there together: the requests of one turn of the event loop, or those that came while a call ran.

No request ever waits for others to come. A quick model is called on the event loop itself, once for all requests that
arrived in the same turn of it; a slow one in a thread of its own, and what queues up meanwhile is its next call.
"""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from homeostat.core.clock import stopwatch
from homeostat.core.errors import InternalError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from homeostat.cd.serve.rows import Rows
    from homeostat.cd.serve.scoring.dispatch import ArmPart
    from homeostat.cd.serve.scoring.scores import Scores

    Result = Scores | BaseException

_rows, _count, _deadline = attrgetter("rows"), attrgetter("count"), attrgetter("deadline")
_RECENT = 0.2
"""Weight of the newest call in the estimate of seconds per row."""


class BusyError(RetryableError):
    """More rows wait for a model than it can score soon."""

    def __init__(self, what: str, hint: str = "", *, retry_after: int = 1) -> None:
        super().__init__(what, hint=hint)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return (BusyError, (self.what, self.hint))


class LateError(RetryableError):
    """The caller's deadline passed, or would have, before the model got to its rows."""


class Batcher:
    """A work-conserving batcher in front of one function of rows.

    Rows are counted, not requests, and a request keeps its rows together. The wait is predicted from the rows that are
    queued and what a row took lately: a request that would wait too long is refused at once.

    Args:
        call: Rows of several requests to one result or error each; one call at a time.
        finish: Told the parts of a call with their results, on the event loop.
        inline: Call on the event loop instead of in a thread.
        most_rows: Rows of one call; a larger request is a call by itself.
        most_wait: Seconds that rows may be expected to wait.
        seconds: First estimate of seconds per row.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Rows]], list[Result]],
        finish: Callable[[list[tuple[Any, Result]]], None],
        *,
        inline: bool,
        most_rows: int = 1_024,
        most_wait: float = 5.0,
        seconds: float = 0.0,
    ) -> None:
        self._call, self._finish = call, finish
        self._most_rows, self._most_wait, self._seconds = most_rows, most_wait, seconds
        self._waiting: list[Any] = []
        self._rows = self._called = self.calls = 0
        self._running = False
        self._pool = None if inline else ThreadPoolExecutor(1, thread_name_prefix="score")

    def submit(self, part: ArmPart) -> None:
        """Have rows scored; `finish` is told.

        Raises:
            BusyError: Too many rows are waiting.
            LateError: The deadline cannot be met.
        """
        if self._rows and (self.wait > self._most_wait or part.deadline != math.inf):
            self._refuse(part)
        self._waiting.append(part)
        self._rows += part.rows.count
        if not self._running:
            self._running = True
            # Whatever else arrives in this turn of the loop is taken along.
            asyncio.get_running_loop().call_soon(self._start)

    @property
    def wait(self) -> float:
        """Seconds that rows which come now can expect to wait."""
        return self._rows * self._seconds

    def _refuse(self, part: ArmPart) -> None:
        wait = self.wait
        if wait > self._most_wait:
            what = f"{self._rows:,} rows are waiting for the model, about {wait:.1f} s"
            raise BusyError(what, f"try again in {math.ceil(wait)} s", retry_after=math.ceil(wait))
        if stopwatch() + wait > part.deadline:
            raise LateError(f"the model is busy for about {wait:.3f} s, longer than the request's deadline")

    @property
    def in_hand(self) -> float:
        """Seconds that the call in hand can be expected to take; 0 without one."""
        return self._called * self._seconds

    @property
    def waits(self) -> bool:
        """Whether there are rows that are not answered yet."""
        return self._rows > 0

    def _start(self) -> None:
        why: BaseException | None = None
        try:
            taken, dropped = self._take()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - short of memory, say: nothing was taken
            why, taken, dropped, self._waiting = error, [], self._waiting, []
        try:
            if dropped:
                why = why or LateError("the request's deadline passed while it waited for the model")
                self._rows -= sum(part.rows.count for part in dropped)
                self._finish([(part, why) for part in dropped])
        finally:
            self._score(taken)

    def _score(self, taken: list[Any]) -> None:
        """Make a call. Whatever becomes of it, its parts are told, and those that wait have their turn."""
        if not taken:
            self._next()
            return
        rows = list(map(_rows, taken))
        self._called = sum(map(_count, rows))
        if self._pool is None:
            self._done(taken, self._timed(rows))
            return
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._timed, rows)
        except RuntimeError as error:  # there is no thread to be had
            self._done(taken, ([error] * len(taken), 0.0))
        else:
            work.add_done_callback(lambda done: self._done(taken, done.result()))

    def _take(self) -> tuple[list[Any], list[Any]]:
        """The next call's parts, and those whose deadline has passed."""
        rows = count = 0
        for part in self._waiting:
            if count and rows + part.rows.count > self._most_rows:
                break
            rows += part.rows.count
            count += 1
        taken, left, now = self._waiting[:count], self._waiting[count:], stopwatch()
        late: list[Any] = []
        if taken and min(map(_deadline, taken)) < now:
            late = [part for part in taken if part.deadline < now]
            taken = [part for part in taken if part.deadline >= now]
        self._waiting = left
        return taken, late

    def _timed(self, parts: list[Rows]) -> tuple[list[Result], float]:
        seconds = 0.0
        try:
            start = stopwatch()
            results = self._call(parts)
            seconds = stopwatch() - start
            if len(results) != len(parts):
                raise InternalError(f"a call gave {len(results)} results for {len(parts)} requests")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a model's panic is the failure of its requests
            results = [error] * len(parts)
        return results, seconds

    def _done(self, taken: list[Any], outcome: tuple[list[Result], float]) -> None:
        results, seconds = outcome
        self.calls += 1
        rows, self._called = self._called, 0
        self._rows -= rows
        if seconds:
            self._seconds += _RECENT * (seconds / rows - self._seconds)
        try:
            self._finish(list(zip(taken, results, strict=True)))
        finally:
            if self._waiting:
                self._next()
            else:
                self._running = False

    def _next(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start)
        else:
            self._running = False
