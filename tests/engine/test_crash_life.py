"""A loop that is killed while it runs, registers or promotes goes on where it was: one champion, one version each."""

from __future__ import annotations

import pytest

from tests.crash_harness import isolated

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def report():
    return isolated("tests.engine.crash_life", "kill_everywhere")


def test_a_life_nobody_disturbs_ends_with_a_roll_back(report):
    assert report["expected"] == {"problems": [], "versions": {"1": "champion", "2": "rolled_back"}, "champion": 1}


def test_at_every_instant_one_champion_and_one_version_per_trigger(report):
    assert report["problems"] == []


@pytest.mark.parametrize(
    "point",
    ["register.before_commit", "register.after_commit", "promote.before_commit", "promote.after_commit", "run.started"],
)
def test_the_points_of_run_register_and_promote_were_all_passed(report, point):
    assert report["kills"][point] >= 2


def test_a_failure_is_replayed_from_its_seed():
    lives = isolated("tests.engine.crash_life", "chaos", "3")
    assert [drawn["seed"] for drawn in lives] == [0, 1, 2]
    for drawn in lives:
        assert drawn["first"]["problems"] == [], drawn["seed"]
        assert drawn["first"]["kills"], drawn["seed"]
        assert drawn["first"] == drawn["again"], drawn["seed"]


def test_at_least_a_hundred_processes_were_killed(report):
    assert sum(report["kills"].values()) >= 100
