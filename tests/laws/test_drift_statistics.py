from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from homeostat import when
from homeostat.cd.monitor import Champion, MonitorConfig, observe
from homeostat.core.errors import LoopError
from homeostat.core.stats.drift import STATISTICS, DriftConfig, Statistic, calibrate, distance, drift
from homeostat.core.stats.profile import Profile
from homeostat.engine.live.watch import measuring
from tests.engine.driver import START, Driver
from tests.laws.toys import GAP

ROWS = 4_000
every_statistic = pytest.mark.parametrize("statistic", STATISTICS.values(), ids=list(STATISTICS))


def frame(seed: int, rows: int = ROWS, shift: float = 0.0) -> pl.DataFrame:
    """A number that may be shifted, and a category that never is."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame({"x": rng.normal(shift, 1, rows), "c": rng.choice(list("abcd"), rows)})


REFERENCE = Profile.of(frame(0))
COLUMN = REFERENCE.columns["x"]


def moved(statistic: Statistic, seed: int, **block: Any) -> Any:
    """How far a block's number is from the reference."""
    later = Profile.of(frame(seed, **block), edges_from=REFERENCE)
    return distance(COLUMN, later.columns["x"], statistic)


@every_statistic
def test_the_same_rows_are_at_no_distance(statistic: Statistic):
    assert distance(COLUMN, COLUMN, statistic).value == 0.0


@every_statistic
def test_a_larger_shift_is_further_away(statistic: Statistic):
    values = [moved(statistic, 1, shift=shift).value for shift in (0.0, 0.2, 0.5, 1.0)]
    assert values == sorted(values)
    assert values[0] >= 0.0


@every_statistic
@pytest.mark.parametrize("rows", [500, 4_000])
def test_the_noise_is_what_chance_gives(statistic: Statistic, rows: int):
    chance = [distance(*two_of(seed, rows), statistic) for seed in range(200)]
    assert np.mean([one.value for one in chance]) == pytest.approx(np.mean([one.noise for one in chance]), rel=0.3)


def two_of(seed: int, rows: int) -> tuple[Any, Any]:
    """The number of two blocks between which nothing changed."""
    blocks = [Profile.of(frame(100 + 2 * seed + place, rows), edges_from=REFERENCE) for place in (0, 1)]
    return blocks[0].columns["x"], blocks[1].columns["x"]


@every_statistic
def test_its_signals_bear_its_name_and_are_of_the_columns_that_it_can_measure(statistic: Statistic):
    config = DriftConfig(statistic=statistic.name, threshold=moved(statistic, 1, shift=0.2).excess)
    signals = drift(REFERENCE, Profile.of(frame(2, shift=0.5), edges_from=REFERENCE), config)
    kinds = {name: column.kind for name, column in REFERENCE.columns.items()}
    assert {signal.statistic for signal in signals} == {statistic.name}
    assert [signal.subject for signal in signals] == [name for name, kind in kinds.items() if kind in statistic.needs]
    assert [signal.subject for signal in signals if signal.alarmed] == ["x"]
    assert not any(one.alarmed for one in drift(REFERENCE, Profile.of(frame(3), edges_from=REFERENCE), config))


@every_statistic
def test_history_sets_its_thresholds(statistic: Statistic):
    blocks = [Profile.of(frame(seed, 500), edges_from=REFERENCE) for seed in range(10, 40)]
    found = calibrate(blocks, statistic=statistic.name, floor=1e-6)
    assert set(found) == {name for name, one in REFERENCE.columns.items() if one.kind in statistic.needs}
    assert 0 < found["x"] < moved(statistic, 1, shift=1.0).excess


@every_statistic
def test_a_policy_of_a_loop_waits_for_it(statistic: Statistic):
    threshold = moved(statistic, 1, shift=0.3).excess
    policy = when.drift(columns=("x",), predictions=False, **{statistic.name: threshold}) | when.never()
    driver = Driver(policy)
    driver.first_champion()
    champion = Champion(version=1, task="regression", metric="mae", profile=REFERENCE)
    decided = []
    for hour, shift in enumerate((0.0, 0.1, 0.6), start=1):
        seen = observe(
            "loop",
            START + timedelta(hours=hour),
            champion,
            rows=frame(hour, shift=shift),
            config=measuring(MonitorConfig(), policy),
        )
        decided.append([one.action for one in driver.give(seen, hours=1)][-1])
    assert decided == ["keep", "keep", "retrain"]


def test_a_policy_looks_at_the_signals_of_its_own_statistic_alone():
    later = Profile.of(frame(2, shift=0.5), edges_from=REFERENCE)
    signals = tuple(drift(REFERENCE, later, DriftConfig(also=("gap",))))
    look = when.Look(loop="loop", now=START, rows=0, labelled=0, trainable=0, signals=signals, past=when.Past())
    value = moved(GAP, 2, shift=0.5).value
    assert when.drift(gap=0.01).step(None, look)[1].evidence["largest"]["x"]["value"] == value
    assert not when.drift(js=0.01).step(None, look)[1].fired
    assert [one.statistic for one in signals if one.alarmed] == ["psi"]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"spi": 0.2}, "there is no drift statistic 'spi'"),
        ({}, "takes one statistic, not 0"),
        ({"psi": 0.2, "js": 0.1}, "takes one statistic, not 2"),
        ({"js": 0.0}, r"drift\(js=0.0\) would always fire"),
    ],
)
def test_a_drift_policy_names_one_statistic_that_there_is(named: dict[str, float], words: str):
    with pytest.raises(LoopError, match=words):
        when.drift(**named)
