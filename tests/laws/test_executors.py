"""What holds wherever runs are carried out: in this process, in a child process, and in somebody else's place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.core import events as ev
from homeostat.core.clock import SystemClock, VirtualClock, pause, stopwatch
from homeostat.core.errors import HomeostatError, LoopError
from homeostat.core.ports import Executor, TrainingSpec
from homeostat.core.store import Store
from homeostat.ct.where import Local, Process, TrainingPlace
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.live import EXECUTORS
from homeostat.engine.live.executors import executor_of
from homeostat.engine.live.live import Live
from homeostat.engine.training.training import end_training
from homeostat.loop import load_loop
from tests.engine.live_world import BEGIN, write_world
from tests.laws.toy_executor import CommandExecutor, Elsewhere

pytestmark = pytest.mark.slow
PLACES = [Local(), Process(), Elsewhere()]


class World:
    """A store with a loop whose runs a test orders one by one."""

    def __init__(self, folder: Path) -> None:
        self.file = write_world(folder, policy="when.never()")
        self.store = Store.open(folder / "store")
        self.loop = load_loop(self.file)
        self.feed = Feed(self.store.ledger, Rules.of(self.loop))

    def order(self) -> TrainingSpec:
        """A run that somebody asks for."""
        self.feed.catch_up()
        request = ev.RetrainRequested(loop="world", user="ann", reason="law", request=f"r-{self.store.ledger.newest()}")
        self.feed.give(request, time=BEGIN + timedelta(minutes=1))
        assert self.feed.state.inflight is not None
        return self.spec(self.feed.state.inflight.key)

    def spec(self, trigger: str) -> TrainingSpec:
        return TrainingSpec(trigger=trigger, store=str(self.store.path), loop_file=str(self.file), played=True)

    def versions(self, trigger: str) -> int:
        return sum(row.trigger == trigger for row in self.store.ledger.versions("world"))


def settled(executor: Executor, world: World, trigger: str) -> HomeostatError | None:
    """Wait until a run is recorded or its work has ended; gives why it ended, where the executor can tell."""
    begin = stopwatch()
    try:
        while executor.running() and not world.versions(trigger):
            assert stopwatch() - begin < 120, "it did not end"
            pause(0.01)
    except HomeostatError as error:
        return error
    return None


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: type(place).__name__)
def place(request: pytest.FixtureRequest) -> TrainingPlace:
    return request.param


@pytest.fixture(scope="module")
def world(place: TrainingPlace, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def executor(place: TrainingPlace, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    monkeypatch.setitem(EXECUTORS, Elsewhere, CommandExecutor)
    world.loop.where = place
    made = executor_of(world.store, world.loop, VirtualClock(BEGIN))
    yield made
    made.close()


def test_nothing_runs_before_a_start_and_nothing_has_to_be_ended(executor: Executor) -> None:
    assert not executor.running()
    executor.cancel("world/1")
    executor.close()
    assert not executor.running()


def test_a_run_is_recorded_once_however_often_it_is_started(executor: Executor, world: World) -> None:
    spec = world.order()
    for _ in range(2):
        executor.start(spec)
        executor.cancel("another trigger")
        assert settled(executor, world, spec.trigger) is None
        assert world.versions(spec.trigger) == 1


def test_a_run_that_cannot_begin_says_why(executor: Executor, world: World) -> None:
    executor.start(world.spec("nobody asked"))
    error = settled(executor, world, "nobody asked")
    assert "no run was ever decided for the trigger 'nobody asked'" in f"{error} {executor.logs()}"
    assert world.versions("nobody asked") == 0


def test_a_run_that_is_cancelled_registers_nothing(executor: Executor, world: World) -> None:
    spec = world.order()
    executor.start(spec)
    executor.cancel(spec.trigger)
    end_training(world.store, world.feed, SystemClock(), spec.trigger, "cancelled", "cancelled")
    settled(executor, world, spec.trigger)
    executor.close()
    assert world.versions(spec.trigger) == 0
    assert world.feed.catch_up().inflight is None


def test_a_place_of_somebody_elses_trains_a_version_in_a_live_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, Elsewhere, CommandExecutor)
    file = write_world(tmp_path, policy="when.never()")
    declared = file.read_text().replace("where=where.Local()", "where=Elsewhere()")
    file.write_text(f"from tests.laws.toy_executor import Elsewhere\n{declared}")
    with Live(Store.open(tmp_path / "store"), load_loop(file), clock=VirtualClock(BEGIN)) as live:
        assert isinstance(live.trainer.executor, CommandExecutor)
        assert live.settle().champion == 1


def test_a_place_that_nothing_is_known_of_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.loop.where = Elsewhere()
    with pytest.raises(LoopError, match="has no executor"):
        executor_of(world.store, world.loop, VirtualClock(BEGIN))
