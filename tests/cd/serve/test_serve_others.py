"""The processes beside a server: one per version and log, started again when they die, ended when they hang."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import httpx
import pytest

from homeostat.cd.log import LogReader, ShadowRecord
from homeostat.cd.serve.shadow import supervisor
from homeostat.cd.serve.shadow.follower import FollowerNotes
from homeostat.cd.serve.shadow.supervisor import ShadowProcess
from tests.cd.serving import LIVE_SERVER, LOOP, ServerProcess, bundle, divide, flights, promote, raw, register, until

ROWS = raw(flights(20, seed=9))
WAITS = [sys.executable, "-c", "import sys; sys.stdin.read()"]
TELLS_AND_DIES = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + '\\n'); sys.exit(3)"


@pytest.fixture
def said(caplog):
    """What the server tells whoever runs it."""
    logger = logging.getLogger("homeostat.serve")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def made(tmp_path):
    scorers = []

    def make(command):
        scorers.append(ShadowProcess(command, tmp_path, 2))
        return scorers[-1]

    yield make
    for one in scorers:
        one.leave()
        one.kill()


def test_of_several_servers_of_a_log_one_runs_the_process_and_the_next_takes_over(made):
    first, second = made(WAITS), made(WAITS)
    first.watch()
    second.watch()
    assert first.pid is not None
    assert second.pid is None
    first.leave()
    until(lambda: first.gone)
    first.kill()
    second.watch()
    assert second.pid is not None


def test_a_process_that_died_is_started_again_and_told_how_the_one_before_ended(made, tmp_path):
    said = tmp_path / "said"
    scorer = made([sys.executable, "-c", TELLS_AND_DIES, str(said)])
    scorer._pause = 0.0

    def twice():
        scorer.watch()
        return said.exists() and len(said.read_text().splitlines()) == 2

    until(twice)
    assert said.read_text().splitlines() == ["2", "2 exit code 3"]


def test_it_is_started_again_later_each_time(made, said):
    scorer = made([sys.executable, "-c", "raise SystemExit(1)"])
    pauses = []
    for _ in range(3):
        scorer._again = 0.0
        until(lambda: (scorer.watch(), scorer._process is None)[1])
        pauses.append(scorer._pause)
    assert pauses == [1.0, 2.0, 4.0]
    assert "scores for version 2 ended: exit code 1" in said.text


def test_a_process_that_makes_no_progress_is_ended_as_failed(made, tmp_path, monkeypatch, said):
    scorer = made(WAITS)
    scorer.watch()
    first = scorer.pid
    FollowerNotes(tmp_path, 2).begin()
    scorer.watch()
    assert scorer.pid == first
    monkeypatch.setattr(supervisor, "HUNG_SECONDS", 0.0)
    until(lambda: (scorer.watch(), scorer.pid != first)[1])
    assert "took longer than" in said.text
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_it_ends_with_its_server_and_what_it_had_not_done_is_done_by_the_next(store):
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    divide(store, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    folder = store.log_folder(LOOP)

    def scored():
        records = LogReader(folder).read().records
        return [one for record in records if isinstance(record, ShadowRecord) for one in record.ids]

    with ServerProcess(store, program=LIVE_SERVER) as server:
        httpx.post(f"{server.url}/predict", json=ROWS[:5])
        children = until(lambda: children_of(server.process.pid))
        httpx.post(f"{server.url}/predict", json=ROWS[5:10])
        server.kill()
        until(lambda: not any(map(alive, children)))
    with ServerProcess(store, program=LIVE_SERVER) as server:
        httpx.post(f"{server.url}/predict", json=ROWS[10:])
        until(lambda: len(scored()) >= 20)
        assert "homeostat_shadow_scored_total" in httpx.get(f"{server.url}/metrics").text
        assert server.stop() == 0
    assert sorted(scored()) == sorted(row["flight_id"] for row in ROWS)


def children_of(pid):
    """Processes that any thread of a process started."""
    found = [task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(one) for part in found for one in part]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
