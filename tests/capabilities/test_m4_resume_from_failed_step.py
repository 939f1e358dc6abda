"""M4: kill the fourth step; resuming runs the fourth and later steps only, and gives what a clean run gives."""

from __future__ import annotations

from homeostat.ci.pipeline import Pipeline
from homeostat.loop import steps
from tests.crash_harness import isolated, killed_at

SCENARIO = "tests.ci.killed_run"


def test_a_run_killed_in_its_fourth_step_resumes_there(tmp_path):
    store = tmp_path / "store"
    assert killed_at("step.before_artifact:4", SCENARIO, "run", str(store))
    resumed = isolated(SCENARIO, "resume", str(store))
    # The outputs say where the table lies, so the clean run gets the same place.
    store.rename(tmp_path / "done")
    clean = isolated(SCENARIO, "run", str(store))

    order = Pipeline(*steps.STEPS).steps
    assert resumed["status"] == "interrupted"
    assert resumed["before"] == dict.fromkeys(order[:3], "ran")
    assert resumed["outcomes"] == dict.fromkeys(order[:3], "hit") | dict.fromkeys(order[3:], "ran")
    assert resumed["outputs"] == clean["outputs"]
