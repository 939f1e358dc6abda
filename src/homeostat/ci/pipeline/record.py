"""What a run leaves in the ledger: records are grouped, so that a step costs no commit of its own, yet none is lost.

A step's artifact is stored before its record is made. Every record is first written to the run's journal, a file that
survives the death of the process; a thread of its own syncs the artifacts and commits the records to the ledger, a
group at a time, while the steps go on. When a process died, `mark_interrupted` brings the journal's records into the
ledger; so a resumed run begins exactly at the step that had not finished. Only a power cut can take records away, of
the last moments, and then only work is lost: it is done again.
"""

from __future__ import annotations

import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from homeostat.ci.pipeline.inflight import InFlight, inflight_of
from homeostat.core import crash_points
from homeostat.core import events as ev
from homeostat.core.clock import Clock, stopwatch
from homeostat.core.errors import NotFoundError, StoreError
from homeostat.core.files import make_folder, open_regular, read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from homeostat.core.ledger import Ledger, RunRow, Transaction
    from homeostat.core.store import Store

_SHORTEST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
_COMMIT_SHARE = 10


class _Line(msgspec.Struct, frozen=True):
    """A line of a journal."""

    time: datetime
    event: ev.RunStarted | ev.StepFinished


_decoder = msgspec.json.Decoder(_Line)


class Recorder:
    """Writes the events of one run, in order, a group at a time. Any thread may record a step."""

    def __init__(self, store: Store, run: str, clock: Clock, flights: InFlight) -> None:
        self._store = store
        self._clock = clock
        self._flights = flights
        self._place = _journal(store, run)
        self._journal: int | None = None
        self._buffer: list[_Line] = []
        self._taking = threading.Lock()
        self._committing = threading.Lock()
        self._closed = threading.Event()
        self._failure: Exception | None = None
        self._committer: threading.Thread | None = None

    def begin(self, event: ev.RunStarted) -> None:
        """Take the beginning of the run, and from now on commit what comes."""
        try:
            make_folder(self._place.parent)
            self._journal = open_regular(self._place, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise _unwritable(error) from error
        self._take(event)
        self._committer = threading.Thread(target=self._commit_regularly, name="homeostat-recorder", daemon=True)
        self._committer.start()
        crash_points.point("run.started")

    def step(self, event: ev.StepFinished) -> None:
        """Take the record of a step: it outlives the process from here on and is committed with the next group.

        Raises:
            StoreError: earlier records could not be committed, so going on would be work for nothing.
        """
        self._take(event)
        crash_points.point("step.after_record")
        if self._failure is not None:
            raise self._failure

    def finish(self, event: ev.RunFinished) -> None:
        """Commit everything that is left together with the end of the run; a run ends once."""
        self._closed.set()
        if self._committer is not None:
            self._committer.join()
        crash_points.point("run.before_finish")
        try:
            self._commit(event)
        finally:
            self._flights.committed(_keys(self._buffer))
            if self._journal is not None:
                os.close(self._journal)
        self._place.unlink(missing_ok=True)

    def _take(self, event: ev.RunStarted | ev.StepFinished) -> None:
        line = _Line(self._clock.now(), event)
        with self._taking:
            self._write(line)
            self._buffer.append(line)

    def _write(self, line: _Line) -> None:
        if self._journal is None:
            return
        try:
            os.write(self._journal, msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise _unwritable(error) from error

    def _commit_regularly(self) -> None:
        """Commit every 20 ms, or less often where commits are slow: they take a tenth of the time at most."""
        pause = _SHORTEST_PAUSE
        while not self._closed.wait(pause):
            began = stopwatch()
            try:
                self._commit(None)
            except Exception as error:  # noqa: BLE001 - raised in the thread that records; `finish` tries once more
                self._failure = error
                return
            pause = min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, _COMMIT_SHARE * (stopwatch() - began)))

    def _commit(self, last: ev.RunFinished | None) -> None:
        with self._committing:
            with self._taking:
                batch = list(self._buffer)
            if not batch and last is None:
                return
            self._store.artifacts.settle()
            with self._store.ledger.transaction() as tx:
                _append(tx, batch)
                if last is not None:
                    tx.append(last, time=self._clock.now(), key=_end_key(last.run))
            with self._taking:
                del self._buffer[: len(batch)]
        self._flights.committed(_keys(batch))


