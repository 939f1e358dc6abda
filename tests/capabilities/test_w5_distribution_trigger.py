"""W5: drift fires on moved distributions, by chance at a known rate, and never because the number of rows changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from homeostat.cd.monitor import Champion, MonitorConfig, observe
from homeostat.core.stats.drift import DriftConfig
from homeostat.core.stats.profile import Profile
from homeostat.ct import when
from homeostat.ct.when import Past

START = datetime(2013, 3, 1, tzinfo=UTC)
HISTORY = Past(started=START)


def frame(rng, rows, shift=0.0):
    columns = {f"x{i}": rng.normal(shift * (i == 2), 1, rows) for i in range(8)}
    return pl.DataFrame(columns | {"c": rng.choice(list("abcde"), rows)})


REFERENCE = Profile.of(frame(np.random.default_rng(0), 20_000))
CHAMPION = Champion(version=1, task="regression", metric="mae", profile=REFERENCE)


def fires(policy, rows, now=START, config=None):
    return policy.read(observe("loop", now, CHAMPION, rows=rows, config=config), HISTORY).fired


def test_a_null_stream_of_a_year_fires_no_policy():
    rng, policy = np.random.default_rng(1), when.drift(psi=0.1)
    assert not any(fires(policy, frame(rng, 1_000), START + timedelta(days=day)) for day in range(365))


@pytest.mark.parametrize("rows", [200, 500, 2_000])
def test_the_rate_by_chance_is_the_one_that_was_asked_for(rows):
    rng, policy = np.random.default_rng(rows), when.drift(psi=1e-9)
    every_difference = MonitorConfig(drift=DriftConfig(threshold=0.0, false_discovery=0.01))
    count = sum(fires(policy, frame(rng, rows), config=every_difference) for _ in range(400))
    assert count <= 11  # one per cent of 400 is 4; 12 and more has a chance of 1 in 1,000


@pytest.mark.parametrize(("shift", "days"), [(1.0, 1), (0.7, 1), (0.5, 5)])
def test_the_delay_after_a_known_change_point_is_bounded(shift, days):
    policy, delays = when.drift(psi=0.15), []
    for seed in range(20):
        rng = np.random.default_rng([seed, 9])
        before = [fires(policy, frame(rng, 1_000)) for _ in range(10)]
        after = [fires(policy, frame(rng, 1_000, shift)) for _ in range(10)]
        assert not any(before)
        delays.append(after.index(True) + 1)
    assert max(delays) <= days


def test_a_change_in_the_number_of_rows_alone_never_fires():
    rows = frame(np.random.default_rng(2), 400)
    champion = Champion(version=1, task="regression", metric="mae", profile=Profile.of(rows))
    policy = when.drift(psi=0.01)
    for times in (1, 2, 10, 100):
        seen = observe("loop", START, champion, rows=pl.concat([rows] * times))
        assert not policy.read(seen, HISTORY).fired


def test_too_few_rows_never_fire():
    rng = np.random.default_rng(3)
    assert not any(fires(when.drift(psi=0.1), frame(rng, rows, 3.0)) for rows in (1, 10, 100, 199))


def test_too_few_rows_are_told_as_nothing_measured():
    seen = observe("loop", START, CHAMPION, rows=frame(np.random.default_rng(3), 199))
    reading = when.drift(psi=0.1).read(seen, HISTORY)
    assert reading.reason == "no drift beyond 0.1 (nothing measured)"
