"""Identical work in flight runs once, among threads and among processes; a dead process holds nothing."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from homeostat.ci.pipeline.inflight import InFlight, inflight_of
from homeostat.core.store import Store
from tests.ci.small_loop import records

SOURCE = Path(__file__).resolve().parents[3] / "src"

MODULE = """
    import sys
    from homeostat.ci.pipeline import Pipeline
    from homeostat.core.store import Store

    def slow(folder):
        # One byte for every time that the work is really done.
        with open(f"{folder}/calls", "ab") as calls:
            calls.write(b".")
        # Both are pipes: the first waits until the test reads it, the second until the test writes to it.
        open(f"{folder}/started", "wb").close()
        open(f"{folder}/go", "rb").close()
        return 7

    def run(folder, store, progress=None):
        return Pipeline(slow).run(store, loop="x", inputs={"folder": folder}, progress=progress)

    if __name__ == "__main__":
        folder = sys.argv[1]
        print(run(folder, Store.open(f"{folder}/store"))["slow"], flush=True)
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "work.py"
    path.write_text(textwrap.dedent(MODULE))
    os.mkfifo(tmp_path / "started")
    os.mkfifo(tmp_path / "go")
    Store.open(tmp_path / "store").close()
    return path


def start(program):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, str(program), str(program.parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def started(program):
    """Wait until the work has begun somewhere."""
    (program.parent / "started").read_bytes()


def go(program):
    """Let the work that has begun end."""
    (program.parent / "go").write_bytes(b"")


def test_two_threads_with_the_same_work_do_it_once(program, store, monkeypatch):
    monkeypatch.syspath_prepend(str(program.parent))
    work = importlib.import_module("work")
    both = threading.Barrier(3, timeout=60)

    def ask():
        return work.run(str(program.parent), store, lambda *told: both.wait() if told[-1] == "started" else None)

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask), pool.submit(ask)]
        both.wait()
        started(program)
        go(program)
        runs = [each.result() for each in asked]
    sys.modules.pop("work")
    assert (program.parent / "calls").read_bytes() == b"."
    assert sorted(records(store, run.id)[0].outcome for run in runs) == ["hit", "ran"]
    assert runs[0].outputs == runs[1].outputs


def test_two_processes_with_the_same_work_do_it_once(program):
    first, second = start(program), start(program)
    started(program)
    go(program)
    assert [process.communicate(timeout=60)[0] for process in (first, second)] == [b"7\n", b"7\n"]
    assert (program.parent / "calls").read_bytes() == b"."


def test_the_work_of_a_killed_process_is_taken_over_at_once(program):
    first = start(program)
    started(program)
    second = start(program)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    started(program)
    go(program)
    assert second.communicate(timeout=60)[0] == b"7\n"
    assert (program.parent / "calls").read_bytes() == b".."


def test_a_name_is_entered_once(tmp_path):
    flights = InFlight(tmp_path / "locks")
    assert flights.try_enter("a")
    assert not flights.try_enter("a")
    assert flights.try_enter("b")
    flights.leave("a")
    assert flights.try_enter("a")


def test_a_wait_can_be_cancelled(tmp_path):
    flights = InFlight(tmp_path / "locks")
    assert flights.try_enter("a")
    asked = iter([False, True])
    assert not flights.enter("a", lambda: next(asked))


def test_a_result_that_is_not_committed_is_seen_in_this_process(tmp_path):
    flights = InFlight(tmp_path / "locks")
    flights.try_enter("a")
    flights.leave("a", landed="hash")
    assert flights.landed("a") == "hash"
    flights.committed(["a"])
    assert flights.landed("a") is None


def test_other_processes_wait_until_the_result_is_committed(tmp_path):
    flights = inflight_of(tmp_path)
    flights.try_enter("a")
    flights.leave("a", landed="hash")
    assert not _enters_elsewhere(tmp_path, "a")
    flights.committed(["a"])
    assert _enters_elsewhere(tmp_path, "a")


def _enters_elsewhere(folder, name):
    program = "import pathlib, sys; from homeostat.ci.pipeline.inflight import inflight_of;"
    program += "sys.exit(not inflight_of(pathlib.Path(sys.argv[1])).try_enter(sys.argv[2]))"
    command = [sys.executable, "-c", program, str(folder), name]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, check=False).returncode == 0
