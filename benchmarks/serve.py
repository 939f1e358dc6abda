"""Requests a second of the server, durable log on, beside a fixed answer of bare uvicorn and FastAPI + ONNX Runtime.

Run with `make bench-serve`; `python benchmarks/serve.py --peers PYTHON` names an environment with fastapi, uvicorn,
httptools, uvloop and onnxruntime. One core for the server, one for the load, 32 keep-alive connections. Quote ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from homeostat.cd.serve import read_endpoint
from homeostat.ci.train import train
from homeostat.core.events import Arm, ArmsSet, Trigger, VersionRegistered
from homeostat.core.schema import infer_schema
from homeostat.core.spec import table_spec
from homeostat.core.store import Store

HERE = Path(__file__).parent
NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
CONNECTIONS = 32
FIXED = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"application/json"), (b"content-length", b"15")]})
    await send({"type": "http.response.body", "body": b'{"score":0.125}'})
"""
FASTAPI = """
import sys
from typing import Optional
import numpy as np, onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, create_model
columns = {columns!r}
Row = create_model("Row", **{{name: (Optional[float] if kind == "number" else str, ...) for name, kind in columns}})
codes = {codes!r}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession({model!r}, options)
app = FastAPI()
@app.post("/predict")
async def predict(row: Row):
    values = row.model_dump()
    x = np.array([[lookup.get(values[name], np.nan) if lookup else values[name] for name, lookup in codes]], np.float32)
    label, score = session.run(None, {{"x": x}})
    return {{"predictions": [{{"value": bool(label[0]), "score": float(score[0][1])}}]}}
"""
OURS = """
import importlib.util, sys
from homeostat.cd.serve import serve
features = None
if sys.argv[2] == "features":
    spec = importlib.util.spec_from_file_location("bench_serve", {here!r})
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    features = module.features
serve(sys.argv[1], "bench", features)
"""


def features(rows: pl.DataFrame) -> pl.DataFrame:
    """Features as a user would write them: ratios, differences and a flag."""
    return rows.with_columns(
        (pl.col("x0") / (1 + pl.col("x1").abs())).alias("ratio"),
        (pl.col("x2") - pl.col("x3")).alias("difference"),
        (pl.col("carrier") == "UA").alias("united"),
        pl.col("at").dt.hour().alias("hour"),
    )


