"""`homeostat judge`: the verdict on a trial, and its exit code for jobs."""

from __future__ import annotations

import pytest


@pytest.fixture
def tried(history):
    """A second candidate that passed its gates and is on trial."""
    history.register(trigger="by-hand/again")
    return history


def test_a_running_trial_passes_until_it_is_rolled_back(homeostat, tried):
    found = homeostat("judge", "--json")
    assert found.code == 0
    assert (found.json["verdict"], found.json["running"], found.json["challenger"]) == ("continue", True, 3)
    assert homeostat("judge", "--pass", "promote").code == 3
    tried.observe(judgement=tried.judged(700, "roll_back", e_harm=250.0))
    said = homeostat("judge")
    assert said.code == 3
    assert "roll_back" in said.out
    assert homeostat("judge", "--pass", "roll_back").code == 0


def test_a_loop_without_a_trial_and_a_verdict_that_is_none_are_said(homeostat, history):
    nothing = homeostat("judge")
    assert (nothing.code, "has had no trial yet" in nothing.err) == (2, True)
    odd = homeostat("judge", "--pass", "maybe")
    assert (odd.code, "no verdict 'maybe'" in odd.err) == (2, True)


@pytest.mark.parametrize("url", ["ftp://there", "http://127.0.0.1:9"])
def test_a_server_that_is_not_there_is_said(homeostat, url):
    found = homeostat("judge", "--url", url)
    assert found.code == 2
    assert "Traceback" not in found.err
