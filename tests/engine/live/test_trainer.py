"""The run in flight is worked on until it is recorded: again when its process dies, and not when it was cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from homeostat import where
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock, pause, stopwatch
from homeostat.core.store import Store
from homeostat.ct.where import TrainingPlace
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules, State
from homeostat.engine.live.trainer import Trainer
from homeostat.loop import Loop
from tests.ci.small_loop import NOW, small_loop

BROKEN = "import os\nprint('it broke', flush=True)\nos._exit({code})\n"
NEVER_READY = "import signal\nsignal.pause()\n"


class Failing(LogisticRegression):
    """A model that cannot be trained."""

    def fit(self, rows, target):
        raise RuntimeError("no fit today")


class OddGate:
    """A gate that breaks where nobody foresaw it."""

    @property
    def slices(self):
        raise RuntimeError("no slices today")

    def check(self, evaluation):
        return []


class Bench:
    """A loop with a run in flight, and its trainer."""

    def __init__(self, store: Store, loop: Loop) -> None:
        self.store, self.clock = store, VirtualClock(NOW)
        self.feed = Feed(store.ledger, Rules.of(loop))
        self.feed.give(ev.LoopStarted(loop=loop.name, who="test", declaration="d"), time=NOW)
        self.trainer = Trainer(store, loop, self.feed, self.clock, played=True)

    def keep(self) -> State:
        self.trainer.keep(self.feed.catch_up(), None)
        return self.feed.catch_up()

    def until_ended(self) -> State:
        begin = stopwatch()
        while (state := self.keep()).inflight is not None:
            assert stopwatch() - begin < 60, "the run did not end"
            pause(0.01)
        return state

    def ends(self) -> list[tuple[str, str]]:
        ends = [one.event for one in self.store.ledger.events(kinds=(ev.TrainingEnded,))]
        return [(one.status, one.error) for one in ends if isinstance(one, ev.TrainingEnded)]


Made = Callable[[Loop], Bench]


@pytest.fixture
def made(store: Store) -> Iterator[Made]:
    """Makes benches, and ends what they started."""
    benches: list[Bench] = []

    def make(loop: Loop) -> Bench:
        benches.append(Bench(store, loop))
        return benches[-1]

    yield make
    for bench in benches:
        bench.trainer.stop()


def beside(folder: Path, code: str, place: TrainingPlace) -> Loop:
    """A loop whose training happens in a process that reads this file."""
    loop = small_loop(where=place)
    loop.file = folder / "loop.py"
    loop.file.write_text(code)
    return loop


def test_a_run_in_this_process_is_begun_once_and_ends_with_a_version(store: Store, made: Made) -> None:
    bench = made(small_loop(where=where.Local()))
    bench.keep()
    thread = bench.trainer.executor._thread
    bench.keep()
    assert bench.trainer.executor._thread is thread
    bench.until_ended()
    assert [row.version for row in store.ledger.versions("flights")] == [1]
    assert bench.ends() == []


def test_a_run_that_fails_in_this_process_ends_with_the_reason_and_the_next_one_begins(made: Made) -> None:
    bench = made(small_loop(where=where.Local(), model=Failing()))
    first = bench.keep().inflight
    bench.until_ended()
    ((status, error),) = bench.ends()
    assert status == "failed"
    assert "no fit today" in error
    bench.keep()
    request = ev.RetrainRequested(loop="flights", user="ann", reason="again", request="r")
    bench.feed.give(request, time=NOW)
    second = bench.keep().inflight
    assert second != first
    bench.until_ended()
    assert len(bench.ends()) == 2


def test_an_error_that_nobody_foresaw_ends_the_run_and_is_told(made: Made) -> None:
    bench = made(small_loop(where=where.Local(), gates=[OddGate()]))
    bench.until_ended()
    assert bench.ends() == [("failed", "RuntimeError: no slices today")]


def test_stopping_waits_for_the_run_in_this_process(store: Store, made: Made) -> None:
    bench = made(small_loop(where=where.Local()))
    bench.keep()
    bench.trainer.stop()
    assert [row.version for row in store.ledger.versions("flights")] == [1]


def test_a_cancelled_run_is_ended_and_its_process_with_it(made: Made, tmp_path: Path) -> None:
    bench = made(beside(tmp_path, NEVER_READY, where.Process()))
    bench.keep()
    assert bench.trainer.executor.running()
    bench.feed.give(ev.CancelRequested(loop="flights", user="ann", reason="r"), time=NOW)
    state = bench.keep()
    assert (state.inflight, state.cancelling, bench.ends()) == (None, False, [("cancelled", "cancelled")])
    assert bench.trainer.executor.pid is None


def test_a_process_that_dies_is_tried_three_times_and_its_last_words_are_told(made: Made, tmp_path: Path) -> None:
    bench = made(beside(tmp_path, BROKEN.format(code=7), where.Process()))
    bench.until_ended()
    log = bench.store.path / "logs" / "flights-trainer.log"
    assert bench.ends() == [("failed", f"3 times: the trainer ended: it broke\n  hint: see {log}")]
    assert log.read_text().splitlines() == ["it broke"] * 3


def test_what_the_user_has_to_mend_is_not_tried_again(made: Made, tmp_path: Path) -> None:
    bench = made(beside(tmp_path, "loop = 7\n", where.Process()))
    bench.until_ended()
    ((status, error),) = bench.ends()
    assert status == "failed"
    assert "declares no Loop" in error
    assert not error.startswith("3 times")


def test_a_run_that_takes_longer_than_its_place_allows_is_ended(made: Made, tmp_path: Path) -> None:
    bench = made(beside(tmp_path, NEVER_READY, where.Process(timeout="0.05s")))
    bench.until_ended()
    assert bench.ends() == [("failed", "took longer than 0.05s")]
    assert bench.trainer.executor.pid is None


def test_within_its_time_a_run_is_left_alone(made: Made, tmp_path: Path) -> None:
    bench = made(beside(tmp_path, NEVER_READY, where.Process(timeout="1h")))
    for _ in range(3):
        assert bench.keep().inflight is not None
    pid = bench.trainer.executor.pid
    bench.keep()
    assert bench.trainer.executor.pid == pid
    bench.trainer.stop()
    assert bench.ends() == []
