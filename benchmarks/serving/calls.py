"""How each server is asked, and how its answer is read: requests as bytes, labels back."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.model import LOOP, Questions
from benchmarks.serving.processes import Server, load_core

CONNECTIONS = 32
_BINARY = "Inference-Header-Content-Length"
_DATATYPES = {"id": "BYTES", "at": "BYTES", "carrier": "BYTES"}
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Call:
    """One way to ask a server.

    Attributes:
        path: Where.
        bodies: Several different requests, sent in turn.
        headers: Of each of them.
        read: Head and body of an answer to the labels in it.
        labels: The right labels of each request.
    """

    path: str
    bodies: list[bytes]
    headers: list[dict[str, str]]
    read: Callable[[bytes, bytes], list[bool]]
    labels: list[list[bool]]

    def check(self, asked: int, answer: bytes) -> None:
        """Compare an answer with what is right."""
        head, _, body = answer.partition(b"\r\n\r\n")
        found = self.read(head, body)
        if found != self.labels[asked]:
            raise ValueError(f"{self.path}: the answer {body[:200]!r} does not say what the model says")


def parts(questions: Questions, size: int) -> list[slice]:
    """The rows of each request: as many different ones as there are."""
    return [slice(start, start + size) for start in range(0, questions.count, size)]


def predict(questions: Questions, size: int) -> Call:
    """Rows as objects of columns, to `/predict`."""
    rows = [questions.rows[part] for part in parts(questions, size)]
    bodies = [json.dumps(part[0] if size == 1 else part).encode() for part in rows]

    def read(_: bytes, body: bytes) -> list[bool]:
        return [one["value"] for one in json.loads(body)["predictions"]]

    return _call("/predict", bodies, read, questions, size)


def rows(questions: Questions, size: int) -> Call:
    """The same body, to a service of FastAPI that takes a row at `/one` and a list at `/many`."""
    return replace(predict(questions, size), path="/one" if size == 1 else "/many")


def tensors(questions: Questions, size: int) -> Call:
    """One tensor of JSON per column, by the Open Inference Protocol v2."""
    bodies = []
    for part in parts(questions, size):
        rows = questions.rows[part]
        inputs = [_tensor(name, len(rows), data=[row[name] for row in rows]) for name in rows[0]]
        bodies.append(json.dumps({"inputs": inputs}).encode())
    return _call(f"/v2/models/{LOOP}/infer", bodies, _first_tensor, questions, size)


def binary(questions: Questions, size: int) -> Call:
    """The same tensors as bytes behind a JSON header, and the answer likewise: what clients of Triton send."""
    bodies, headers = [], []
    for part in parts(questions, size):
        rows = questions.rows[part]
        inputs, raw = [], []
        for name in rows[0]:
            data = _packed(name, [row[name] for row in rows])
            inputs.append(_tensor(name, len(rows), parameters={"binary_data_size": len(data)}))
            raw.append(data)
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        bodies.append(head + b"".join(raw))
        headers.append({"content-type": "application/octet-stream", _BINARY: str(len(head))})
    return _call(f"/v2/models/{LOOP}/infer", bodies, _first_binary, questions, size, headers)


def numbers(questions: Questions, size: int, path: str = "/predict") -> Call:
    """The numbers that the model takes, as lists: what a peer's own service is asked with."""
    bodies = [json.dumps({"rows": _coded(questions, part)}).encode() for part in parts(questions, size)]

    def read(_: bytes, body: bytes) -> list[bool]:
        answer = json.loads(body)
        return [bool(label) for label, _ in answer] if isinstance(answer, list) else answer["labels"]

    return _call(path, bodies, read, questions, size)


def one_tensor(questions: Questions, size: int) -> Call:
    """The same numbers as one tensor, by the Open Inference Protocol v2."""
    bodies = []
    for part in parts(questions, size):
        coded = _coded(questions, part)
        flat = [value for row in coded for value in row]
        tensor = {"name": "x", "shape": [size, len(coded[0])], "datatype": "FP32", "data": flat}
        bodies.append(json.dumps({"inputs": [tensor]}).encode())
    return _call(f"/v2/models/{LOOP}/infer", bodies, _first_tensor, questions, size)


