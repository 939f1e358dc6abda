"""The server process: where it is found, who may ask it, and how it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import httpx
import pytest

from homeostat.cd.log import PredictionRecord
from homeostat.cd.log.segments import is_sealed, segments
from homeostat.cd.serve import endpoint_file, read_endpoint, serve
from homeostat.cd.serve.http.visitors import is_loopback
from homeostat.core.errors import RefusedError
from tests.cd.serving import (
    LOOP,
    SERVER,
    Client,
    ServerProcess,
    bundle,
    flights,
    log_of,
    promote,
    raw,
    register,
    serving,
)

ROW = raw(flights(1, seed=9))[0]
TOKEN = {"authorization": "Bearer secret"}


@pytest.fixture
def served(store):
    promote(store, register(store, bundle()))
    return store


def test_it_says_where_it_is_answers_and_leaves_nothing_behind(served):
    with ServerProcess(served) as server:
        assert read_endpoint(served.path, LOOP).pid == server.process.pid
        assert httpx.post(f"{server.url}/predict", json=ROW).status_code == 200
        assert server.stop() == 0
    assert not endpoint_file(served.path, LOOP).exists()
    assert all(is_sealed(path) for path in segments(served.log_folder(LOOP)))
    assert len(log_of(served)) == 1


def test_time_can_come_from_the_request(served):
    with ServerProcess(served) as server:
        httpx.post(f"{server.url}/predict", json=ROW, headers={"homeostat-time": "2013-07-04T12:00:00Z"})
        bad = httpx.post(f"{server.url}/predict", json=ROW, headers={"homeostat-time": "noon"})
    assert [record.time for record in log_of(served)] == [datetime(2013, 7, 4, 12, tzinfo=UTC)]
    assert bad.status_code == 400


def test_the_header_is_not_believed_unless_it_was_asked_for(served):
    with serving(served) as app:
        Client(app).post("/predict", ROW, {"homeostat-time": "2001-01-01T00:00:00Z"})
    assert log_of(served)[0].time.year == 2013


def test_a_port_that_is_taken_is_one_clear_error(served):
    with ServerProcess(served) as first:
        port = first.url.rpartition(":")[2]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", SERVER, str(served.path), LOOP, port, "127.0.0.1"]
        second = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert second.returncode != 0
    assert f"127.0.0.1:{port} cannot be had" in second.stderr


def test_outside_of_loopback_a_token_is_needed(served, monkeypatch):
    monkeypatch.delenv("HOMEOSTAT_TOKEN", raising=False)
    with pytest.raises(RefusedError, match="no token"):
        serve(served.path, LOOP, host="0.0.0.0")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_what_is_loopback(host, loopback):
    assert is_loopback(host) is loopback


def test_a_server_on_all_addresses_asks_for_its_token(served):
    with ServerProcess(served, host="0.0.0.0", env={"HOMEOSTAT_TOKEN": "secret"}) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/health").status_code == 401
        assert httpx.get(f"{url}/health", headers=TOKEN).status_code == 200


def every_route(app):
    model = f"/v2/models/{LOOP}"
    extra = [
        ("GET", model),
        ("GET", f"{model}/ready"),
        ("POST", f"{model}/infer"),
        ("GET", f"{model}/versions/1"),
        ("POST", f"{model}/versions/1/infer"),
        ("GET", f"{model}/versions/1/ready"),
        ("GET", "/nowhere"),
    ]
    return [*app.routes, *extra]


def test_every_route_needs_the_token(served):
    with serving(served, token="secret") as app:
        client = Client(app)
        for method, path in every_route(app):
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret"}):
                reply = client.ask((method, path, b"{}", headers))[0]
                assert reply.status_code == 401, (method, path)
                assert "token" in reply.json()["error"]
            assert client.ask((method, path, b"{}", TOKEN))[0].status_code != 401
    assert log_of(served) == []


def test_a_draining_server_is_alive_not_ready_and_says_that_each_answer_is_the_last(served):
    with serving(served) as app:
        client = Client(app)
        app.operations.draining = True
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").status_code == 503
        last = client.post("/predict", ROW)
        assert last.status_code == 200
        assert last.headers["connection"] == "close"


def test_metrics_count_what_happened(served):
    with serving(served) as app:
        client = Client(app)
        client.predict([ROW, ROW])
        client.post("/predict", {})
        client.post("/labels", {"id": "x", "label": True})
        text = client.get("/metrics").text
    for line in (
        'homeostat_requests_total{model="flights",route="/predict",status="200"} 1.0',
        'homeostat_requests_total{model="flights",route="/predict",status="400"} 1.0',
        'homeostat_predictions_total{model="flights",version="1"} 2.0',
        'homeostat_labels_total{model="flights"} 1.0',
        'homeostat_log_records_total{model="flights"} 2.0',
        "homeostat_ready 1.0",
        'homeostat_routing_epoch{model="flights"} 1.0',
        'homeostat_arm_share{model="flights",role="champion",version="1"} 1.0',
        'homeostat_request_seconds_count{model="flights",route="/predict"} 2.0',
    ):
        assert line in text, line


def test_a_log_that_refuses_means_no_answer(served):
    """What cannot be recorded is not answered: a full disk turns the server unready, and it says so."""
    program = SERVER.replace("import sys", "import resource, sys")
    program = program.replace("serve(sys", "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, -1)); serve(sys", 1)
    with ServerProcess(served) as server:
        pass
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(served.path), LOOP, "0", "127.0.0.1"]
    server.process = subprocess.Popen(command, env=environment)
    try:
        while (endpoint := read_endpoint(served.path, LOOP)) is None or endpoint.pid != server.process.pid:
            assert server.process.poll() is None
        replies = [httpx.post(f"{endpoint.url}/predict", json=[ROW] * 50) for _ in range(20)]
    finally:
        server.kill()
    answered = sum(reply.status_code == 200 for reply in replies)
    refused = [reply for reply in replies if reply.status_code == 503]
    assert answered > 0
    assert answered + len(refused) == 20
    assert "prediction log" in refused[0].json()["error"]
    assert len([record for record in log_of(served) if isinstance(record, PredictionRecord)]) == answered


def test_the_whole_answer(served):
    with serving(served) as app:
        reply = Client(app).post("/predict", {"records": [ROW], "id": "r"}).json()
    score = reply["predictions"][0].pop("score")
    value = reply["predictions"][0].pop("value")
    assert reply == {"request": "r", "model": LOOP, "predictions": [{"id": "f9-0", "version": 1}]}
    assert value is (score > 0.5)