def _unwritable(error: OSError) -> StoreError:
    what = f"the journal of the run cannot be written: {error.strerror or error}"
    return StoreError(what, hint="check the permissions and the free space of the store's folder")


def _append(tx: Transaction, lines: list[_Line]) -> None:
    """Append the records of a journal: the beginning at its time, steps, which have times of their own, together."""
    for line in lines:
        if isinstance(line.event, ev.RunStarted):
            tx.append(line.event, time=line.time)
    steps = [line for line in lines if isinstance(line.event, ev.StepFinished)]
    if steps:
        tx.append_many([line.event for line in steps], time=steps[-1].time)


def _keys(lines: list[_Line]) -> list[str]:
    return [line.event.key for line in lines if isinstance(line.event, ev.StepFinished) and line.event.key]


def alive_name(run: str) -> str:
    """The name that a run's process holds while it lives."""
    return f"run/{run}"


def mark_interrupted(store: Store, clock: Clock, *, loop: str | None = None) -> list[str]:
    """Close the record of every run whose process died: its status becomes `interrupted`.

    A run holds a lock of the operating system as long as its process lives, so one that is merely slow is left alone.

    Returns:
        The runs that were closed; each can be resumed.
    """
    flights = inflight_of(store.path)
    left = _left_behind(store)
    closed = []
    for name, loop_of in left.items():
        if loop not in (None, loop_of) or not flights.try_enter(alive_name(name)):
            continue
        try:
            if _close(store, clock, name):
                closed.append(name)
        finally:
            flights.leave(alive_name(name))
    return closed


def _left_behind(store: Store) -> dict[str, str]:
    """Runs without an end, by the ledger or by a journal, with their loops."""
    left = {row.run: row.loop for row in store.ledger.runs(status="running")}
    for place in sorted((store.path / "runs").glob("*.jsonl")):
        for line in _journaled(place)[:1]:
            left.setdefault(line.event.run, line.event.loop)
    return left


def _close(store: Store, clock: Clock, run: str) -> bool:
    place = _journal(store, run)
    try:
        row = store.ledger.run(run)
    except NotFoundError:
        row = None
    journaled = _journaled(place)
    begun = [line for line in journaled if isinstance(line.event, ev.RunStarted)]
    whose = next(((each.loop, each.trigger.key) for each in _starts(begun)), None)
    whose = (row.loop, row.trigger) if row else whose
    if whose is None or (row is not None and row.status != "running"):
        place.unlink(missing_ok=True)
        return False
    recorded = [each.event for each in store.ledger.steps(run)]
    steps = {each.step: each for each in recorded if isinstance(each, ev.StepFinished)}
    lost = [each for each in journaled if isinstance(each.event, ev.StepFinished) and each.event.step not in steps]
    steps.update({each.event.step: each.event for each in lost if isinstance(each.event, ev.StepFinished)})
    event = ev.RunFinished(
        loop=whose[0],
        run=run,
        trigger=whose[1],
        status="interrupted",
        outputs={name: each.output for name, each in steps.items() if each.output is not None},
        error="the process of the run died",
    )
    with store.ledger.transaction() as tx:
        _append(tx, [*([] if row else begun), *lost])
        ended = tx.append(event, time=clock.now(), key=_end_key(run))
    place.unlink(missing_ok=True)
    return ended.fresh


def _journal(store: Store, run: str) -> Path:
    return store.path / "runs" / f"{run}.jsonl"


def _starts(lines: list[_Line]) -> list[ev.RunStarted]:
    return [line.event for line in lines if isinstance(line.event, ev.RunStarted)]


def _journaled(place: Path) -> list[_Line]:
    """The whole records of a journal; the last line may be torn."""
    try:
        lines = read_regular(place).split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(_decoder.decode(line))
        except msgspec.DecodeError:
            break
    return found


def _end_key(run: str) -> str:
    return f"finished:{run}"


def start_of(ledger: Ledger, row: RunRow) -> tuple[int, ev.RunStarted]:
    """The record of a run's beginning, with its ledger number."""
    for one in ledger.events(loop=row.loop, kinds=(ev.RunStarted,)):
        if isinstance(one.event, ev.RunStarted) and one.event.run == row.run:
            return one.seq, one.event
    raise NotFoundError(f"run {row.run} has no beginning in the ledger", hint="`homeostat verify` checks the ledger")
