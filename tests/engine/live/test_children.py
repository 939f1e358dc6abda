"""A process beside the engine: what it is given, what is made of its end, and when it is started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.core.clock import VirtualClock
from homeostat.core.errors import InternalError, RefusedError
from homeostat.engine.live.children import Child

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ENDS = "import sys\nsys.exit({code})"
ECHO = "import sys\nfor line in sys.stdin:\n    print(line.strip().upper(), flush=True)\nprint('hung up', flush=True)"
DEAF = """import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('deaf', flush=True)
sys.stdin.read()
signal.pause()"""

Made = Callable[..., Child]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Makes children that run some code, and ends them."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    children: list[Child] = []

    def make(code: str, **more: int) -> Child:
        (tmp_path / "child_of_a_test.py").write_text(code)
        children.append(Child("child", "child_of_a_test", [], tmp_path / "logs" / "child.log", **more))
        return children[-1]

    yield make
    for child in children:
        child.kill()
        child.await_end(30)


def ended(child: Child) -> Child:
    """A child that came to its own end."""
    assert child._process is not None
    child._process.wait(30)
    return child


def said(child: Child) -> str:
    assert child.log is not None
    return child.log.read_text()


def until_said(child: Child, text: str) -> None:
    child.wait_for(lambda: text in said(child), seconds=30)


@pytest.mark.parametrize(("code", "blames"), [(0, False), (1, False), (2, True), (3, False)])
def test_only_the_exit_code_of_a_users_mistake_blames_the_user(made: Made, code: int, blames: bool) -> None:
    child = made(ENDS.format(code=code))
    assert not child.blames_the_user
    child.start()
    ended(child)
    assert child.blames_the_user is blames
    assert isinstance(child.failure(), RefusedError if blames else InternalError)
    assert (child.running, child.pid) == (False, None)


def test_its_end_is_told_in_its_own_words_and_with_its_own_hint(made: Made) -> None:
    child = made('print("starting")\nprint("error: no such file\\n  hint: make one\\nmore")\nraise SystemExit(2)')
    child.start()
    failure = ended(child).failure()
    assert (failure.what, failure.hint) == ("the child ended: no such file", "make one")


def test_without_words_of_its_own_the_last_line_is_told_and_where_to_look(made: Made) -> None:
    child = made('print("first")\nprint("last")\nraise SystemExit(1)')
    child.start()
    failure = ended(child).failure()
    assert (failure.what, failure.hint) == ("the child ended: last", f"see {child.log}")
    silent = made(ENDS.format(code=1))
    silent.start()
    assert ended(silent).failure().what == "the child ended: it said nothing"


def test_what_it_said_before_it_was_started_again_is_kept_and_not_told(made: Made) -> None:
    child = made('print("error: the first end")\nraise SystemExit(1)')
    child.start()
    ended(child)
    made('print("another end")\nraise SystemExit(1)')
    child.start()
    assert ended(child).failure().what == "the child ended: another end"
    assert said(child).splitlines() == ["error: the first end", "another end"]


def test_it_steps_back_as_far_as_it_should_and_does_not_speak_to_our_supervisor(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("OURS", "kept")
    child = made(
        'import os, sys\nsys.stdin.readline()\nprint(os.nice(0), os.environ.get("NOTIFY_SOCKET"), os.environ["OURS"])',
        niceness=3,
    )
    child.start()
    child.order("go")
    ended(child)
    assert said(child).split() == [str(os.nice(0) + 3), "None", "kept"]


def test_it_reads_its_orders_and_learns_of_our_end(made: Made) -> None:
    child = made(ECHO)
    child.start()
    assert child.running
    child.order("one")
    child.order("two")
    until_said(child, "TWO")
    child.input.close()
    ended(child)
    assert said(child).split("\n")[:3] == ["ONE", "TWO", "hung up"]


def test_an_order_to_a_child_that_died_is_left_to_its_next_start(made: Made) -> None:
    child = made(ENDS.format(code=0))
    child.start()
    ended(child)
    child.order("into the void")
    child.order("again")
    assert not child.running


def test_one_that_does_not_listen_is_made_to_end(made: Made) -> None:
    child = made(DEAF)
    child.start()
    until_said(child, "deaf")
    process = child._process
    assert process is not None
    child.signal(signal.SIGTERM)
    child.await_end(0.01)
    assert process.returncode == -signal.SIGKILL
    assert child._process is None


def test_a_kill_waits_for_the_end(made: Made) -> None:
    child = made(ECHO)
    child.start()
    pid = child.pid
    assert pid is not None
    child.kill()
    assert child.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_waiting_ends_when_it_is_ready_when_it_ended_or_when_it_takes_too_long(made: Made) -> None:
    child = made(ECHO)
    child.start()
    child.wait_for(lambda: True, seconds=0)
    with pytest.raises(InternalError, match="the child was not ready within 0 s"):
        child.wait_for(lambda: False, seconds=0)
    child.kill()
    with pytest.raises(InternalError, match="the child ended"):
        child.wait_for(lambda: False, seconds=30)


def test_the_oftener_it_dies_the_later_it_is_started_again_up_to_a_minute(made: Made) -> None:
    child, clock = made(ENDS.format(code=1)), VirtualClock(NOW)
    child._clock = clock  # type: ignore[assignment]
    assert child.revive(), "it never ran"
    for wait in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        ended(child)
        clock.advance(wait * SECOND - timedelta(milliseconds=1))
        assert not child.revive()
        clock.advance(timedelta(milliseconds=1))
        assert child.revive()


def test_one_that_ran_for_long_is_started_again_as_if_it_had_never_died(made: Made) -> None:
    child, clock = made(ENDS.format(code=1)), VirtualClock(NOW)
    child._clock = clock  # type: ignore[assignment]
    child.revive()
    for _ in range(5):
        ended(child)
        clock.advance(timedelta(minutes=5))
        assert child.revive()
    ended(child)
    clock.advance(31 * SECOND)
    assert not child.revive()
    clock.advance(timedelta(minutes=5) - 30 * SECOND)
    assert child.revive()
    ended(child)
    clock.advance(SECOND)
    assert not child.revive()
    clock.advance(SECOND)
    assert child.revive()


def test_one_that_runs_is_not_started_again(made: Made) -> None:
    child, clock = made(ECHO), VirtualClock(NOW)
    child._clock = clock  # type: ignore[assignment]
    child.start()
    pid = child.pid
    clock.advance(timedelta(hours=1))
    assert not child.revive()
    assert child.pid == pid
