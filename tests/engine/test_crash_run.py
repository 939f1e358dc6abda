"""A run that is killed at any of its points is resumed by the next start, and nothing is lost or doubled."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.crash_harness import isolated

POINTS = (
    "run.started",
    "step.before_artifact",
    "artifact.before_rename",
    "artifact.after_rename",
    "step.after_record",
    "run.before_finish",
)


@pytest.fixture(scope="module")
def report():
    # What a killed process wrote is in the system's memory either way, so no disk is needed.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        return isolated("tests.engine.crash_run", "kill_everywhere", folder)


@pytest.mark.crash
def test_a_run_killed_anywhere_is_resumed_to_the_result_of_a_run_that_was_not(report):
    assert report["problems"] == []


@pytest.mark.crash
def test_at_least_a_hundred_runs_were_killed(report):
    assert sum(report["kills"].values()) >= 100


@pytest.mark.crash
@pytest.mark.parametrize("point", POINTS)
def test_every_point_was_passed_in_every_case(report, point):
    kills = {
        name: count for name, count in report["kills"].items() if name.endswith(f", {point}") and "then" not in name
    }
    assert len(kills) == 3
    assert all(kills.values())
