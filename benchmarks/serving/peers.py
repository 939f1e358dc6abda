"""How each peer is started: one process (and what it must have beside it), the best of its ordinary settings."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving import calls
from benchmarks.serving.calls import Call
from benchmarks.serving.model import LOOP, Questions
from benchmarks.serving.processes import Server, free_port, running

SCRIPTS = Path(__file__).resolve().parents[1] / "peers"
_UVICORN = ["--no-access-log", "--http", "httptools", "--loop", "uvloop", "--log-level", "warning"]


@dataclass(frozen=True)
class Peer:
    """Another server.

    Attributes:
        name: As in the table.
        environment: Which of the peers' environments it lives in; empty for ours.
        start: Python of that environment, the model's file, and a folder, to a running server.
        call: Rows and rows a request to how it is asked.
    """

    name: str
    environment: str
    start: Callable[[str, Path, Path], AbstractContextManager[Server]]
    call: Callable[[Questions, int], Call]


def uvicorn(name: str, module: str) -> Callable[[str, Path, Path], AbstractContextManager[Server]]:
    """An ASGI application on uvicorn, as fast as uvicorn goes."""

    def start(python: str, model: Path, folder: Path) -> AbstractContextManager[Server]:
        port = free_port()
        command = [python, "-m", "uvicorn", "--app-dir", str(SCRIPTS), "--port", str(port), *_UVICORN, f"{module}:app"]
        return running(name, command, "/ready", folder, port=port, environment={"BENCH_MODEL": str(model)})

    return start


def litserve(python: str, model: Path, folder: Path) -> AbstractContextManager[Server]:
    """Its server and its one worker."""
    port = free_port()
    command = [python, str(SCRIPTS / "with_litserve.py"), str(port)]
    return running("LitServe", command, "/health", folder, port=port, environment={"BENCH_MODEL": str(model)})


@contextlib.contextmanager
def mlserver(python: str, model: Path, folder: Path) -> Iterator[Server]:
    """One process, without workers beside it."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"BENCH_MODEL": str(model), "PYTHONPATH": str(SCRIPTS)}
    _prepare([python, str(SCRIPTS / "with_mlserver.py"), str(folder), LOOP, str(port)], environment)
    command = [_beside(python, "mlserver"), "start", str(folder)]
    ready = f"/v2/models/{LOOP}/ready"
    with running("MLServer", command, ready, folder, port=port, environment=environment) as server:
        yield server


@contextlib.contextmanager
def mlflow(python: str, model: Path, folder: Path) -> Iterator[Server]:
    """Its scoring server, without an environment of its own, without access log."""
    port = free_port()
    saved = folder / "model"
    environment = {"BENCH_MODEL": str(model), "UVICORN_ACCESS_LOG": "0", "PATH": f"{Path(python).parent}:/usr/bin:/bin"}
    folder.mkdir(parents=True, exist_ok=True)
    _prepare([python, str(SCRIPTS / "with_mlflow.py"), str(saved), "11"], environment)
    command = [_beside(python, "mlflow"), "models", "serve", "-m", str(saved), "--env-manager", "local"]
    command += ["-h", "127.0.0.1", "-p", str(port)]
    with running("MLflow", command, "/ping", folder, port=port, environment=environment) as server:
        yield server


def bentoml(python: str, model: Path, folder: Path) -> AbstractContextManager[Server]:
    """One worker."""
    port = free_port()
    command = [_beside(python, "bentoml"), "serve", "with_bentoml:Model", "--working-dir", str(SCRIPTS)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {"BENCH_MODEL": str(model), "BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True"}
    return running("BentoML", command, "/readyz", folder, port=port, environment=environment)


FLOOR = Peer("uvicorn, fixed answer", "", uvicorn("uvicorn, fixed answer", "fixed"), calls.fixed)
ONNX = Peer("FastAPI + ONNX Runtime", "fastapi", uvicorn("FastAPI + ONNX Runtime", "fastapi_rows"), calls.rows)
CODED = Peer("FastAPI + ONNX, coded numbers", "fastapi", uvicorn("FastAPI, coded", "fastapi_onnx"), calls.numbers)
SKLEARN = Peer("FastAPI + scikit-learn", "fastapi", uvicorn("FastAPI + scikit-learn", "fastapi_sklearn"), calls.numbers)
SERVERS = (
    Peer("MLServer", "mlserver", mlserver, calls.one_tensor),
    Peer("LitServe", "litserve", litserve, calls.numbers),
    Peer("MLflow", "mlflow", mlflow, calls.invocations),
    Peer("BentoML", "bentoml", bentoml, calls.numbers),
)


def python_of(peer: Peer, environments: str) -> str | None:
    """Python of a peer's environment, or None when that has not been made."""
    if not peer.environment:
        return sys.executable
    python = Path(f"{environments}-{peer.environment}").absolute() / "bin" / "python"
    return str(python) if python.exists() else None


def _prepare(command: list[str], environment: dict[str, Any]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[1]} failed:\n{done.stderr[-3000:]}")


def _beside(python: str, program: str) -> str:
    return str(Path(python).parent / program)
