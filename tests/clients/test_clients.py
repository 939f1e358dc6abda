"""Clients that people already have, as they are, against the real server: each script runs in their own environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.cd.serving import LOOP, ServerProcess, bundle, flights, promote, raw, register

pytestmark = pytest.mark.long

HERE = Path(__file__).parent
BIN = HERE.parents[1] / ".venv-clients" / "bin"
ROWS = [row for row in raw(flights(80, seed=9)) if row["wind"] is not None][:70]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    from homeostat.core.store import Store

    assert (BIN / "python").exists(), "there is no .venv-clients; run `make test-long`, which installs it"
    folder = tmp_path_factory.mktemp("clients")
    store = Store.open(folder / "store")
    promote(store, register(store, bundle()))
    with ServerProcess(store) as server:
        said = httpx.post(f"{server.url}/predict", json=ROWS).json()["predictions"]
        told = folder / "told.json"
        values, scores = ([line[key] for line in said] for key in ("value", "score"))
        content = {
            "url": server.url,
            "loop": LOOP,
            "rows": ROWS,
            "values": values,
            "scores": scores,
            "pid": server.process.pid,
        }
        told.write_text(json.dumps(content))
        yield told
        assert httpx.get(f"{server.url}/health").status_code == 200
        assert server.stop() == 0


def run(command, *arguments, cwd=None):
    done = subprocess.run([BIN / command, *arguments], capture_output=True, text=True, timeout=300, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("script", ["triton.py", "kserve_sdk.py", "mlflow_scoring.py"])
def test_a_client_in_python(told, script):
    run("python", HERE / script, told)


def memory(pid):
    """Resident bytes of the server."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_schemathesis_finds_nothing_in_our_own_document(told, tmp_path):
    """Every route, with what fits and what does not; unloading is left out, since the rest needs the model."""
    content = json.loads(told.read_text())
    # The same questions every time: what CI finds can be found again.
    options = ("--exclude-path-regex", "/unload$", "--suppress-health-check", "all", "--no-color", "--seed", "7")
    config = ("--config-file", HERE / "schemathesis.toml")
    before = memory(content["pid"])
    run("schemathesis", *config, "run", f"{content['url']}/openapi.json", *options, cwd=tmp_path)
    assert memory(content["pid"]) - before < 50 << 20


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("batch", ["1", "5"])
def test_mlserver_infer(told, tmp_path, batch, binary):
    content = json.loads(told.read_text())
    kinds = {"flight_id": "BYTES", "scheduled": "BYTES", "carrier": "BYTES", "distance": "INT64", "wind": "FP64"}
    requests = [
        {
            "id": f"r{place}",
            "inputs": [
                {"name": name, "shape": [1, 1], "datatype": kind, "data": [row[name]]} for name, kind in kinds.items()
            ],
            "outputs": [{"name": "label"}, {"name": "probability"}],
        }
        for place, row in enumerate(ROWS[:20])
    ]
    asked, answered = tmp_path / "asked.jsonl", tmp_path / "answered.jsonl"
    asked.write_text("\n".join(map(json.dumps, requests)) + "\n")
    address = content["url"].removeprefix("http://")
    files = ("-i", asked, "-o", answered)
    run("mlserver", "infer", "-u", address, "-m", LOOP, *files, "-s", batch, *(["-b"] if binary else []))
    answers = sorted(map(json.loads, answered.read_text().splitlines()), key=lambda one: int(one["id"][1:]))
    assert [one["id"] for one in answers] == [f"r{place}" for place in range(20)]
    found = [{output["name"]: output["data"] for output in one["outputs"]} for one in answers]
    assert [bool(one["label"][0]) for one in found] == content["values"][:20]
    assert [one["probability"][1] for one in found] == pytest.approx(content["scores"][:20], rel=1e-6)
