"""D9: a shadow that crashes or takes five seconds changes neither the champion's answers nor how long they take.

Time is not measured: that no answer waits for the shadow is shown by their order. All of the champion's answers are
there before the shadow has finished its first call, whatever that call does. In a server it scores in a process of its
own, so that not even one that ends its process or is killed by the system is noticed by anybody but itself.
"""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from homeostat.cd.log import PredictionRecord, ShadowRecord
from homeostat.cd.serve.shadow import follower
from homeostat.cd.serve.shadow.follower import FollowerNotes
from tests.cd.serving import (
    DIES,
    EXITS,
    LIVE_SERVER,
    LOOP,
    MOODY,
    SLEEPS,
    Client,
    Deadly,
    Moody,
    ServerProcess,
    bundle,
    divide,
    flights,
    log_of,
    promote,
    raw,
    register,
    serving,
    until,
)

REQUESTS = [("POST", "/predict", {"records": [row], "id": f"r{n}"}) for n, row in enumerate(raw(flights(200, seed=9)))]


@pytest.fixture
def alone(store):
    """What the champion answers without a shadow."""
    promote(store, register(store, bundle()))
    with serving(store) as app:
        return [reply.content for reply in Client(app).ask(*REQUESTS)]


@pytest.fixture
def shadowed(store, alone):
    register(store, bundle(model=Moody()))
    divide(store, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    return store


def test_a_shadow_that_takes_five_seconds_delays_no_answer(shadowed, alone, monkeypatch):
    entered, finished, release = threading.Event(), threading.Event(), threading.Event()

    def slow():
        entered.set()
        release.wait(5)
        finished.set()

    with serving(shadowed, trusted=MOODY) as app:
        monkeypatch.setattr(Moody, "acts", staticmethod(slow))
        client = Client(app)
        assert client.ask(REQUESTS[0])[0].content == alone[0]
        assert entered.wait(30)
        with_shadow = [reply.content for reply in client.ask(*REQUESTS)]
        waited_for_it = finished.is_set()
        release.set()
    assert with_shadow == alone
    assert not waited_for_it


def test_a_shadow_that_crashes_changes_no_answer_and_its_failures_are_counted(shadowed, alone, monkeypatch):
    def crash():
        raise MemoryError("the shadow is out of memory")

    with serving(shadowed, trusted=MOODY) as app:
        monkeypatch.setattr(Moody, "acts", staticmethod(crash))
        client = Client(app)
        with_shadow = [reply.content for reply in client.ask(*REQUESTS)]
        ready = client.get("/v2/health/ready").status_code
    assert with_shadow == alone
    assert ready == 200
    assert app.model.shadows.stats[2].failed == len(REQUESTS)
    said = [record for record in log_of(shadowed) if isinstance(record, ShadowRecord)]
    assert all("out of memory" in record.error for record in said)


def test_a_shadow_that_cannot_keep_up_is_left_behind_in_bounded_memory(shadowed, alone, monkeypatch):
    entered, release = threading.Event(), threading.Event()

    def stuck():
        entered.set()
        release.wait(30)

    monkeypatch.setattr(follower, "QUEUE_ROWS", 50)
    with serving(shadowed, trusted=MOODY) as app:
        monkeypatch.setattr(Moody, "acts", staticmethod(stuck))
        client = Client(app)
        client.ask(REQUESTS[0])
        assert entered.wait(30)
        with_shadow = [reply.content for reply in client.ask(*REQUESTS)]
        release.set()
    assert with_shadow == alone
    dropped = app.model.shadows.stats[2].dropped
    assert dropped == len(REQUESTS) - 50
    noted = [
        name
        for record in log_of(shadowed)
        if isinstance(record, ShadowRecord) and record.error == "dropped"
        for name in record.ids
    ]
    assert len(noted) == dropped


def test_a_healthy_shadow_leaves_pairs_on_the_same_rows(shadowed, alone):
    with serving(shadowed, trusted=MOODY) as app:
        assert [reply.content for reply in Client(app).ask(*REQUESTS)] == alone
    records = log_of(shadowed)
    answered = {
        (record.request, row.id)
        for record in records
        if isinstance(record, PredictionRecord)
        for row in record.rows
        if record.awaits == (2,)
    }
    scored = {
        key
        for record in records
        if isinstance(record, ShadowRecord)
        for key in zip(record.requests, record.ids, strict=True)
    }
    assert scored == answered
    assert len(scored) == len(REQUESTS)


@pytest.fixture
def haunted(store):
    """A server whose shadow ends its process on rows of some distances, and sleeps five seconds on others."""
    promote(store, register(store, bundle()))
    register(store, bundle(model=Deadly()))
    return store


def asked(server, rows):
    bodies = [{"records": [row], "id": f"{place}"} for place, row in enumerate(rows)]
    replies = [httpx.post(f"{server.url}/predict", content=json.dumps(body)) for body in bodies]
    assert {reply.status_code for reply in replies} == {200}
    return [reply.content for reply in replies]


def shadow_of(store):
    note = FollowerNotes(store.log_folder(LOOP), 2).read()
    return note.stats if note is not None else None


@pytest.mark.slow
def test_a_shadow_whose_process_dies_on_every_row_changes_no_answer_and_is_started_again(haunted):
    deadly = [{**row, "distance": (DIES, EXITS)[place % 2]} for place, row in enumerate(raw(flights(20, seed=9)))]
    harmless = raw(flights(1, seed=7))
    with serving(haunted) as app:
        asks = [("POST", "/predict", {"records": [row], "id": f"{place}"}) for place, row in enumerate(deadly)]
        expected = [reply.content for reply in Client(app).ask(*asks)]
    divide(haunted, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    with ServerProcess(haunted, program=LIVE_SERVER) as server:
        pid = server.process.pid
        assert asked(server, deadly) == expected
        until(lambda: shadow_of(haunted).failed >= 20)
        asked(server, harmless)
        until(lambda: shadow_of(haunted).scored >= 1)
        assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
        assert server.process.pid == pid
        assert server.stop() == 0
    failed = [record.error for record in log_of(haunted) if isinstance(record, ShadowRecord) and record.error]
    assert {error.rpartition(" ")[2] for error in failed} <= {"SIGKILL", "3"}


@pytest.mark.slow
def test_a_shadow_that_sleeps_five_seconds_in_its_process_keeps_no_answer_waiting(haunted):
    slow = [{**row, "distance": SLEEPS} for row in raw(flights(20, seed=9))]
    divide(haunted, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    with ServerProcess(haunted, program=LIVE_SERVER) as server:
        asked(server, slow[:1])
        until(lambda: FollowerNotes(haunted.log_folder(LOOP), 2).at_hand() == {"0"})
        asked(server, slow)
        assert shadow_of(haunted).scored == 0
