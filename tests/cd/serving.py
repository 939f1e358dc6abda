"""A store with trained versions in it, and the real server asked through ASGI or in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from functools import cache

import httpx
import numpy as np
import polars as pl
from sklearn.linear_model import LinearRegression, LogisticRegression

from homeostat.cd.log import LogReader
from homeostat.cd.serve import Settings, application, endpoint_file, read_endpoint
from homeostat.cd.serve.app import Around
from homeostat.cd.serve.protocols import PROTOCOLS
from homeostat.cd.serve.settings import OperatingSettings
from homeostat.ci.train import train
from homeostat.core.clock import VirtualClock
from homeostat.core.events import Arm, ArmsSet, Trigger, VersionRegistered
from homeostat.core.schema import infer_schema
from homeostat.core.table.spec import table_spec

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
LOOP = "flights"
SPEC = table_spec("scheduled", "flight_id", target="late", label_time="landed")


def flights(n=400, seed=0, **columns):
    """Flights whose lateness depends on carrier, wind and distance."""
    draw = np.random.default_rng(seed)
    carrier = draw.choice(["UA", "AA", "B6"], n)
    wind = draw.normal(10, 4, n)
    distance = draw.integers(100, 3000, n)
    chance = 1 / (1 + np.exp(-(0.4 * (wind - 10) + (carrier == "B6") - distance / 2000)))
    scheduled = [NOON + timedelta(minutes=minute) for minute in range(n)]
    frame = pl.DataFrame(
        {
            "flight_id": [f"f{seed}-{row}" for row in range(n)],
            "scheduled": scheduled,
            "carrier": carrier,
            "distance": distance,
            "wind": [None if row % 50 == 49 else value for row, value in enumerate(wind.tolist())],
            "late": draw.random(n) < chance,
            "landed": [moment + timedelta(hours=2) for moment in scheduled],
        },
        schema_overrides={"scheduled": pl.Datetime("us", "UTC"), "landed": pl.Datetime("us", "UTC")},
    )
    return frame.with_columns(**columns)


def raw(frame):
    """Rows as a caller sends them: JSON objects of the input columns."""
    rows = frame.drop("late", "landed").to_dicts()
    return [{**row, "scheduled": row["scheduled"].isoformat()} for row in rows]


def as_tensors(rows):
    kinds = {"flight_id": "BYTES", "scheduled": "BYTES", "carrier": "BYTES", "distance": "INT64", "wind": "FP64"}
    return [
        {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[name] for row in rows]}
        for name, kind in kinds.items()
    ]


def bundle(rows=None, *, model=None, features=None, seed=0, spec=SPEC):
    """A trained bundle; the plain ones are trained once for all tests."""
    if rows is None and model is None and features is None and spec is SPEC:
        return plain(seed)
    return fresh(flights(seed=seed) if rows is None else rows, model, features, seed, spec)


@cache
def plain(seed):
    return fresh(flights(seed=seed), None, None, seed, SPEC)


def fresh(rows, model, features, seed, spec):
    schema = infer_schema(rows, spec)
    model = LogisticRegression(C=0.1 + seed) if model is None else model
    return train(rows, rows[-100:], schema=schema, now=NOON, loop=LOOP, model=model, features=features)


def linear():
    return LinearRegression()


class Moody(LogisticRegression):
    """An estimator that does something before it answers: waits, or raises. It is stored by skops, not as ONNX."""

    acts = staticmethod(lambda: None)

    def predict_proba(self, X):
        type(self).acts()
        return super().predict_proba(X)


MOODY = ("tests.cd.serving.Moody",)


class Deadly(LogisticRegression):
    """An estimator that ends its process on rows that are far off, or keeps it waiting for five seconds."""

    def predict_proba(self, X):
        far = float(np.abs(np.asarray(X)).max())
        if far > 1e6:
            os.kill(os.getpid(), signal.SIGKILL)
        elif far > 1e4:
            os._exit(3)
        elif far > 1e2:
            time.sleep(5)
        return super().predict_proba(X)


SLEEPS, EXITS, DIES = 10**6, 10**8, 10**10
"""Distances on which `Deadly` does so."""


def register(store, made, *, key=None):
    """Put a bundle in the registry; gives its version."""
    manifest = made.save(store.artifacts)
    number = len(store.ledger.versions(LOOP)) + 1
    event = VersionRegistered(
        loop=LOOP,
        version=0,
        run=f"run{number}",
        trigger=Trigger(key=key or f"t{number}", kind="manual", reason="test"),
        manifest=manifest,
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
    recorded, _ = store.ledger.register(event, time=NOON)
    return recorded.event.version


def promote(store, version):
    now = store.ledger.champion(LOOP)
    epoch = now.epoch if now else 0
    store.ledger.promote(LOOP, version, expected_epoch=epoch, who="test", reason="test", time=NOON)
    divide(store, {version: ("champion", 1.0)})


def divide(store, shares, salt="s"):
    """Divide traffic: version to (role, share)."""
    arms = tuple(Arm(version=version, role=role, share=share) for version, (role, share) in shares.items())
    store.ledger.append(ArmsSet(loop=LOOP, arms=arms, salt=salt, reason="test"), time=NOON)


class Client:
    """Asks an application in this process, without a socket; at a port, if one is given."""

    def __init__(self, app, port=None):
        self.app, self.url = app, "http://127.0.0.1" + (f":{port}" if port else "")

    def ask(self, *calls):
        """Several calls (method, path, body, headers) at the same time, on one event loop."""

        async def all_of_them():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=self.url) as client:
                return await asyncio.gather(*(self._one(client, *call) for call in calls))

        return asyncio.run(all_of_them())

    async def _one(self, client, method, path, body=None, headers=None):
        content = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        return await client.request(method, path, content=content, headers=headers)

    def post(self, path, body, headers=None):
        return self.ask(("POST", path, body, headers))[0]

    def get(self, path, headers=None):
        return self.ask(("GET", path, None, headers))[0]

    def predict(self, rows, **more):
        response = self.post("/predict", {"records": rows, **more})
        assert response.status_code == 200, response.text
        return response.json()["predictions"]


def serving(store, features=None, *, trusted=(), operating=None, tracing=None, protocols=PROTOCOLS, **settings):
    """The application of a store: `with serving(store) as app`."""
    told = Settings(name=LOOP, **settings)
    around = Around(operating=operating or OperatingSettings(), tracing=tracing)
    return application(store, told, features, VirtualClock(NOON), trusted=trusted, around=around, protocols=protocols)


def log_of(store):
    return LogReader(store.log_folder(LOOP)).read().records


def until(done, seconds=120):
    """Wait for something to come to pass."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.002)
    return found