def invocations(questions: Questions, size: int) -> Call:
    """The same numbers as MLflow's scoring server takes tensors."""
    bodies = [json.dumps({"inputs": _coded(questions, part)}).encode() for part in parts(questions, size)]

    def read(_: bytes, body: bytes) -> list[bool]:
        return [bool(label) for label in json.loads(body)["predictions"]["label"]]

    return _call("/invocations", bodies, read, questions, size)


def fixed(questions: Questions, size: int) -> Call:
    """The same request as `/predict`, to a server that answers the same whatever it is asked."""
    asked = predict(questions, size)
    return replace(asked, path="/", read=lambda _head, _body: [], labels=[[] for _ in asked.bodies])


def measure(server: Server, call: Call, seconds: float) -> dict[str, Any]:
    """Ask an awake server for so many seconds; every answer must be good, and a sample of them right."""
    spent = server.cpu_seconds()
    with asking(server, call, seconds) as load:
        found = answered(server, call, load)
    return found | {"cpu_us": (server.cpu_seconds() - spent) / found["answered"] * 1e6}


@contextlib.contextmanager
def asking(server: Server, call: Call, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """A load generator at work on the last core; `answered` waits for it."""
    requests = [
        base64.b64encode(_head(call.path, server.port, body, headers) + body).decode()
        for body, headers in zip(call.bodies, call.headers, strict=True)
    ]
    told = {"host": "127.0.0.1", "port": server.port, "requests": requests}
    told |= {"connections": CONNECTIONS, "seconds": seconds}
    program = str(Path(__file__).with_name("load.py"))
    with subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {load_core()}),  # noqa: PLW1509
    ) as load:
        assert load.stdin is not None
        load.stdin.write(json.dumps(told).encode())
        load.stdin.close()
        load.stdin = None
        try:
            yield load
        finally:
            if load.poll() is None:
                load.kill()


def answered(server: Server, call: Call, load: subprocess.Popen[bytes], *, stop: bool = False) -> dict[str, Any]:
    """What a load generator found, once it is done, or now when it is told to stop."""
    if stop:
        load.send_signal(signal.SIGTERM)
    out, _ = load.communicate(timeout=600)
    if load.returncode:
        raise RuntimeError(f"{server.name} could not be asked:\n{server.tail()}")
    found: dict[str, Any] = json.loads(out)
    if found["errors"]:
        raise RuntimeError(f"{server.name}: {found['errors']} answers were not 200, such as {found['examples'][0]}")
    for asked, answer in found.pop("samples"):
        call.check(asked, base64.b64decode(answer))
    return found


def _call(
    path: str,
    bodies: list[bytes],
    read: Callable[[bytes, bytes], list[bool]],
    questions: Questions,
    size: int,
    headers: list[dict[str, str]] | None = None,
) -> Call:
    labels = [questions.labels[part] for part in parts(questions, size)]
    return Call(path, bodies, headers or [_JSON] * len(bodies), read, labels)


def _head(path: str, port: int, body: bytes, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()


def _coded(questions: Questions, part: slice) -> list[list[float]]:
    return [[round(value, 4) for value in row] for row in questions.matrix[part].tolist()]


def _tensor(name: str, n: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [n], "datatype": _DATATYPES.get(name, "FP64"), **more}


def _packed(name: str, values: list[Any]) -> bytes:
    if _DATATYPES.get(name) == "BYTES":
        return b"".join(struct.pack("<I", len(text)) + text for text in (value.encode() for value in values))
    return np.array(values, dtype="<f8").tobytes()


def _first_tensor(_: bytes, body: bytes) -> list[bool]:
    return [bool(label) for label in json.loads(body)["outputs"][0]["data"]]


def _first_binary(head: bytes, body: bytes) -> list[bool]:
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    length = next(int(value) for name, _, value in lines if name.lower() == _BINARY.lower().encode())
    n = json.loads(body[:length])["outputs"][0]["shape"][0]
    return [byte != 0 for byte in body[length : length + n]]
