"""Health that exercises the model: one that never returns, a dead scoring thread, a stuck loop is seen and named."""

from __future__ import annotations

import asyncio
import json
import textwrap
import threading
import time

import httpx
import pytest

from homeostat.cd.serve.knobs import Knobs
from homeostat.cd.serve.liveness import Liveness, Target
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ModelError
from tests.cd.serving import (
    LOOP,
    MOODY,
    Client,
    Moody,
    ServerProcess,
    bundle,
    flights,
    log_of,
    promote,
    raw,
    register,
    serving,
)

ROW = json.dumps(raw(flights(1, seed=9))[0])

# The model, or the whole event loop, hangs once the test has said so by a file.
HANGING = textwrap.dedent("""
    import sys, threading, time
    from pathlib import Path
    from homeostat.cd.serve import openinference, serve
    from tests.cd.serving import MOODY, Moody

    def hang():
        while Path(sys.argv[1], "hang").exists():
            time.sleep(0.01)

    Moody.acts = staticmethod(hang)
    described = openinference.metadata
    openinference.metadata = lambda *all: (hang(), described(*all))[1]
    serve(sys.argv[1], sys.argv[2], port=int(sys.argv[3]), host=sys.argv[4], trusted=MOODY)
""")


@pytest.fixture
def hanging(store):
    """A server whose model, and whose page about the model, hang while the file `hang` is there."""
    promote(store, register(store, bundle(model=Moody())))
    server = ServerProcess(store, env={"HOMEOSTAT_HANG_SECONDS": "0.6"})
    server.program = HANGING
    server.hang = store.path / "hang"
    with server:
        yield server


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def live(server):
    return httpx.get(f"{server.url}/v2/health/live", timeout=5)


def test_a_model_that_never_returns_is_named_within_a_bounded_time(hanging):
    assert live(hanging).json() == {"live": True}
    hanging.hang.touch()
    begin = time.monotonic()
    reply = until(lambda: (found := live(hanging)).status_code == 503 and found)
    assert time.monotonic() - begin < 5
    body = reply.json()
    assert body["live"] is False
    assert "model 'flights' version 1 has answered nothing for" in body["problems"][0]
    ready = httpx.get(f"{hanging.url}/v2/health/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    hanging.hang.unlink()
    until(lambda: live(hanging).status_code == 200)
    until(lambda: httpx.get(f"{hanging.url}/v2/health/ready").json() == {"ready": True})


def test_a_stuck_event_loop_is_answered_for_by_the_thread_that_watches_it(hanging):
    hanging.hang.touch()
    threading.Thread(target=answered, args=[hanging, "GET", f"/v2/models/{LOOP}"], daemon=True).start()
    reply = until(lambda: (found := answered(hanging, "GET", "/v2/health/live")) and "error" in found.json() and found)
    assert (reply.status_code, reply.json()["live"]) == (503, False)
    assert "the event loop has not turned for" in reply.json()["error"]
    asked = until(lambda: answered(hanging, "POST", "/predict"))
    assert (asked.status_code, asked.headers["retry-after"]) == (503, "5")
    hanging.hang.unlink()
    until(lambda: live(hanging).status_code == 200)


def answered(server, method, path):
    try:
        return httpx.request(method, f"{server.url}{path}", content=ROW if method == "POST" else None, timeout=1)
    except httpx.HTTPError:
        return None


def test_a_server_whose_model_hangs_still_ends_when_it_is_told_to(hanging):
    hanging.hang.touch()
    until(lambda: live(hanging).status_code == 503)
    assert hanging.stop() == 0


class Rig:
    """An application whose event loop turns only when the test says so, on a clock of the test."""

    def __init__(self, app):
        self.app = app
        self.liveness = app.operations.liveness

    async def turn(self, times=1):
        for _ in range(times):
            self.liveness.beat()
            await asyncio.sleep(0.05)


@pytest.fixture
def rig(store):
    promote(store, register(store, bundle(model=Moody())))
    with serving(store, trusted=MOODY, knobs=Knobs(hang_seconds=5)) as app:
        yield Rig(app)
    Moody.acts = staticmethod(lambda: None)


def test_probes_are_neither_logged_nor_counted_and_rare(store, rig):
    calls = []
    Moody.acts = staticmethod(lambda: calls.append(1))
    asyncio.run(rig.turn(10))
    assert len(calls) == 1, "at most once a second, however often somebody looks"
    assert sum(rig.app.hosted.counts.rows.values()) == 0
    assert log_of(store) == []
    assert 'homeostat_log_records_total{model="flights"} 0.0' in Client(rig.app).get("/metrics").text


def test_a_scoring_thread_that_died_is_noticed(rig):
    asyncio.run(rig.turn())
    assert rig.app.ready
    for batcher in rig.app.hosted.table().champion._batchers.values():
        batcher._pool.shutdown()
    rig.liveness._pulses.clear()
    asyncio.run(rig.turn())
    assert about_models(rig.liveness) == []
    (problem,) = about_models(rig.liveness, stopwatch() + 6)
    assert "model 'flights' version 1 has answered nothing for" in problem


def about_models(liveness, now=None):
    return [problem for problem in liveness.problems(now) if problem.startswith("model")]


def test_a_model_that_raises_on_its_golden_row_is_unready_until_it_answers_again(rig):
    def fails():
        raise ModelError("no accelerator")

    Moody.acts = staticmethod(fails)
    asyncio.run(rig.turn())
    body = Client(rig.app).get("/health").json()
    assert (body["live"], body["ready"]) == (True, False)
    assert "no accelerator" in body["problems"][0]


class Paced:
    """A model of the law of liveness: it answers when the test says so."""

    def __init__(self):
        self.answered, self.waiting = 0, []

    def target(self):
        return Target("m", 1, 0.0, self.answered, self.waiting.append)


def test_a_slow_model_that_answers_traffic_is_alive():
    model = Paced()
    liveness = Liveness(lambda: [model.target()], hang_seconds=1e-3)
    liveness.beat()
    time.sleep(0.01)
    model.answered += 1
    liveness.beat()
    assert about_models(liveness) == []
    time.sleep(0.01)
    assert "version 1 has answered nothing" in about_models(liveness)[0]
    assert len(model.waiting) == 1, "no second row is sent after one that did not come back"
    model.waiting[0](None)
    assert about_models(liveness) == []


def test_a_version_that_went_takes_its_problems_along():
    models = [Paced()]
    liveness = Liveness(lambda: [one.target() for one in models], hang_seconds=1e-6)
    liveness.beat()
    time.sleep(0.01)
    assert about_models(liveness)
    models.clear()
    liveness.beat()
    assert not about_models(liveness)
