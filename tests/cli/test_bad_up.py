"""What may go wrong around a loop that is up: a second one, a killed one, bad rows, a trainer that cannot work."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from homeostat.core.claims import is_dead, this_machine, this_process
from homeostat.core.clock import pause
from tests.cli.bad import LOOP, Verb, csv, refused, rides, works

LIVELY = LOOP.replace('"rides.csv"', '"rides"').replace("when=", 'observe="1s",\n    when=')
PATIENCE_SECONDS = 60.0
ROW = {"ride": "r900", "at": "2026-02-01T00:00:00Z", "carrier": "AA", "wind": 12.5}


class Up:
    """A `homeostat up` of its own, whose lines can be waited for."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "homeostat", "up", "--port", "0", "--json"]
        self._errors = folder / "up.log"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=errors)
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(json.loads(line))
        self._lines.put(None)

    def url(self) -> str:
        """Where it serves."""
        while True:
            line = self._lines.get(timeout=PATIENCE_SECONDS)
            assert line is not None, self.errors()
            if "serving" in line:
                return str(line["serving"])

    def decision(self, action: str) -> str:
        """The reason of the next decision of a kind."""
        while True:
            line = self._lines.get(timeout=PATIENCE_SECONDS)
            assert line is not None, self.errors()
            if line.get("event", {}).get("action") == action:
                return str(line["event"]["reason"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)
        self._reader.join()

    def errors(self) -> str:
        """What it said on standard error."""
        return self._errors.read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "rides").mkdir()
    (tmp_path / "rides" / "january.csv").write_text(csv(rides(800)))
    (tmp_path / "loop.py").write_text(LIVELY)
    return tmp_path


@pytest.fixture
def trained(homeostat: Verb, project: Path) -> Path:
    """A project with a champion."""
    works(homeostat)
    return project


@pytest.mark.slow
def test_a_second_up_is_refused_and_a_killed_one_is_taken_over_at_once(homeostat: Verb, trained: Path) -> None:
    with Up(trained) as first:
        first.url()
        refused(
            homeostat("up", "--port", "0"), "'rides' is up already", f"process {first.process.pid}", "stop that one"
        )
        first.process.kill()
        first.process.wait()
    assert homeostat("status", "--json").json["in_charge"] is None
    with Up(trained) as third:  # within the lease of the one that was killed
        assert httpx.post(f"{third.url()}/predict", json=ROW, timeout=30).status_code == 200
        assert f"process {third.process.pid}" in homeostat("status", "--json").json["in_charge"]
    assert third.process.returncode == 0
    assert homeostat("verify").code == 0


def semicolons(path: Path) -> None:
    path.write_text("ride;at;carrier;wind;late;done\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "said"), [(semicolons, "a semicolon, not by a comma"), (os.mkfifo, "february.csv is no regular file")]
)
def test_bad_rows_at_the_source_are_told_while_the_champion_serves_on(
    homeostat: Verb, trained: Path, make: Callable[[Path], None], said: str
) -> None:
    make(trained / "rides" / "february.csv")
    with Up(trained) as loop:
        url = loop.url()
        told = loop.decision("stop")
        assert "february.csv" in told
        assert said in told
        assert httpx.post(f"{url}/predict", json=ROW, timeout=30).status_code == 200
        assert "february.csv" in homeostat("status").out
        (trained / "rides" / "february.csv").unlink()
        (trained / "rides" / "february.csv").write_text(csv(rides(810).tail(10)))
        for _ in range(3):  # of the look that refused, of one that may have begun before, and of one since
            loop.decision("keep")
        assert "refused" not in homeostat("status").out
    assert loop.process.returncode == 0
    assert homeostat("verify", "--json").json["rows"] >= 810


@pytest.mark.slow
def test_what_fails_in_the_trainers_process_is_told_by_up_runs_and_why(homeostat: Verb, project: Path) -> None:
    (project / "loop.py").write_text(LIVELY.replace('rows.drop("at")', 'rows.select("windy")'))
    with Up(project) as loop:
        told = loop.decision("notify")
        assert "features() raised ColumnNotFoundError" in told
        assert "Traceback" not in told
        (run,) = homeostat("runs", "--json").json
        assert run["status"] == "failed"
        assert "features() raised" in homeostat("status").out
        assert "features() raised" in homeostat("why", run["run"]).out
        (project / "loop.py").write_text(LIVELY)
        asked = homeostat("retrain", "--reason", "mended")
        assert "takes effect when `homeostat up` is started again" in asked.out
        loop.decision("notify")
    works(homeostat)


def test_a_start_that_fails_leaves_nothing_behind(homeostat: Verb, project: Path) -> None:
    (project / "rides" / "february.csv").write_text("")
    for _ in range(2):
        refused(homeostat("up", "--port", "0"), "february.csv", "empty")
    status = homeostat("status", "--json").json
    assert (status["events"], status["in_charge"]) == (0, None)


def test_only_a_process_of_this_machine_is_known_to_be_dead() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    here, machine = socket.gethostname(), this_machine()
    while not is_dead(f"ann@{here} (process {ended.pid} of {machine}-0a1b2c3d)"):  # though nobody has fetched it yet
        pause(0.01)
    ended.wait()
    assert is_dead(f"ann@{here} (process {ended.pid} of {machine}-0a1b2c3d)")
    assert not is_dead(f"ann@{here} (process {os.getppid()} of {machine}-0a1b2c3d)")
    assert not is_dead(f"ann@elsewhere (process {ended.pid} of {machine}-0a1b2c3d)")
    assert not is_dead(f"ann@{here} (process {ended.pid} of 00000000-0a1b2c3d)"), "another start, or another container"
    assert not is_dead(f"ann@{here} (process {ended.pid})")
    assert not is_dead("somebody")
    assert not is_dead(this_process())


def test_no_two_processes_have_one_name() -> None:
    told = [sys.executable, "-c", "from homeostat.core.claims import this_process; print(this_process())"]
    names = {subprocess.run(told, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    names |= {this_process(), this_process()}
    assert len({name.rpartition("-")[2] for name in names}) == 3
    assert f"process {os.getpid()} of {this_machine()}" in this_process()


@pytest.mark.slow
def test_ctrl_c_ends_a_run_at_once_although_a_step_computes_on(homeostat: Verb, project: Path) -> None:
    slow = 'rows.drop("at") if (__import__("pathlib").Path("begun").touch(), __import__("time").sleep(60)) else rows'
    (project / "loop.py").write_text(LIVELY.replace('rows.drop("at")', slow))
    run = subprocess.Popen([sys.executable, "-m", "homeostat", "run"], cwd=project, text=True, stderr=subprocess.PIPE)
    while not (project / "begun").exists():
        pause(0.05)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=PATIENCE_SECONDS / 2)
    assert (run.returncode, said.count("interrupted")) == (130, 1)
    assert "Traceback" not in said
    assert [row["status"] for row in homeostat("runs", "--json").json] == ["interrupted"]
    (project / "loop.py").write_text(LIVELY)
    works(homeostat)
