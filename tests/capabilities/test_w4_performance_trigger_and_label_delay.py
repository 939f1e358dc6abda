"""W4: measured performance triggers retraining; labels that have not matured never do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homeostat.cd.labels.join import Traffic
from homeostat.cd.monitor import Champion, MonitorConfig, Window, observe
from homeostat.core.events import Arm
from homeostat.ct import when
from tests.engine.driver import Driver
from tests.engine.stream import Stream

ALONE = (Arm(version=1, role="champion", share=1.0),)
CHAMPION = Champion(version=1, task="classification", metric="accuracy", classes=(False, True), references={1: 0.74})


def windows_until_fire(
    folder: Path,
    *,
    drop_at: int,
    error: float,
    delay: timedelta,
    hours: int = 30,
    config: MonitorConfig | None = None,
    **first: Any,
) -> int | None:
    """Hours after the drop at which the loop retrained; None if it never did."""
    driver = Driver(when.degraded(accuracy=0.03, min_rows=400))
    driver.first_champion()
    stream, traffic = Stream(folder), Traffic(folder)
    for hour in range(hours):
        wrong = error if hour >= drop_at else 0.02
        stream.block(driver.now, 400, ALONE, {1: wrong}, label_after=delay, **first)
        traffic.take()
        now = driver.now + timedelta(hours=1)
        seen = observe("loop", now, CHAMPION, outcomes=traffic.outcomes(), config=config)
        decided = driver.give(seen, hours=1)
        if any(one.action == "retrain" for one in decided):
            return hour - drop_at
    return None


def test_a_drop_of_ten_points_fires_within_eight_windows(tmp_path: Path) -> None:
    hours = windows_until_fire(tmp_path, drop_at=10, error=0.22, delay=timedelta(minutes=1))
    assert hours is not None
    assert 0 <= hours <= 8


def test_nothing_fires_without_a_drop(tmp_path: Path) -> None:
    assert windows_until_fire(tmp_path, drop_at=0, error=0.02, delay=timedelta(minutes=1)) is None


def test_immature_labels_never_fire_it(tmp_path: Path) -> None:
    assert windows_until_fire(tmp_path, drop_at=0, error=0.5, delay=timedelta(hours=100)) is None


def test_labels_that_come_five_hours_late_are_waited_for(tmp_path: Path) -> None:
    soon = windows_until_fire(tmp_path / "a", drop_at=6, error=0.3, delay=timedelta(minutes=1))
    late = windows_until_fire(tmp_path / "b", drop_at=6, error=0.3, delay=timedelta(hours=5))
    assert soon is not None
    assert late is not None
    assert late >= 5


def test_bad_news_that_arrives_first_does_not_fire_it(tmp_path: Path) -> None:
    hours = windows_until_fire(tmp_path, drop_at=0, error=0.02, delay=timedelta(hours=4), bad_news_first=True)
    assert hours is None


@pytest.mark.parametrize(
    ("good", "least"), [(0.4, 0.5), (0.0, 0.0)], ids=["most labels are there", "any share will do"]
)
def test_a_cohort_counts_only_as_a_whole(tmp_path: Path, good: float, least: float) -> None:
    """More than half of each hour's labels come at once, nearly half of them bad: as a whole nothing is wrong."""
    hours = windows_until_fire(
        tmp_path,
        drop_at=0,
        error=0.02,
        delay=timedelta(hours=4),
        config=MonitorConfig(window=Window(label_share=least)),
        bad_news_first=True,
        good_news_first=good,
    )
    assert hours is None


def test_labels_that_come_in_part_are_waited_for_and_then_a_drop_fires(tmp_path: Path) -> None:
    hours = windows_until_fire(
        tmp_path, drop_at=6, error=0.3, delay=timedelta(hours=4), good_news_first=0.8, bad_news_first=False
    )
    assert hours is not None
    assert 4 <= hours <= 16
