"""The player: live traffic over HTTP, labels when flights land, and a loop that acts, all on one virtual clock."""

from __future__ import annotations

import shutil
from collections import defaultdict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
import polars as pl

from homeostat.core.clock import VirtualClock, stopwatch
from homeostat.core.errors import InternalError, StoreError
from homeostat.core.store import Store
from homeostat.demo.client import Client, PlayedReply
from homeostat.demo.flights import TIME, flights
from homeostat.demo.pushes import insist, push
from homeostat.demo.requests import Asked, Requests
from homeostat.engine.live.live import Live
from homeostat.loop import load_loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from homeostat.core.ledger import Recorded
    from homeostat.demo.story import Push, Story

STORE = ".homeostat"


class Audience(Protocol):
    """Who watches: told of everything as it happens."""

    def stage(self, what: str) -> None:
        """Something that takes a while begins."""

    def moment(self, now: datetime, rows: int) -> None:
        """The virtual clock stands at `now`, and so many rows were answered so far."""

    def decided(self, recorded: Recorded) -> None:
        """The loop decided."""


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """A broken candidate: who pushed which fault, and the version that it became."""

    push: Push
    version: int
    at: datetime


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered.

    Attributes:
        table: The live rows, in order of their scheduled time.
        score: The answered probability of being late, shape (n,).
    """

    table: pl.DataFrame
    score: NDArray[np.float64]
    version: NDArray[np.int64]
    pushed: tuple[Pushed, ...]
    requests: int
    seconds: dict[str, float]


class _Row(msgspec.Struct):
    score: float
    version: int


class _Answer(msgspec.Struct):
    predictions: list[_Row]


_decoder = msgspec.json.Decoder(_Answer)


def set_up(folder: Path, story: Story) -> pl.DataFrame:
    """Make the project folder: the declaration, and the history as a file."""
    table = flights()
    if story.every > 1:
        table = table.gather_every(story.every)
    try:
        (folder / "flights").mkdir(parents=True)
        shutil.copyfile(story.declaration, folder / "loop.py")
        table.filter(pl.col(TIME) < story.start).write_parquet(folder / "flights" / "history.parquet")
    except OSError as error:
        what = f"{folder} cannot be made: {error.strerror or error}"
        raise StoreError(what, hint="name a folder that you may write to, with --output") from error
    return table.filter(pl.col(TIME).is_between(story.start, story.end, closed="left"))


def play(folder: Path, story: Story, audience: Audience, *, port: int = 0) -> Played:
    """Play a story in a new project folder."""
    seconds: defaultdict[str, float] = defaultdict(float)
    with _timed(seconds, "reading flights"):
        audience.stage("reading the flights of 2013")
        table = set_up(folder, story)
        requests = Requests(table, story.window)
        clock = VirtualClock(story.start)
        store, loop = Store.open(folder / STORE), load_loop(folder / "loop.py")
        live = Live(store, loop, clock=clock, port=port, on_decision=audience.decided)
    try:
        with _timed(seconds, "first model"):
            audience.stage("training the first model")
            live.start()
            live.settle()
        assert live.server.url is not None
        with Client(live.server.url) as client:
            player = _FlightPlayer(live, clock, client, requests, table, story, audience, seconds)
            player.play()
    finally:
        with _timed(seconds, "archiving"):
            audience.stage("archiving the prediction log")
            live.stop()
    return player.played()


class _FlightPlayer:
    """The state of one performance."""

    def __init__(
        self,
        live: Live,
        clock: VirtualClock,
        client: Client,
        requests: Requests,
        table: pl.DataFrame,
        story: Story,
        audience: Audience,
        seconds: defaultdict[str, float],
    ) -> None:
        self.live, self.clock, self.client, self.requests = live, clock, client, requests
        self.story, self.audience, self.seconds, self.table = story, audience, seconds, table
        self.score = np.full(table.height, np.nan)
        self.version = np.zeros(table.height, dtype=np.int64)
        self.waiting = deque(story.pushes)
        self.insisting: deque[Pushed] = deque()
        self.pushed: list[Pushed] = []
        self.sent = self.rows = 0

    def play(self) -> None:
        self.audience.stage("playing live traffic")
        while (now := self.clock.now()) < self.story.end:
            until = min(now + self.story.block, self.story.end)
            with _timed(self.seconds, "traffic"):
                self._traffic(now, until)
            self.clock.advance_to(until)
            with _timed(self.seconds, "looking and deciding"):
                self.live.step()
            with _timed(self.seconds, "training and routing"):
                self._people()
                self.live.settle()
            self.audience.moment(until, self.rows)

    def played(self) -> Played:
        return Played(
            table=self.table,
            score=self.score,
            version=self.version,
            pushed=tuple(self.pushed),
            requests=self.sent,
            seconds=dict(self.seconds),
        )

    def _traffic(self, start: datetime, end: datetime) -> None:
        asked = self.requests.asked(start, end)
        for one, reply in zip(asked, self.client.send([one.request for one in asked]), strict=True):
            self._note(one, reply)
        for reply in self.client.send(self.requests.labels(start, end)):
            _check(reply)
        self.sent += len(asked)

    def _note(self, asked: Asked, reply: PlayedReply) -> None:
        rows = _decoder.decode(_check(reply)).predictions
        self.score[asked.places] = [row.score for row in rows]
        self.version[asked.places] = [row.version for row in rows]
        self.rows += len(rows)

    def _people(self) -> None:
        """Let people push what they have to, one thing at a time, and only when the loop is quiet."""
        now = self.clock.now()
        due = self.insisting or (self.waiting and self.waiting[0].at <= now)
        if not due or self.live.settle().trial is not None:
            return
        if self.insisting:
            made = self.insisting.popleft()
            insist(self.live, made.version, made.push)
        else:
            wanted = self.waiting.popleft()
            made = Pushed(push=wanted, version=push(self.live, wanted), at=now)
            self.pushed.append(made)
            if wanted.insists is not None:
                self.insisting.append(made)


def _check(reply: PlayedReply) -> bytes:
    if reply.status != 200:
        raise InternalError(f"the server answered {reply.status}: {reply.body[:500].decode(errors='replace')}")
    return reply.body


@contextmanager
def _timed(seconds: defaultdict[str, float], activity: str) -> Iterator[None]:
    begin = stopwatch()
    try:
        yield
    finally:
        seconds[activity] += stopwatch() - begin
