"""What a run leaves in the ledger: records are grouped, so that a step costs no commit of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.core import events as ev
from homeostat.core import faults
from homeostat.core.clock import stopwatch
from homeostat.core.errors import InternalError

if TYPE_CHECKING:
    from homeostat.ci.pipeline.flights import Flights
    from homeostat.core.clock import Clock
    from homeostat.core.ledger import Ledger
    from homeostat.core.store import Store

_FLUSH_SECONDS = 0.02


class Recorder:
    """Writes the events of one run, in order, a group at a time.

    A step's artifact is durable before its record is buffered, and other processes that wait for the same work wait
    until the group is committed; so what a crash can take away is only work, never the truth.
    """

    def __init__(self, ledger: Ledger, clock: Clock, flights: Flights) -> None:
        self._ledger = ledger
        self._clock = clock
        self._flights = flights
        self._buffer: list[ev.StepFinished] = []
        self._oldest = 0.0

    def step(self, event: ev.StepFinished) -> None:
        """Take the record of a step; it is committed within 20 ms of the scheduler's time."""
        if not self._buffer:
            self._oldest = stopwatch()
        self._buffer.append(event)
        if self.due() == 0:
            self.flush()

    def due(self) -> float | None:
        """Seconds until the buffer should be written; None when it is empty."""
        return max(0.0, self._oldest + _FLUSH_SECONDS - stopwatch()) if self._buffer else None

    def flush(self) -> None:
        """Commit what is buffered."""
        if not self._buffer:
            return
        batch, self._buffer = self._buffer, []
        try:
            self._ledger.append_many(batch, time=self._clock.now())
        finally:
            self._flights.committed([event.key for event in batch if event.key])
        for _ in batch:
            faults.point("step.after_record")

    def begin(self, event: ev.RunStarted) -> None:
        """Commit the beginning of the run."""
        self._ledger.append(event, time=self._clock.now())
        faults.point("run.started")

    def finish(self, event: ev.RunFinished) -> None:
        """Commit everything that is left and the end of the run; a run ends once."""
        self.flush()
        faults.point("run.before_finish")
        finish(self._ledger, event, self._clock)


def finish(ledger: Ledger, event: ev.RunFinished, clock: Clock) -> bool:
    """Record the end of a run, unless it has ended already; whether it was this call that ended it."""
    return ledger.append(event, time=clock.now(), key=f"finished:{event.run}").fresh


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
    from homeostat.ci.pipeline.flights import flights_of  # noqa: PLC0415

    closed = []
    flights = flights_of(store.path)
    for row in store.ledger.runs(loop):
        if row.status != "running" or run not in (None, row.run) or flights.busy(alive_name(row.run)):
            continue
        steps = [each.event for each in store.ledger.steps(row.run)]
        event = ev.RunFinished(
            loop=row.loop,
            run=row.run,
            trigger=row.trigger,
            status="interrupted",
            outputs={
                step.step: step.output for step in steps if isinstance(step, ev.StepFinished) and step.output is not None
            },
            error="the process of the run died",
        )
        if finish(store.ledger, event, clock):
            closed.append(row.run)
    return closed


def refuse_nulls(event: Any, what: str) -> None:
    """Refuse a record of which a version field is empty: a run that cannot say what it ran on is no record.

    Raises:
        InternalError: naming every empty field.
    """
    empty = [name for name in event.__struct_fields__ if getattr(event, name) in (None, "")]
    if empty:
        shown = ", ".join(f"`{name}`" for name in empty)
        hint = "`homeostat doctor` shows the environment that is recorded with every run"
        raise InternalError(f"{what} has no {shown}", hint=hint)
