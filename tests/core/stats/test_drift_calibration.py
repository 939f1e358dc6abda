"""Thresholds that history itself passes only once in so many blocks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from homeostat.core.errors import DataError
from homeostat.core.stats.drift import DriftConfig, calibrate, drift
from homeostat.core.stats.profile import Profile


def days(count, seed):
    """Days on which the temperature has a level of its own and the carriers do not change."""
    rng = np.random.default_rng(seed)
    for level in rng.normal(0, 1, count):
        yield pl.DataFrame({"temperature": rng.normal(level, 1, 400), "carrier": rng.choice(["a", "b"], 400)})


@pytest.fixture(scope="module")
def history():
    frames = list(days(60, 0))
    reference = Profile.of(pl.concat(frames))
    return reference, [Profile.of(frame, edges_from=reference) for frame in frames]


def alarms(reference, frame, config):
    signals = drift(reference, Profile.of(frame, edges_from=reference), config)
    return {signal.subject for signal in signals if signal.alarmed}


def test_a_column_that_moves_by_nature_gets_a_higher_threshold(history):
    found = calibrate(history[1])
    assert found["carrier"] == 0.1
    assert found["temperature"] > 0.5


def test_calibrated_days_alarm_about_as_rarely_as_asked(history):
    reference, blocks = history
    calibrated = DriftConfig(thresholds=calibrate(blocks, between=30))
    fired = [
        sum(bool(alarms(reference, day, config)) for day in days(150, 1)) for config in (DriftConfig(), calibrated)
    ]
    assert fired[0] > 75
    assert fired[1] <= 12


def test_a_larger_move_than_any_before_still_alarms(history):
    reference, blocks = history
    calibrated = DriftConfig(thresholds=calibrate(blocks))
    heat = pl.DataFrame({"temperature": np.random.default_rng(2).normal(6, 1, 400), "carrier": ["a", "b"] * 200})
    assert alarms(reference, heat, calibrated) == {"temperature"}


def test_two_blocks_are_too_few(history):
    with pytest.raises(DataError, match="2 blocks are too few"):
        calibrate(history[1][:2])
