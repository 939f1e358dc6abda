"""What a run leaves in the ledger: records are grouped, so that a step costs no commit of its own, yet none is lost.

A step's artifact is durable before its record is made. The record is first written to the run's journal, a file that
survives the death of the process, and within milliseconds committed to the ledger with others. When a process died,
`mark_interrupted` brings the journal's records into the ledger; so a resumed run begins exactly at the step that had
not finished. Only a power cut can take records away, of the last moments, and then only work is lost: it is done again.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import msgspec

from homeostat.ci.pipeline.flights import flights_of
from homeostat.core import events as ev
from homeostat.core import faults
from homeostat.core.clock import stopwatch
from homeostat.core.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from homeostat.ci.pipeline.flights import Flights
    from homeostat.core.clock import Clock
    from homeostat.core.store import Store

_SHORTEST_GROUP = 0.02
_LONGEST_GROUP = 1.0
_COMMIT_SHARE = 10
_decoder = msgspec.json.Decoder(ev.StepFinished)


class Recorder:
    """Writes the events of one run, in order, a group at a time. Any thread may record a step."""

    def __init__(self, store: Store, run: str, clock: Clock, flights: Flights) -> None:
        self._store = store
        self._clock = clock
        self._flights = flights
        self._place = _journal(store, run)
        self._journal: int | None = None
        self._buffer: list[ev.StepFinished] = []
        self._taking = threading.Lock()
        self._flushing = threading.Lock()
        self._closed = threading.Event()
        self._flusher: threading.Thread | None = None

    def begin(self, event: ev.RunStarted) -> None:
        """Commit the beginning of the run."""
        try:
            self._place.parent.mkdir(exist_ok=True)
            self._journal = os.open(self._place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            what = f"the journal of the run cannot be written: {error.strerror or error}"
            raise StoreError(what, hint="check the permissions and the free space of the store's folder") from error
        self._store.ledger.append(event, time=self._clock.now())
        faults.point("run.started")

    def step(self, event: ev.StepFinished) -> None:
        """Take the record of a step: it outlives the process from here on and is committed with the next group."""
        if self._journal is not None:
            os.write(self._journal, msgspec.json.encode(event) + b"\n")
        with self._taking:
            self._buffer.append(event)
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_regularly, name="homeostat-recorder", daemon=True)
            self._flusher.start()
        faults.point("step.after_record")

    def finish(self, event: ev.RunFinished) -> None:
        """Commit everything that is left together with the end of the run; a run ends once."""
        self._closed.set()
        if self._flusher is not None:
            self._flusher.join()
        faults.point("run.before_finish")
        try:
            self._commit(event)
        finally:
            self._flights.committed([each.key for each in self._buffer if each.key])
            if self._journal is not None:
                os.close(self._journal)
        self._place.unlink(missing_ok=True)

    def _flush_regularly(self) -> None:
        """Commit a group every 20 ms, or less often where commits are slow: they take a tenth of the time at most."""
        pause = _SHORTEST_GROUP
        while not self._closed.wait(pause):
            began = stopwatch()
            try:
                self._commit(None)
            except Exception:  # noqa: BLE001 - the records stay; `finish` commits them or raises
                return
            pause = min(_LONGEST_GROUP, max(_SHORTEST_GROUP, _COMMIT_SHARE * (stopwatch() - began)))

    def _commit(self, last: ev.RunFinished | None) -> None:
        with self._flushing:
            with self._taking:
                batch = list(self._buffer)
            if not batch and last is None:
                return
            now = self._clock.now()
            with self._store.ledger.transaction() as tx:
                tx.append_many(batch, time=now)
                if last is not None:
                    tx.append(last, time=now, key=_end_key(last.run))
            with self._taking:
                del self._buffer[: len(batch)]
        self._flights.committed([event.key for event in batch if event.key])


def alive_name(run: str) -> str:
    """The name that a run's process holds while it lives."""
    return f"run/{run}"


def mark_interrupted(store: Store, clock: Clock, *, loop: str | None = None, run: str | None = None) -> list[str]:
    """Close the record of every run whose process died: its status becomes `interrupted`.

    A run holds a lock of the operating system as long as its process lives, so one that is merely slow is left alone.

    Args:
        store: The store.
        clock: What the time is.
        loop: Only this loop's runs.
        run: Only this run.

    Returns:
        The runs that were closed; each can be resumed.
    """
    flights = flights_of(store.path)
    running = [row for row in store.ledger.runs(loop) if row.status == "running" and run in (None, row.run)]
    closed = []
    for row in running:
        if not flights.try_enter(alive_name(row.run)):
            continue
        try:
            if _close(store, clock, row.loop, row.run, row.trigger):
                closed.append(row.run)
        finally:
            flights.leave(alive_name(row.run))
    return closed


def _close(store: Store, clock: Clock, loop: str, run: str, trigger: str) -> bool:
    recorded = [each.event for each in store.ledger.steps(run)]
    steps = {each.step: each for each in recorded if isinstance(each, ev.StepFinished)}
    lost = [each for each in _journaled(_journal(store, run)) if each.step not in steps]
    steps.update({each.step: each for each in lost})
    event = ev.RunFinished(
        loop=loop,
        run=run,
        trigger=trigger,
        status="interrupted",
        outputs={name: each.output for name, each in steps.items() if each.output is not None},
        error="the process of the run died",
    )
    with store.ledger.transaction() as tx:
        ended = tx.append(event, time=clock.now(), key=_end_key(run))
        if ended.fresh:
            tx.append_many(lost, time=clock.now())
    _journal(store, run).unlink(missing_ok=True)
    return ended.fresh


def _journal(store: Store, run: str) -> Path:
    return store.path / "runs" / f"{run}.jsonl"


def _journaled(place: Path) -> list[ev.StepFinished]:
    """The whole records of a journal; the last line may be torn."""
    try:
        lines = place.read_bytes().split(b"\n")[:-1]
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
