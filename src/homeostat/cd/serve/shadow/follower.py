"""Score for one version the rows of the prediction log that await it: the durable log is the queue.

Nothing passes between a server and a follower but files: the log, and a small note of how far the follower has come.
So it may run in a process of its own, die at any instant and go on where it was.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.log import LogReader, Position, PredictionRecord, ShadowRecord
from homeostat.cd.log.segments import segments
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS
from homeostat.core.files import OddFileError, make_folder, read_regular, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from homeostat.cd.serve.scoring.version import LoadedVersion

QUEUE_ROWS = 20_000
BATCH_ROWS = 512
DROPPED = "dropped"
_BATCH_SECONDS = 1.0
"""A version that needs longer for `BATCH_ROWS` gets fewer at a time, so that it is seen to make progress."""
_READ_ROWS = 10_000
_NOTE_SECONDS = 0.5
_LONGEST_ERROR = 200


class ShadowStats(msgspec.Struct):
    """Rows of one version.

    Attributes:
        scored: That it scored.
        dropped: That it was not asked about, because it lagged by more than its queue holds.
        failed: For which it raised, or during which its process died.
        waiting: That are read and not scored yet.
        restarts: Times that its process died and was started again.
    """

    scored: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0
    restarts: int = 0


class FollowerNote(msgspec.Struct):
    """What a follower leaves behind: up to where of the log everything is done, and its counters."""

    position: Position
    stats: ShadowStats = msgspec.field(default_factory=ShadowStats)


class FollowerNotes:
    """The files of one version's follower, in the folder `shadow` of the log."""

    def __init__(self, log: Path, version: int) -> None:
        self._log = log
        self.folder = log / "shadow"
        self.file = self.folder / f"{version}.json"
        self.lock = self.folder / f"{version}.lock"
        self._hand = self.folder / f"{version}.hand"

    def begin(self) -> None:
        """Note where the log ends now, unless a follower was further back: what comes from here on is to be scored."""
        make_folder(self.folder)
        if not self.file.exists():
            self.write(FollowerNote(Position(0, _ends(self._log))))

    def read(self) -> FollowerNote | None:
        """The last note, or None."""
        try:
            return msgspec.json.decode(read_regular(self.file), type=FollowerNote)
        except (FileNotFoundError, OddFileError, msgspec.MsgspecError):
            return None

    def write(self, note: FollowerNote) -> None:
        """Replace the note."""
        self._replace(self.file, note)

    def at_hand(self) -> set[str]:
        """The requests that were being scored last."""
        try:
            return set(msgspec.json.decode(read_regular(self._hand), type=list[str]))
        except (FileNotFoundError, OddFileError, msgspec.MsgspecError):
            return set()

    def take_in_hand(self, requests: list[str]) -> None:
        """Note what is about to be scored, in case that this is the end."""
        self._replace(self._hand, requests)

    def forget(self) -> None:
        """Remove what is noted."""
        self.file.unlink(missing_ok=True)
        self._hand.unlink(missing_ok=True)

    def _replace(self, file: Path, content: Any) -> None:
        make_folder(self.folder)
        write_whole(file, msgspec.json.encode(content), durable=False)  # for every few rows


class _Job(msgspec.Struct, frozen=True):
    time: datetime
    request: str
    ids: list[str]
    rows: list[dict[str, Any]]
    origin: Position


