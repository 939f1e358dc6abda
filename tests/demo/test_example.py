"""The example project does what its README says: every command of it is run, in order, in a copy of the folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "flights"
COMMANDS = re.findall(r"^\$ (.+)$", (EXAMPLE / "README.md").read_text(), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example") / "flights"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def outcomes(project):
    return {command: run(command, project) for command in COMMANDS}


def run(command, folder):
    words = shlex.split(command)
    module = ["-m", "homeostat"] if words[0] == "homeostat" else []
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([sys.executable, *module, *words[1:]], cwd=folder, env=env, capture_output=True, text=True)


def test_every_command_of_the_readme_works(outcomes):
    failed = {command: (done.returncode, done.stderr) for command, done in outcomes.items() if done.returncode}
    assert not failed
    assert len(outcomes) >= 8


def test_the_first_model_is_the_champion_and_the_second_on_trial(outcomes):
    told = outcomes["homeostat status"].stdout
    assert "version 1" in told
    assert "version 2 shadow" in told


def test_every_flight_of_march_has_a_prediction(outcomes, project):
    assert pl.read_parquet(project / "march.parquet").height == 28_834


def test_why_names_what_the_gates_saw(outcomes):
    assert "at_least" in outcomes["homeostat why 1"].stdout
    assert "not_worse_than_champion" in outcomes["homeostat why 2"].stdout
