"""Whoever dies beside or instead of the engine, the loop goes on: server, trainer, and the engine itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.core import events as ev
from homeostat.core.claims import is_running
from homeostat.core.clock import VirtualClock, pause, stopwatch
from homeostat.core.store import Store
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.live.live import Live
from homeostat.loop import load_loop
from tests.crash_harness import ROOT
from tests.engine.live_world import BEGIN, Caller, rows_of, write_world

pytestmark = [pytest.mark.slow, pytest.mark.crash]
HOLD = '''
def report(rows, validation, previous):
    """Says which process works on the run; while the file `hold` is there it gets no further."""
    import os, pathlib, time
    from homeostat.loop import steps
    folder = pathlib.Path("{folder}")
    (folder / "working").write_text(str(os.getpid()))
    given_up = time.monotonic() + 120
    while (folder / "hold").exists() and time.monotonic() < given_up:
        time.sleep(0.01)
    return steps.report(rows, validation, previous)

loop = Loop(
    steps={{"report": report}},
'''


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that another process does."""
    begin = stopwatch()
    while not condition():
        assert stopwatch() - begin < seconds, "it did not happen"
        pause(0.01)


class World:
    """The small world, with a training run that a test can stop midway."""

    def __init__(self, folder: Path) -> None:
        self.file = write_world(folder, policy="when.never()", where="Process")
        declared = self.file.read_text()
        self.file.write_text(declared.replace("\nloop = Loop(\n", HOLD.format(folder=folder)))
        self.store = Store.open(folder / "store")
        self.loop = load_loop(self.file)
        self.hold = folder / "hold"
        self.working = folder / "working"

    def live(self) -> Live:
        """The engine, in this process."""
        return Live(self.store, self.loop, clock=VirtualClock(BEGIN))

    def ask_for_a_run(self) -> None:
        """Somebody wants a new model, and gets a run that does not end before `hold` is gone."""
        self.hold.touch()
        self.working.unlink(missing_ok=True)
        request = ev.RetrainRequested(
            loop="world", user="ann", reason="test", request=f"r-{self.store.ledger.newest()}"
        )
        rules = Rules(loop="world", when=self.loop.when, deploy=self.loop.deploy)
        Feed(self.store.ledger, rules).give(request, time=BEGIN + timedelta(minutes=1))

    def worker(self) -> int:
        """The process that is midway in a run."""
        until(lambda: self.working.exists() and self.working.read_text())
        return int(self.working.read_text())

    def versions_of_triggers(self) -> set[int]:
        """How many versions the triggers have that any have."""
        return set(Counter(row.trigger for row in self.store.ledger.versions("world")).values())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("supervised"))


@pytest.fixture(scope="module")
def live(world: World) -> Iterator[Live]:
    with world.live() as live:
        live.settle()
        yield live


def test_a_server_that_is_killed_is_started_again_and_answers(live: Live) -> None:
    killed = live.server.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: live.server.pid is None)
    until(lambda: live.step() and live.server.url)
    assert live.server.pid != killed
    rows = rows_of(range(20, 21)).head(5)
    with closing(Caller(str(live.server.url))) as caller:
        assert [answer["id"] for answer in caller.predict(rows, BEGIN)] == rows["id"].to_list()


def test_a_trainer_that_is_killed_midway_is_started_again_and_its_run_has_one_version(world: World, live: Live) -> None:
    before = len(world.store.ledger.versions("world"))
    world.ask_for_a_run()
    live.carry_out()
    killed = world.worker()
    os.kill(killed, signal.SIGKILL)
    until(lambda: live.trainer.executor.pid is None)
    world.hold.unlink()
    live.settle()
    assert int(world.working.read_text()) != killed
    assert len(world.store.ledger.versions("world")) == before + 1
    assert world.versions_of_triggers() == {1}
    assert [row.status for row in world.store.ledger.runs("world")][-2:] == ["interrupted", "succeeded"]


def test_an_engine_that_is_killed_midway_in_a_run_is_resumed_by_the_next_start(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.hold.touch()
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    command = [sys.executable, "-m", "tests.engine.live_process", str(world.file), str(world.store.path)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}) as engine:
        orphan = world.worker()
        engine.kill()
    with world.live() as live:
        (begun,) = {row.trigger for row in world.store.ledger.runs("world")}
        assert live.feed.state.inflight.key == begun
        # The trainer of the dead engine may still be at work, and may come first or second: it makes no difference.
        world.hold.unlink()
        live.settle()
        until(lambda: not is_running(orphan))
        (version,) = world.store.ledger.versions("world")
        assert (version.trigger, version.state) == (begun, "champion")
        assert live.server.url is not None
    assert world.store.ledger.verify() == world.store.ledger.newest()
