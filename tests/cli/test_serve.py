"""`homeostat serve`: every promoted model of a store at one port, without the loop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from homeostat.core.events import Trigger, VersionRegistered
from tests.cd.serving import LOOP, NOON, bundle, flights, promote, raw, register, until

ROW = raw(flights(1, seed=9))[0]


def another(store, name):
    """A second model in the store, promoted."""
    event = VersionRegistered(
        loop=name,
        version=0,
        run="r",
        trigger=Trigger(key="t", kind="manual", reason="test"),
        manifest=bundle(seed=3).save(store.artifacts),
        parent=None,
        train_metrics={},
        test_metrics={},
        gates=(),
        how="refit",
        trained_rows=400,
        trainable=400,
        window_start=None,
        window_end=None,
    )
    store.ledger.register(event, time=NOON)
    store.ledger.promote(name, 1, expected_epoch=0, who="test", reason="test", time=NOON)


def start(store, *words):
    command = [sys.executable, "-m", "homeostat", "serve", "--store", str(store.path), "--port", "0", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOMEOSTAT_LOG": "json"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def url_of(server):
    for line in server.stderr:
        told = json.loads(line)
        if told["message"] == "serving":
            return told["url"]
    raise AssertionError("it ended before it served")


def test_several_models_are_served_at_one_port(store):
    promote(store, register(store, bundle()))
    another(store, "other")
    server = start(store)
    try:
        url = url_of(server)
        for name in (LOOP, "other"):
            assert httpx.post(f"{url}/predict/{name}", json=ROW).json()["model"] == name
            assert httpx.get(f"{url}/v2/models/{name}/ready").json() == {"name": name, "ready": True}
        assert httpx.post(f"{url}/predict", json=ROW).json()["model"] == LOOP
        text = httpx.get(f"{url}/metrics").text
        for name, rows in ((LOOP, 2.0), ("other", 1.0)):
            assert f'homeostat_predictions_total{{model="{name}",version="1"}} {rows}' in text
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        server.stderr.close()
    assert len(list(store.log_folder("other").glob("*.seg"))) == 1
    assert not list(store.path.glob("serve-*.json"))


def test_workers_are_the_servers_children_and_end_with_it(store):
    promote(store, register(store, bundle()))
    server = start(store, LOOP, "--workers", "2", "--drain-seconds", "0")
    try:
        url = url_of(server)
        assert httpx.post(f"{url}/predict", json=ROW).status_code == 200
        until(lambda: "homeostat_workers 2.0" in httpx.get(f"{url}/metrics").text)
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        server.stderr.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


@pytest.mark.parametrize(("names", "said"), [(["nowhere"], "no model nowhere"), ([], "no model of this store")])
def test_what_cannot_be_served_is_one_clear_error(store, names, said):
    register(store, bundle())
    server = start(store, *names)
    _, error = server.communicate(timeout=60)
    assert server.returncode == 2
    assert said in error
    assert error.startswith("error: ")
    assert "hint: " in error
