"""What workers at one port say together: all of them ready, one of them live, the one that is furthest behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from homeostat.cd.serve.operate.workers import STALE_SECONDS, WorkerState, routing, snapshot, together
from homeostat.cd.serve.routing import RoutingStatus
from homeostat.core.clock import stopwatch
from homeostat.core.events import Arm

ALONE = (Arm(version=1, role="champion", share=1.0),)


@pytest.fixture(scope="module")
def dead():
    """The number of a process that is over."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def in_effect(seq, wanted=9, error=None):
    return RoutingStatus(seq=seq, wanted=wanted, epoch=1, arms=ALONE, error=error, swaps=1, refusals=0)


def worker(place, *, pid=None, ago=0.0, live=True, ready=True, problems=(), seq=9, counts=None, error=None):
    return WorkerState(
        place=place,
        pid=os.getpid() if pid is None else pid,
        written=stopwatch() - ago,
        live=live,
        ready=ready,
        draining=False,
        problems=list(problems),
        hung=[],
        routing={"flights": in_effect(seq, error=error)},
        counts=counts or {},
    )


def test_one_worker_that_is_live_keeps_the_server_live_and_all_have_to_be_ready():
    good, bad = worker(0), worker(1, live=False, ready=False, problems=["its model hangs"])
    assert together([good, worker(1)]) == (True, True, [])
    assert together([good, bad]) == (True, False, ["worker 1: its model hangs"])
    assert together([worker(0), worker(1, ready=False)])[:2] == (True, False)
    assert together([bad])[:2] == (False, False)
    assert together([]) == (False, False, [])


def test_a_worker_that_says_nothing_is_stuck_whatever_it_said_last():
    silent = worker(1, ago=STALE_SECONDS + 1)
    assert together([silent]) == (False, False, ["worker 1 says nothing"])
    assert together([worker(0), silent]) == (True, False, ["worker 1 says nothing"])
    assert together([worker(0, ago=STALE_SECONDS - 2)])[:2] == (True, True)


def test_a_worker_that_died_is_not_waited_for(dead):
    assert together([worker(0), worker(1, pid=dead, live=False, ready=False, ago=99)]) == (True, True, [])


def test_a_division_is_in_effect_once_every_living_worker_has_it(dead):
    found = routing([worker(0, seq=9), worker(1, seq=7, error="it is refused"), worker(2, seq=3, pid=dead)], "flights")
    assert (found.seq, found.wanted, found.error) == (7, 9, "it is refused")
    assert routing([worker(0, seq=9), worker(1, seq=None)], "flights").seq is None
    assert routing([worker(0)], "trains") is None
    assert routing([worker(2, pid=dead)], "flights") is None


def counted(rows, ready):
    """What a worker counts, and a number that is only about now."""
    return {
        "homeostat_predictions": [(("flights", "1"), [float(rows)])],
        "homeostat_workers": [((), [float(ready)])],
    }


def test_what_a_dead_worker_counted_counts_on_and_what_was_true_of_it_does_not(dead):
    found = snapshot([worker(0, counts=counted(3, 1)), worker(1, pid=dead, counts=counted(5, 1))])
    assert found == counted(8, 1)
