"""The live loop: feeds what happens to `decide` on a real clock, and carries out what it commands.

One process holds the loop by a lease. Beside it run the server and the trainer, which it starts, watches and restarts.
Everything that matters is in the ledger and the prediction log: after a crash the next start folds them again and goes
on where this one was.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

import msgspec

from homeostat.core import events as ev
from homeostat.core.claims import is_dead, this_process
from homeostat.core.clock import Clock, SystemClock, duration, pause, stopwatch
from homeostat.core.errors import (
    ConflictError,
    DataError,
    HomeostatError,
    InternalError,
    NotFoundError,
    RefusedError,
    RetryableError,
)
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules, State
from homeostat.engine.live.hold import TTL, Hold
from homeostat.engine.live.preflight import check_champion
from homeostat.engine.live.server import ServerChild
from homeostat.engine.live.trainer import Trainer
from homeostat.engine.live.watch import Watch
from homeostat.engine.training.training import collect_new

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.ci.collect import Collected
    from homeostat.core.ledger import Lease, Recorded
    from homeostat.core.store import Store
    from homeostat.loop import Loop

_TICK_SECONDS = 0.2
_REFUSED_SECONDS = 6.0
"""Longer than the server takes to try a second time."""


class Live:
    """One loop in the hands of this process.

    Args:
        store: Where everything is kept.
        loop: The declaration; it must come from a file, because the server and the trainer read it too.
        clock: The loop's clock. A virtual one makes the server take the time of a request from its header.
        host: Where the server listens.
        port: 0 takes a free one.
        workers: How many server processes answer there.
        on_decision: Called with every decision as it is recorded, whoever caused it.

    Example:
        >>> with Live(store, load("loop.py")) as live:   # doctest: +SKIP
        ...     live.run()
    """

    def __init__(
        self,
        store: Store,
        loop: Loop,
        *,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int = 1,
        on_decision: Callable[[Recorded], None] | None = None,
    ) -> None:
        if loop.file is None:
            raise RefusedError(
                "a loop that runs live must be declared in a file", hint="load it with homeostat.load_loop()"
            )
        self.store = store
        self.loop = loop
        self.clock = clock or SystemClock()
        played = not isinstance(self.clock, SystemClock)
        self.feed = Feed(store.ledger, Rules.of(loop))
        self.server = ServerChild(store, loop, host=host, port=port, played=played, workers=workers)
        self.trainer = Trainer(store, loop, self.feed, self.clock, played=played)
        self.watch = Watch(store, loop)
        self._wall = SystemClock()
        self._on_decision = on_decision
        self._hold: Hold | None = None
        self._announced = 0
        self._started = False
        self._stopping = False
        self._refused: float | None = None
        self._source_version: str | None = None

    def __enter__(self) -> Self:
        """Take the loop in charge; a start that fails leaves no process and no lease behind."""
        try:
            self.start()
        except BaseException:
            with suppress(HomeostatError):
                self.stop("its start failed")
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go."""
        self.stop()

    def start(self) -> None:
        """Take the loop in charge: collect, and train the first model or resume what was cut off.

        Raises:
            RefusedError: another process holds the loop, the address is one that may not be served at, or the champion
                was trained with another `features()`.
            StoreError: the address cannot be had.
            DataError: the source holds no usable rows, and there is no model yet that could serve.
        """
        self.server.check()
        check_champion(self.store, self.loop)
        lease = self._take_charge()
        self._hold = Hold(self.store.ledger, lease)
        self._announced = self.store.ledger.newest()
        refused = self.try_collect()
        if refused is not None and self.feed.catch_up().champion is None:
            raise refused
        started = ev.LoopStarted(loop=self.loop.name, who=lease.owner, declaration=self.loop.digest)
        self.feed.give(started, time=self.clock.now(), lease=lease)
        self._started = True
        self.watch.resume(self.store.ledger)
        self.carry_out()

    def run(self) -> None:
        """Step until `stop` is called from a signal handler or another thread."""
        while not self._stopping:
            try:
                self.step()
            except RetryableError:
                self._check()
            pause(_TICK_SECONDS)

    @property
    def halting(self) -> bool:
        """Whether it was asked to end."""
        return self._stopping

    def halt(self) -> None:
        """Ask `run` to end after the step in hand; safe in a signal handler."""
        self._stopping = True

    def step(self) -> State:
        """Look at what happened since the last step, decide, and carry out what was decided."""
        self._check()
        self.store.ledger.check_whole()
        now = self.clock.now()
        self.watch.take()
        due = self.watch.since is None or now - self.watch.since >= duration(self.loop.observe)
        if due:
            refused = self.try_collect()
            seen = self.server.counts(), self._source_version
            observed = self.watch.observe(self.feed.catch_up(), now, *seen)
            if refused is not None:
                observed = msgspec.structs.replace(observed, signals=(*observed.signals, _skew(refused)))
            self.feed.give(observed, time=now, lease=self._lease)
        state = self.carry_out()
        self.watch.archive(now)
        return state

    def carry_out(self) -> State:
        """Bring the world in line with the ledger: processes, runs, traffic. Idempotent."""
        state = self.feed.catch_up()
        if state.champion is not None:
            self.server.keep()
        if state.replacing is not None:
            self._confirm(state.replacing)
        self.trainer.keep(self.feed.state, self._lease)
        self._announce()
        return self.feed.catch_up()

    def _confirm(self, wanted: int) -> None:
        """Record that the server answers as the ledger says, or that it cannot, once it has said so for a while."""
        status = self.server.routing()
        event: ev.RoutingApplied | ev.RoutingRefused | None = None
        if status is not None and (status.seq or 0) >= wanted:
            event = ev.RoutingApplied(loop=self.loop.name, arms_seq=wanted)
        elif status is not None and status.error is not None and (status.wanted or 0) >= wanted:
            self._refused = self._refused or stopwatch()
            if stopwatch() - self._refused > _REFUSED_SECONDS:
                event = ev.RoutingRefused(loop=self.loop.name, arms_seq=wanted, error=status.error)
        else:
            self._refused = None
        if event is not None:
            self._refused = None
            self.feed.give(event, time=self.clock.now(), lease=self._lease)

    def settle(self, *, seconds: float = 600.0) -> State:
        """Wait until no run is in flight and the server answers as the ledger says.

        Raises:
            InternalError: that took longer than `seconds`.
        """
        begin = stopwatch()
        while (state := self.carry_out()).inflight is not None or state.replacing is not None:
            self._check()
            if stopwatch() - begin > seconds:
                waits = f"the run for {state.inflight.key}" if state.inflight else "the server's new routing"
                raise InternalError(f"{waits} took longer than {seconds:.0f} s", hint=f"see {self.store.path / 'logs'}")
            pause(0.01)
        return state

    def collect(self) -> Collected:
        """Take in what is new at the source."""
        collected = collect_new(self.store, self.loop, self.clock)
        self._source_version = collected.source_version
        return collected

    def try_collect(self) -> DataError | NotFoundError | None:
        """Take in what is new at the source, or say why nothing of it could be: the champion serves on."""
        try:
            self.collect()
        except (DataError, NotFoundError) as error:
            return error
        return None

    def stop(self, reason: str = "asked to stop") -> None:
        """Let the loop go: end the trainer and the server, keep what they were doing for the next start."""
        self._stopping = True
        self.trainer.stop()
        self.server.stop()
        self.watch.take()
        hold, self._hold = self._hold, None
        if hold is None or not hold.let_go():
            return
        lease = hold.lease
        try:
            self.watch.archive(self.clock.now(), at_once=True)
        finally:
            if self._started:
                stopped = ev.LoopStopped(loop=self.loop.name, who=lease.owner, reason=reason)
                self.feed.give(stopped, time=self.clock.now(), lease=lease)
            self.store.ledger.release(lease)

    def _take_charge(self) -> Lease:
        """The lease of the loop; that of a process which died is taken over at once."""
        ledger, owner = self.store.ledger, this_process()
        holder = ledger.lease_holder(self._name, now=self._wall.now())
        dead = holder if holder is not None and is_dead(holder) else None
        try:
            return ledger.acquire(self._name, owner, ttl=TTL, now=self._wall.now(), dead=dead)
        except ConflictError as error:
            what = f"loop {self.loop.name!r} is up already, in the hands of {holder or 'another process'}"
            raise RefusedError(what, hint="stop that one first, or watch it with `homeostat status`") from error

    @property
    def _name(self) -> str:
        return f"engine/{self.loop.name}"

    @property
    def _lease(self) -> Lease | None:
        return self._hold.lease if self._hold is not None else None

    def _check(self) -> None:
        """End this process's work on the loop when another one took it."""
        if self._hold is not None:
            self._hold.check()

    def _announce(self) -> None:
        if self._on_decision is None:
            return
        for recorded in self.store.ledger.events(after=self._announced, loop=self.loop.name, kinds=(ev.Decided,)):
            self._announced = recorded.seq
            self._on_decision(recorded)


def _skew(refused: HomeostatError) -> ev.Signal:
    """Rows that were refused at the door, as the policy sees them."""
    return ev.Signal(kind="schema_skew", subject="source", value=None, n=0, alarmed=True, detail=refused.what)