class Follower:
    """Scores what awaits one version; `step` is called again and again by whoever has a thread or a process for it.

    Args:
        log: The log folder.
        version: Which version.
        load: Gives the version, ready to score; called when the first row is there.
        append: Where its scores go.
        ended: How the process ended that scored before this one, if it died: what it had in hand counts as failed, so
            that a row which kills the process kills it once.
        queue_rows: Rows that may wait, `QUEUE_ROWS` by default; more are dropped, counted and noted in the log.

    Example:
        >>> follower = Follower(folder, 2, lambda: served, log.append)
        >>> while follower.step():   # until nothing waits
        ...     pass
    """

    def __init__(
        self,
        log: Path,
        version: int,
        load: Callable[[], LoadedVersion],
        append: Callable[[ShadowRecord], None],
        *,
        ended: str | None = None,
        queue_rows: int | None = None,
    ) -> None:
        self.version, self.queue_rows = version, queue_rows or QUEUE_ROWS
        self._load, self._append = load, append
        self._reader, self._notes = LogReader(log), FollowerNotes(log, version)
        note = self._notes.read() or FollowerNote(Position())
        self._position, self.stats = note.position, note.stats
        self.stats.waiting = 0
        self.stats.restarts += ended is not None
        self._ended, self._fatal = ended, self._notes.at_hand() if ended is not None else set()
        self._done: Counter[tuple[str, str]] | None = None
        self._jobs: deque[_Job] = deque()
        self._served: LoadedVersion | None = None
        self._noted = float("-inf")

    def step(self) -> bool:
        """Read on, drop what is too much, and score one batch; False when nothing waits."""
        self._read()
        jobs = self._take()
        if jobs:
            self._score(jobs)
        if stopwatch() - self._noted > _NOTE_SECONDS:
            self.note()
        return bool(jobs)

    def note(self) -> None:
        """Write down how far it has come."""
        self._noted = stopwatch()
        position = self._jobs[0].origin if self._jobs else self._position
        self._notes.write(FollowerNote(position, self.stats))

    def _scored_already(self) -> Counter[tuple[str, str]]:
        """Rows behind the noted position of which the log holds a score already."""
        done, position, more = Counter[tuple[str, str]](), self._position, True
        while more:
            batch = self._reader.read(position, limit=_READ_ROWS)
            position, more = batch.position, batch.more
            for record in batch.records:
                if isinstance(record, ShadowRecord) and record.version == self.version:
                    done.update(zip(record.requests, record.ids, strict=True))
        return done

    def _read(self) -> None:
        if self._done is None:
            self._done = self._scored_already()
            self.note()
        batch = self._reader.read(self._position, limit=_READ_ROWS)
        if not batch.records:
            self._position = batch.position
            return
        # What is read twice is taken in once: nothing changes before the last record of it was looked at.
        taken: list[_Job] = []
        dropped: list[_Job] = []
        fatal: list[_Job] = []
        waiting, done = self.stats.waiting, self._done.copy()
        for record in batch.records:
            if not isinstance(record, PredictionRecord) or self.version not in record.awaits:
                continue
            job = self._job(record, done)
            if job.ids and job.request in self._fatal:
                fatal.append(job)
            elif waiting + len(job.ids) > self.queue_rows:
                dropped.append(job)
            elif job.ids:
                taken.append(job)
                waiting += len(job.ids)
        self._position, self.stats.waiting, self._done = batch.position, waiting, done
        self._jobs += taken
        self._give_up(dropped, DROPPED)
        self._give_up(fatal, f"the process that scored it ended: {self._ended}")
        if fatal:
            # Should the next row be the end as well, this one has been counted.
            self.note()

    def _job(self, record: PredictionRecord, done: Counter[tuple[str, str]]) -> _Job:
        """What of a record is to be scored; rows that were scored already are taken off `done`."""
        rows = [row for row in record.rows if row.arm != self.version]
        if done:
            new = [row for row in rows if not done[record.request, row.id]]
            done -= Counter((record.request, row.id) for row in rows)
            rows = new
        ids, inputs = [row.id for row in rows], [row.features for row in rows]
        return _Job(record.time, record.request, ids, inputs, self._position)

    def _take(self) -> list[_Job]:
        """The oldest jobs, as many as one call shall score; a single one however large it is."""
        most = BATCH_ROWS
        if self._served is not None:
            most = max(1, min(most, int(_BATCH_SECONDS / max(self._served.seconds, 1e-9))))
        jobs: list[_Job] = []
        rows = 0
        while self._jobs and (not jobs or rows + len(self._jobs[0].ids) <= most):
            jobs.append(self._jobs.popleft())
            rows += len(jobs[-1].ids)
        return jobs

    def _score(self, jobs: list[_Job]) -> None:
        count = sum(len(job.ids) for job in jobs)
        try:
            self._notes.take_in_hand([job.request for job in jobs])
        except BaseException:
            self._jobs.extendleft(reversed(jobs))  # they could kill the next process too: not before that is noted
            raise
        try:
            if self._served is None:
                self._served = self._load()
            found = self._served.score(_typed(self._served, [row for job in jobs for row in job.rows]))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a shadow does, it is its own affair
            self._give_up(jobs, str(error).partition("\n")[0][:_LONGEST_ERROR] or type(error).__name__)
        else:
            if self._write(jobs, found, None):
                self.stats.scored += count
        finally:
            self.stats.waiting -= count

    def _give_up(self, jobs: list[_Job], error: str) -> None:
        count = sum(len(job.ids) for job in jobs)
        if not count or not self._write(jobs, [], error):
            return
        if error == DROPPED:
            self.stats.dropped += count
        else:
            self.stats.failed += count

    def _write(self, jobs: list[_Job], found: list[Any], error: str | None) -> bool:
        """Append to the log; what it refuses counts as failed."""
        requests = [job.request for job in jobs for _ in job.ids]
        ids = [name for job in jobs for name in job.ids]
        try:
            self._append(ShadowRecord(max(job.time for job in jobs), self.version, requests, ids, found, error))
        except ENDINGS:
            raise
        except BaseException:  # noqa: BLE001 - a log that is full, or a score that has no form in it
            self.stats.failed += len(ids)
            return False
        return True


def _typed(served: LoadedVersion, rows: list[dict[str, Any]]) -> list[Any]:
    """Rows of the version's own type; they were checked when they were answered."""
    fields = [(field.name, field.encode_name) for field in msgspec.structs.fields(served.decoder.row_type)]
    make = served.decoder.row_type
    return [make(**{name: row.get(column) for name, column in fields}) for row in rows]


def _ends(log: Path) -> dict[str, int]:
    """Up to where each segment is written."""
    ends = {}
    for path in segments(log):
        with suppress(FileNotFoundError), path.open("rb") as file:
            ends[path.name] = file.seek(0, os.SEEK_END)
    return ends