SERVER = textwrap.dedent("""
    import sys
    from homeostat.cd.serve import serve
    serve(sys.argv[1], sys.argv[2], port=int(sys.argv[3]), host=sys.argv[4], header_clock=True)
""")
LIVE_SERVER = SERVER.replace("header_clock=True", "trusted=['tests.cd.serving.Deadly']").replace(
    "import serve", "import serve; from homeostat.cd.serve.shadow import supervisor; supervisor.SCHEDULING = None"
)
"""Its shadows score in processes of their own, which do not step back behind other tests."""


class ServerProcess:
    """The server in a process of its own: `with ServerProcess(store) as server`."""

    def __init__(self, store, *, host="127.0.0.1", port=0, env=None, program=SERVER, errors=None):
        self.store, self.host, self.port, self.env = store, host, port, env or {}
        self.program, self.errors = program, errors

    def start(self):
        endpoint_file(self.store.path, LOOP).unlink(missing_ok=True)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **self.env}
        command = [sys.executable, "-c", self.program, str(self.store.path), LOOP, str(self.port), self.host]
        self.process = subprocess.Popen(command, env=environment, stderr=self.errors)
        deadline = time.monotonic() + 60
        while (endpoint := read_endpoint(self.store.path, LOOP)) is None:
            assert self.process.poll() is None, "the server ended at its start"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        self.url = endpoint.url
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
