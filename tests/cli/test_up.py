from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import in_a_process
from tests.cli.test_run import LOOP, ROWS, bad_project, flights


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("up")
    bad_project(folder, flights(), LOOP)
    return folder


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "homeostat", "up", "--port", "0", "--json", *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def serving(process: subprocess.Popen[str]) -> tuple[str, list[dict]]:
    """Read what it says until it says where it serves."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(json.loads(line))
        if "serving" in said[-1]:
            return said[-1]["serving"], said
    raise AssertionError(process.stderr.read() if process.stderr else "")


@pytest.mark.slow
def test_up_trains_serves_refuses_a_second_one_and_stops_in_good_order(project: Path):
    process = start(project)
    try:
        url, said = serving(process)
        assert {one["event"]["action"] for one in said if "event" in one} >= {"retrain"}
        row = flights(1, first=ROWS).drop("late", "landed").to_dicts()[0]
        reply = httpx.post(f"{url}/predict", json={**row, "scheduled": row["scheduled"].isoformat()}, timeout=30)
        assert reply.status_code == 200, reply.text
        assert reply.json()["predictions"][0]["version"] == 1
        second = in_a_process("up", "--port", "0", cwd=project)
        assert second.code == 2
        assert "is up already" in second.err
        status = in_a_process("status", "--json", cwd=project).json
        assert status["url"] == url
        assert f"process {process.pid}" in status["in_charge"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert in_a_process("status", "--json", cwd=project).json["in_charge"] is None


@pytest.mark.slow
def test_up_shows_how_far_its_first_training_is_at_a_terminal(tmp_path: Path):
    bad_project(tmp_path, flights(), LOOP)
    command = [sys.executable, "-m", "homeostat", "up", "--port", "0"]
    with (tmp_path / "errors.txt").open("w") as errors:
        env = {**os.environ, "FORCE_COLOR": "1"}
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
        try:
            assert process.stdout is not None
            said = next((line for line in process.stdout if "serving at" in line), None)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    shown = (tmp_path / "errors.txt").read_text()
    assert said is not None, shown
    assert "first training" in shown
    assert process.returncode == 0, shown
