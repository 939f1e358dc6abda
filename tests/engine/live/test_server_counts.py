"""What the engine makes of the server's counters."""

from __future__ import annotations

from homeostat.engine.live.server import answered_rows


def test_a_row_that_the_champion_answered_for_a_failing_arm_is_answered():
    new = {("predictions", 1): 90.0, ("invalid_predictions", 2): 10.0, ("fallbacks", 2): 10.0}
    assert answered_rows(new) == (90.0, 0.0)


def test_a_row_that_nobody_answered_is_invalid():
    new = {("predictions", 1): 90.0, ("invalid_predictions", 1): 10.0, ("fallbacks", 2): 5.0}
    assert answered_rows(new) == (100.0, 10.0)


def test_an_arm_that_failed_otherwise_hides_no_row():
    new = {("predictions", 1): 1.0, ("invalid_predictions", 1): 3.0, ("invalid_predictions", 2): 0.0}
    assert answered_rows(new | {("fallbacks", 2): 7.0}) == (4.0, 3.0)
