"""Health that exercises the model: one that never returns, a dead scoring thread, a stuck loop is seen and named."""

from __future__ import annotations

import asyncio
import json
import textwrap
import threading
import time

import httpx
import pytest

from homeostat.cd.serve.operate.health import HealthTarget, Liveness
from homeostat.cd.serve.settings import OperatingSettings
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

pytestmark = pytest.mark.slow

ROW = json.dumps(raw(flights(1, seed=9))[0])

# The model, or the whole event loop, hangs once the test has said so by a file.
HANGING = textwrap.dedent("""
    import sys, threading, time
    from pathlib import Path
    from homeostat.cd.serve import serve
    from homeostat.cd.serve.protocols import repository
    from tests.cd.serving import MOODY, Moody

    def hang():
        while Path(sys.argv[1], "hang").exists():
            time.sleep(0.01)

    Moody.acts = staticmethod(hang)
    described = repository.metadata
    repository.metadata = lambda *all: (hang(), described(*all))[1]
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
    assert time.monotonic() - begin < 4
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
    with serving(store, trusted=MOODY, operating=OperatingSettings(hang_seconds=5)) as app:
        yield Rig(app)
    Moody.acts = staticmethod(lambda: None)


def test_probes_are_neither_logged_nor_counted_and_rare(store, rig):
    calls = []
    Moody.acts = staticmethod(lambda: calls.append(1))
    asyncio.run(rig.turn(10))
    assert len(calls) == 1, "at most twice a second, however often somebody looks"
    assert sum(rig.app.model.counts.rows.values()) == 0
    assert log_of(store) == []
    assert 'homeostat_log_records_total{model="flights"} 0.0' in Client(rig.app).get("/metrics").text


def test_a_scoring_thread_that_died_is_noticed(rig):
    asyncio.run(rig.turn())
    assert rig.app.ready
    for batcher in rig.app.model.dispatcher.batchers(rig.app.model.table().champion):
        batcher._pool.shutdown()
    rig.liveness._pulses.clear()
    asyncio.run(rig.turn())
    assert not rig.app.ready
    assert "cannot schedule new futures" in rig.app.operations.problems()[0]
    assert rig.liveness.hung() == []


def test_a_model_that_raises_on_its_golden_row_is_unready_until_it_answers_again(rig):
    def fails():
        raise ModelError("no accelerator")

    Moody.acts = staticmethod(fails)
    asyncio.run(rig.turn())
    body = Client(rig.app).get("/health").json()
    assert (body["live"], body["ready"]) == (True, False)
    assert "no accelerator" in body["problems"][0]


class Paced:
    """A model of the law of liveness, on a clock of the test: it answers when the test says so."""

    def __init__(self, hang_seconds=15.0, seconds=0.0):
        self.answered = self.calls = 0
        self.waits, self.in_hand, self.seconds = False, 0.0, seconds
        self.asked, self.now = [], 100.0
        self.models = [self]
        self.liveness = Liveness(lambda: [one.target() for one in self.models], hang_seconds=hang_seconds)

    def target(self):
        return HealthTarget("m", 1, self.seconds, self.answered, self.calls, self.waits, self.in_hand, self._probe)

    def _probe(self, told):
        self.asked.append(told)
        self.waits = True

    def comes_back(self, error=None):
        for told in self.asked:
            told(error)
        self.asked.clear()
        self.waits = False
        self.calls += 1

    def passes(self, seconds, step=0.2):
        for _ in range(round(seconds / step)):
            self.now += step
            self.liveness.beat(self.now)

    @property
    def problems(self):
        return self.liveness.problems()


def test_a_model_that_answers_nothing_is_noticed_within_two_seconds_also_without_traffic():
    model = Paced()
    model.passes(0.6)
    model.comes_back()
    model.passes(2.0)
    assert "model 'm' version 1 has answered nothing" in model.problems[0]
    assert len(model.asked) == 1, "no second row is sent after one that did not come back"
    assert model.liveness.hung() == []
    model.passes(15.0)
    assert model.liveness.hung()
    model.comes_back()
    assert (model.problems, model.liveness.hung()) == ([], [])


def test_rows_of_traffic_that_are_not_answered_are_noticed_within_two_seconds():
    model = Paced()
    model.passes(0.2)
    model.comes_back()
    model.answered += 1
    model.passes(0.2)
    model.waits = True
    model.passes(1.4)
    assert model.problems


@pytest.mark.parametrize("ended", ["answered", "failed"])
def test_a_model_whose_calls_come_to_an_end_is_never_taken_for_stuck(ended):
    model = Paced()
    model.passes(0.2)
    model.waits = True
    for _ in range(60):
        model.passes(0.8)
        assert model.problems == []
        model.answered += ended == "answered"
        model.calls += 1


def test_a_call_that_is_known_to_take_long_is_waited_for():
    model = Paced()
    model.passes(0.2)
    model.waits, model.in_hand = True, 10.0
    model.passes(20.0)
    assert model.problems == []
    slow = Paced(seconds=10.0)
    slow.passes(20.0)
    assert slow.problems == []
    model.passes(40.0)
    assert model.problems, "but not for ever"


def test_time_in_which_the_process_stood_still_is_not_counted():
    model = Paced()
    model.passes(0.2)
    model.waits = True
    model.passes(60.0, step=60.0)
    assert model.problems == []


def test_a_model_that_fails_answers_and_is_dead_when_it_goes_on_failing():
    model = Paced()
    for _ in range(20):
        model.passes(0.6)
        model.comes_back(ModelError("no accelerator"))
    assert model.problems == []
    assert "no accelerator" in model.liveness.failures()[0]
    for _ in range(20):
        model.passes(0.6)
        model.comes_back(ModelError("no accelerator"))
    assert "no accelerator" in model.liveness.hung()[0]


def test_a_version_that_went_takes_its_problems_along():
    model = Paced()
    model.passes(3.0)
    assert model.problems
    model.models.clear()
    model.passes(0.2)
    assert not model.problems


def test_an_event_loop_that_does_not_turn_is_noticed_within_two_seconds_unless_nothing_did():
    liveness = Liveness(list)
    liveness.beat(0.0)
    for look in range(9):
        liveness.watch(0.2 * look)
    assert "the event loop has not turned" in liveness.problems()[0]
    liveness.beat(2.0)
    liveness.watch(2.0)
    liveness.watch(60.0)
    assert liveness.problems() == []