def rows(n: int) -> pl.DataFrame:
    """Eight numbers, a category, a key, a time and a label."""
    draw = np.random.default_rng(0)
    numbers = {f"x{place}": draw.normal(size=n) for place in range(8)}
    return pl.DataFrame(
        {
            "id": [f"r{row}" for row in range(n)],
            "at": [NOON + timedelta(minutes=row) for row in range(n)],
            "carrier": draw.choice(["UA", "AA", "B6", "DL"], n),
            **numbers,
            "late": numbers["x0"] + draw.normal(size=n) > 0,
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def build(folder: Path, made: Any) -> Store:
    """A store whose champion is this bundle."""
    store = Store.open(folder)
    trigger = Trigger(key="bench", kind="manual", reason="benchmark")
    empty: dict[str, Any] = {"parent": None, "train_metrics": {}, "test_metrics": {}, "gates": (), "how": "refit"}
    empty |= {"trained_rows": 0, "trainable": 0, "window_start": None, "window_end": None}
    event = VersionRegistered(
        loop="bench", version=0, run="bench", trigger=trigger, manifest=made.save(store.artifacts), **empty
    )
    store.ledger.register(event, time=NOON)
    store.ledger.promote("bench", 1, expected_epoch=0, who="bench", reason="benchmark", time=NOON)
    arms = (Arm(version=1, role="champion", share=1.0),)
    store.ledger.append(ArmsSet(loop="bench", arms=arms, salt="s", reason="benchmark"), time=NOON)
    return store


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server on the first core."""
    first = min(os.sched_getaffinity(0))
    started = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {first}))  # noqa: PLW1509
    try:
        yield started
    finally:
        started.terminate()
        started.wait()


@contextmanager
def ours(store: Store, mode: str) -> Iterator[str]:
    """Our server; gives its address."""
    program = OURS.format(here=str(Path(__file__).resolve()))
    with process([sys.executable, "-c", program, str(store.path), mode]) as started:
        while (endpoint := read_endpoint(store.path, "bench")) is None or endpoint.pid != started.pid:
            time.sleep(0.01)
        yield endpoint.url


@contextmanager
def uvicorn(python: str, source: str, folder: Path, name: str) -> Iterator[str]:
    """A plain ASGI application on uvicorn."""
    (folder / f"{name}.py").write_text(source)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [python, "-m", "uvicorn", "--app-dir", str(folder), "--port", str(port), "--no-access-log"]
    command += ["--http", "httptools", "--loop", "uvloop", "--log-level", "warning", f"{name}:app"]
    with process(command):
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                urllib.request.urlopen(url, b"{}")
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.02)
            else:
                break
        yield url


def measure(url: str, body: Any, seconds: float) -> dict[str, float]:
    """One load run on the last core."""
    last = max(os.sched_getaffinity(0))
    command = [sys.executable, str(HERE / "load.py"), url, str(seconds), str(CONNECTIONS)]
    done = subprocess.run(
        command,
        input=json.dumps(body).encode(),
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {last}),
    )
    found: dict[str, float] = json.loads(done.stdout)
    assert not found["errors"], f"{found['errors']:.0f} requests were not answered with 200"
    return found


def tensors(sent: list[dict[str, Any]]) -> dict[str, Any]:
    """The same rows in the Open Inference Protocol."""
    kinds = {"id": "BYTES", "at": "BYTES", "carrier": "BYTES"}
    made = [
        {"name": name, "shape": [len(sent)], "datatype": kinds.get(name, "FP64"), "data": [row[name] for row in sent]}
        for name in sent[0]
    ]
    return {"inputs": made}


def trained(frame: pl.DataFrame, given: Any) -> Any:
    """A small logistic regression, so that everything around the model is what is measured."""
    from sklearn.linear_model import LogisticRegression

    schema = infer_schema(frame, table_spec("at", "id", target="late"))
    settings: dict[str, Any] = {"schema": schema, "now": NOON, "loop": "bench", "features": given}
    return train(frame, frame[-200:], model=LogisticRegression(), **settings)


def fastapi(bundle: Any, folder: Path) -> str:
    """The same model behind FastAPI, as one would write it."""
    (folder / "model.onnx").write_bytes(bundle.data)
    codes = [
        (code.name, {value: place for place, value in enumerate(code.vocabulary)})
        for code in bundle.manifest.encoder.codes
    ]
    # Two more numbers stand for the hour and the weekday.
    usable = [*(one for one in codes if one[0] != "at"), ("x0", {}), ("x0", {})]
    columns = [(column.name, column.kind) for column in bundle.manifest.signature.inputs]
    return FASTAPI.format(columns=columns, codes=usable, model=str(folder / "model.onnx"))


def compare(folder: Path, peers: str | None, seconds: float) -> dict[str, dict[str, float]]:
    """Every contestant in turn."""
    frame = rows(2_000)
    sent = [{**row, "at": row["at"].isoformat()} for row in frame.drop("late").head(64).to_dicts()]
    plain = trained(frame, None)
    found: dict[str, dict[str, float]] = {}
    with uvicorn(sys.executable, FIXED, folder, "fixed") as url:
        found["uvicorn, fixed answer"] = measure(f"{url}/", sent[0], seconds)
    with ours(build(folder / "plain", plain), "plain") as url:
        found["/predict, 1 row"] = measure(f"{url}/predict", sent[0], seconds)
        found["/v2 JSON, 1 row"] = measure(f"{url}/v2/models/bench/infer", tensors(sent[:1]), seconds)
        found["/predict, 64 rows"] = measure(f"{url}/predict", sent, seconds)
    with ours(build(folder / "features", trained(frame, features)), "features") as url:
        found["/predict, 1 row, features()"] = measure(f"{url}/predict", sent[0], seconds)
    if peers:
        with uvicorn(peers, fastapi(plain, folder), folder, "peer") as url:
            found["FastAPI + ONNX Runtime, 1 row"] = measure(f"{url}/predict", sent[0], seconds)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default=None, help="Python of an environment with FastAPI and ONNX Runtime")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = compare(Path(scratch), options.peers, options.seconds)
    base = found["uvicorn, fixed answer"]["rate"]
    print(f"{'':32}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'of uvicorn':>12}")
    for name, one in found.items():
        share = f"{one['rate'] / base:.0%}"
        print(f"{name:32}{one['rate']:12,.0f}{one['p50_ms']:9.2f}{one['p99_ms']:9.2f}{share:>12}")


if __name__ == "__main__":
    main()
