"""Whatever raises between access and the reply fails the requests in hand, holds nothing, and stops nobody."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from homeostat.cd.log import LogReader, PredictionRecord
from homeostat.cd.serve import fast_path, model
from homeostat.cd.serve.http import replies
from homeostat.cd.serve.protocols import records
from homeostat.cd.serve.scoring import batcher, dispatch
from homeostat.cd.serve.scoring.version import LoadedVersion
from homeostat.core.errors import ModelError
from tests.cd.faulty import Faults, LibraryPanicError
from tests.cd.serve.test_serve_wire import Caller, listening
from tests.cd.serving import LOOP, MOODY, Client, Moody, bundle, divide, flights, promote, raw, register, serving, until

ROWS = raw(flights(3, seed=9))
BODIES = [json.dumps({"records": [row], "id": f"r{place}"}).encode() for place, row in enumerate(ROWS)]


def request(body, path="/predict"):
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.fixture
def faults(monkeypatch):
    return Faults(monkeypatch)


def guard(faults, app, table):
    """Make every step of the data plane one at which an exception may be injected."""
    one = app.model
    faults.at(one, "now", "table")
    faults.at(dispatch, "new_id")
    faults.at(records, "encode")
    faults.at(model, "failure")
    faults.at(batcher, "stopwatch")
    faults.at(replies, "encode_any")
    faults.at(fast_path, "_head_of")
    faults.at(fast_path.compression, "compressed")
    faults.at(one.log, "append", "_encode")
    faults.at(one.log, "append_all", after=False)
    faults.at(one.dispatcher, "_submit", "_take_in", "_failed", "_time")
    faults.at(app.operations.metrics, "count")
    faults.at(app.operations.requests, "wants", "tell")
    faults.at(table.champion.decoder, "body", "keys")
    for served in table.served.values():
        faults.at(served, "score_parts", "_call")


def ask(port, path="/predict"):
    """The three requests at once; gives the statuses, or None for a line that was closed, and the bodies."""

    def one(body):
        with Caller(port) as caller:
            caller.send(request(body, path))
            try:
                status, _, said = caller.reply()
            except (IndexError, ConnectionError):
                return None, {}
            return status, json.loads(said)

    with ThreadPoolExecutor(len(BODIES)) as pool:
        return list(pool.map(one, BODIES))


def held(app):
    """What requests hold while they are on their way."""
    return [
        (one._rows, one._called, len(one._waiting), one._running)
        for served in app.model.table().served.values()
        for one in app.model.dispatcher.batchers(served)
    ]


ALL_OF_A_CALL = {"score_parts", "stopwatch"}
"""What is done once for all requests of a call; everything else is done for each, and fails it alone."""


def check_faults(store, faults, port, app):
    reader = LogReader(store.log_folder(LOOP))
    seen = set()
    for place, passage, kind in faults.everywhere():
        position = reader.read().position
        with faults.armed(place, passage, kind):
            said = ask(port)
        after = ask(port)
        where = (place, passage, kind, faults.hit)
        seen |= {place} if faults.hit else set()
        assert [status for status, _ in after] == [200, 200, 200], where
        assert {status for status, _ in said} <= {200, 500, None}, where
        assert place.split()[1] in ALL_OF_A_CALL or sum(status != 200 for status, _ in said) <= 1, where
        until(lambda: not any(map(any, held(app))), seconds=5)
        found = reader.read(position)
        logged = [record.request for record in found.records if isinstance(record, PredictionRecord)]
        answered = [body["request"] for status, body in said + after if status == 200]
        assert found.damaged == 0, where
        assert sorted(logged[-3:]) == ["r0", "r1", "r2"], where
        assert not [name for name in answered if answered.count(name) > logged.count(name)], where
        assert all(body["request"] for status, body in said if status == 500), where
    return seen


@pytest.mark.parametrize("how", ["on the loop", "in a thread", "among two arms"])
def test_an_exception_at_any_step_fails_its_requests_and_no_others(store, faults, how):
    model = Moody() if how == "in a thread" else None
    promote(store, register(store, bundle(model=model)))
    if how == "among two arms":
        divide(store, {1: ("champion", 0.5), register(store, bundle(seed=1)): ("canary", 0.5)})
    with serving(store, trusted=MOODY) as app, listening(app) as port:
        assert [status for status, _ in ask(port)] == [200, 200, 200]
        guard(faults, app, app.model.table())
        seen = check_faults(store, faults, port, app)
    expected = {"before _encode", "after _encode", "before encode", "before _call", "after count", "before _head_of"}
    assert expected <= seen


def exits():
    raise SystemExit(1)


def recurses():
    recurses()


def panics():
    raise LibraryPanicError("a panic")


def runs_out():
    raise MemoryError


MISDEEDS = {"exits": exits, "recurses": recurses, "panics": panics, "runs out of memory": runs_out}


@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_a_model_that_misbehaves_fails_the_request_and_is_asked_again(store, monkeypatch, misdeed, caplog):
    promote(store, register(store, bundle(model=Moody())))
    with serving(store, trusted=MOODY) as app:
        client = Client(app)
        monkeypatch.setattr(Moody, "acts", staticmethod(MISDEEDS[misdeed]))
        with caplog.at_level(logging.ERROR, logger="homeostat"):
            failed = client.post("/predict", {"records": ROWS[:1], "id": "r7"})
        monkeypatch.setattr(Moody, "acts", staticmethod(lambda: None))
        assert client.post("/predict", ROWS[0]).status_code == 200
    assert (failed.status_code, failed.json()["request"]) == (500, "r7")
    (told,) = [record for record in caplog.records if record.getMessage() == "request failed"]
    assert told.facts["request"] == "r7"
    assert MISDEEDS[misdeed].__name__ in told.facts["traceback"]


def test_a_failure_without_an_id_is_given_one(store, monkeypatch, caplog):
    promote(store, register(store, bundle()))
    with serving(store) as app:
        monkeypatch.setattr(app.model, "now", lambda _: 1 / 0)
        with caplog.at_level(logging.ERROR, logger="homeostat"):
            failed = Client(app).post("/predict", ROWS[0])
    assert failed.status_code == 500
    assert caplog.records[0].facts["request"] == failed.json()["request"] != ""


def test_an_error_that_cannot_be_encoded_is_told_all_the_same(store, monkeypatch):
    promote(store, register(store, bundle()))

    def fails(_):
        raise ModelError("no \ud83d here")

    with serving(store) as app:
        monkeypatch.setattr(app.model, "now", fails)
        failed = Client(app).post("/predict", ROWS[0])
    assert (failed.status_code, failed.json()["error"]) == (500, r"no \ud83d here")


def test_an_interrupt_keeps_its_meaning(store, monkeypatch):
    promote(store, register(store, bundle(model=Moody())))
    served = LoadedVersion(1, bundle(model=Moody()).model(trusted=MOODY))

    def interrupts():
        raise KeyboardInterrupt

    monkeypatch.setattr(Moody, "acts", staticmethod(interrupts))
    with pytest.raises(KeyboardInterrupt):
        served.score(served.decoder.rows(ROWS))


def test_a_version_whose_requests_failed_gives_its_memory_back_when_it_is_replaced(store, monkeypatch):
    promote(store, register(store, bundle(model=Moody())))
    others = [register(store, bundle(seed=seed)) for seed in (1, 2)]
    monkeypatch.setattr(logging.getLogger("homeostat"), "propagate", False)  # pytest keeps what is told
    gc.disable()
    try:
        with serving(store, trusted=MOODY) as app:
            client, model = Client(app), weakref.ref(app.model.table().champion.model)
            for misdeed in (panics, runs_out, exits):
                monkeypatch.setattr(Moody, "acts", staticmethod(misdeed))
                assert client.post("/predict", ROWS[0]).status_code == 500
            for version in others:
                promote(store, version)
                app.model.router.poll()
            assert model() is None
    finally:
        gc.enable()
