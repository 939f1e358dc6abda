"""Score the arms that did not answer, after the reply: bounded, droppable, counted, and never in the way.

Every such version has a thread and a queue of its own, so one that hangs keeps nobody waiting but itself. What did not
fit is noted in the log too, so that a reader knows what not to wait for.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.log import ShadowRecord
from homeostat.core.clock import stopwatch
from homeostat.core.errors import HomeostatError

if TYPE_CHECKING:
    from homeostat.cd.log import LogWriter
    from homeostat.cd.serve.served import Served

QUEUE_ROWS = 20_000
BATCH_ROWS = 512
_MOST_NOTES = 100_000
"""Dropped requests whose notes may wait for the log; they are flushed a few times a second."""
_LONGEST_ERROR = 200


class OtherStats(msgspec.Struct):
    """Rows of one version: scored, dropped because its queue was full, failed because it raised."""

    scored: int = 0
    dropped: int = 0
    failed: int = 0


class _Job(msgspec.Struct, frozen=True):
    time: datetime
    request: str
    ids: list[str]
    rows: list[Any]


class _Worker:
    """One version's thread and queue."""

    def __init__(self, served: Served, log: LogWriter, stats: OtherStats, queue_rows: int) -> None:
        self._served, self._log, self._stats, self._queue_rows = served, log, stats, queue_rows
        self._jobs: deque[_Job] = deque()
        self._dropped: deque[_Job] = deque(maxlen=_MOST_NOTES)
        self._rows = 0
        self._lock = threading.Condition()
        self._closed = self._busy = False
        self._thread = threading.Thread(target=self._run, name=f"shadow-{served.version}", daemon=True)
        self._thread.start()

    def offer(self, job: _Job) -> None:
        with self._lock:
            if self._rows + len(job.rows) > self._queue_rows:
                self._stats.dropped += len(job.rows)
                self._dropped.append(msgspec.structs.replace(job, rows=[]))
                return
            self._jobs.append(job)
            self._rows += len(job.rows)
            self._lock.notify()

    def idle(self) -> bool:
        with self._lock:
            return not self._jobs and not self._busy

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._lock.notify()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def flush_dropped(self) -> None:
        """Note in the log what was dropped; called from outside of the thread, which may hang."""
        with self._lock:
            dropped = list(self._dropped)
            self._dropped.clear()
        if dropped:
            self._write(dropped, [], "dropped")

    def _run(self) -> None:
        while True:
            with self._lock:
                self._busy = False
                while not self._jobs and not self._closed:
                    self._lock.wait()
                if not self._jobs:
                    return
                self._busy = True
                jobs = self._take()
            self._score(jobs)

    def _take(self) -> list[_Job]:
        jobs, rows = [self._jobs.popleft()], 0
        rows = len(jobs[0].rows)
        while self._jobs and rows + len(self._jobs[0].rows) <= BATCH_ROWS:
            jobs.append(self._jobs.popleft())
            rows += len(jobs[-1].rows)
        self._rows -= rows
        return jobs

    def _score(self, jobs: list[_Job]) -> None:
        rows = [row for job in jobs for row in job.rows]
        try:
            found = self._served.score(rows)
        except Exception as error:  # noqa: BLE001 - whatever a shadow does, it is its own affair
            self._stats.failed += len(rows)
            self._write(jobs, [], str(error).partition("\n")[0][:_LONGEST_ERROR] or type(error).__name__)
            return
        self._stats.scored += len(rows)
        self._write(jobs, found, None)

    def _write(self, jobs: list[_Job], found: list[Any], error: str | None) -> None:
        requests = [job.request for job in jobs for _ in job.ids]
        ids = [name for job in jobs for name in job.ids]
        try:
            self._log.append(ShadowRecord(jobs[-1].time, self._served.version, requests, ids, found, error))
        except HomeostatError:
            self._stats.failed += len(ids)


class Others:
    """The arms beside the answering one.

    Args:
        log: Where their predictions go.
        queue_rows: Rows that may wait for each version; more are dropped and counted.
    """

    def __init__(self, log: LogWriter, *, queue_rows: int = QUEUE_ROWS) -> None:
        self._log, self.queue_rows = log, queue_rows
        self._workers: dict[int, _Worker] = {}
        self.stats: dict[int, OtherStats] = {}

    def offer(self, served: Served, time: datetime, request: str, ids: list[str], rows: list[Any]) -> None:
        """Have rows scored some time; returns at once whatever the state of the version."""
        worker = self._workers.get(served.version)
        if worker is None:
            stats = self.stats.setdefault(served.version, OtherStats())
            worker = self._workers[served.version] = _Worker(served, self._log, stats, self.queue_rows)
        worker.offer(_Job(time, request, ids, rows))

    def keep(self, versions: set[int]) -> None:
        """Let go of versions that are no arms any more, and note what was dropped."""
        for version, worker in list(self._workers.items()):
            worker.flush_dropped()
            if version not in versions and worker.idle():
                worker.close()
                del self._workers[version]

    def close(self, *, patience: float = 2.0) -> None:
        """Score what waits and stop; a version that takes longer than `patience` seconds is left behind."""
        for worker in self._workers.values():
            worker.flush_dropped()
            worker.close()
        end = stopwatch() + patience
        for worker in self._workers.values():
            worker.join(max(0.0, end - stopwatch()))
