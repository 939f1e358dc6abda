"""Score rows off the event loop, whatever waits together in one call: no request ever waits for others to come."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from homeostat.core.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class BusyError(RetryableError):
    """More rows wait for a model than its queue may hold."""


class Batcher(Generic[T]):
    """A work-conserving batcher in front of one function of rows.

    While a call runs in its thread, requests queue up; when it ends, the next call takes what waits, up to `most_rows`
    rows. An idle batcher calls at once. Rows are counted, not requests, so a request keeps its rows together.

    Args:
        call: Rows to one result per row; runs in a thread of its own, one call at a time.
        most_rows: Rows of one call; a larger request is a call by itself.
        queue_rows: Rows that may wait.
    """

    def __init__(
        self, call: Callable[[list[Any]], list[T]], *, most_rows: int = 1_024, queue_rows: int = 200_000
    ) -> None:
        self._call = call
        self._most_rows = most_rows
        self._queue_rows = queue_rows
        self._waiting: list[tuple[list[Any], asyncio.Future[list[T]]]] = []
        self._rows = 0
        self._running = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="score")

    async def __call__(self, rows: list[Any]) -> list[T]:
        """One result per row.

        Raises:
            BusyError: The queue is full.
        """
        if self._rows and self._rows + len(rows) > self._queue_rows:
            raise BusyError(f"{self._rows:,} rows are waiting for the model", hint="try again in a second")
        future: asyncio.Future[list[T]] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, future))
        self._rows += len(rows)
        if not self._running:
            self._start()
        return await future

    def close(self) -> None:
        """Let the thread end after what it is doing."""
        self._pool.shutdown(wait=False)

    def _start(self) -> None:
        taken, rows = self._take()
        self._running = True
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._work, [part for part, _ in taken], rows)
        work.add_done_callback(lambda done: self._finish(taken, done.result()))

    def _take(self) -> tuple[list[tuple[list[Any], asyncio.Future[list[T]]]], list[Any]]:
        rows: list[Any] = []
        count = 0
        for part, _ in self._waiting:
            if count and len(rows) + len(part) > self._most_rows:
                break
            rows += part
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._rows -= len(rows)
        return taken, rows

    def _work(self, parts: list[list[Any]], rows: list[Any]) -> list[list[T] | BaseException]:
        """One result or error per request: a request that cannot be scored spoils no other one's answer."""
        if len(parts) > 1:
            try:
                results = self._call(rows)
            except Exception:  # noqa: BLE001 - found again below, in the request that it belongs to
                return [self._alone(part) for part in parts]
            starts = [0]
            for part in parts:
                starts.append(starts[-1] + len(part))
            return [results[start : start + len(part)] for start, part in zip(starts, parts, strict=False)]
        return [self._alone(parts[0])]

    def _alone(self, part: list[Any]) -> list[T] | BaseException:
        try:
            return self._call(part)
        except Exception as error:  # noqa: BLE001 - raised again where the request is answered
            return error

    def _finish(
        self, taken: list[tuple[list[Any], asyncio.Future[list[T]]]], results: list[list[T] | BaseException]
    ) -> None:
        self._running = False
        for (_, future), result in zip(taken, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        if self._waiting:
            self._start()
