"""W2: schedules with a policy for missed runs, for overlapping runs, and with time zones, on a clock that is turned."""

from __future__ import annotations

from datetime import UTC, datetime

from homeostat.core import events as ev
from homeostat.ct import when
from homeostat.ct.when import Past
from tests.engine.driver import Driver

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(moment: datetime) -> ev.Observed:
    return ev.Observed(loop="loop", now=moment, rows=0, labelled=0, trainable=0)


def fires(driver: Driver) -> bool:
    return any(one.action == "retrain" for one in driver.observe(hours=24))


def test_a_period_fires_once_per_period() -> None:
    driver = Driver(when.every("7d"))
    driver.first_champion()
    days = []
    for day in range(1, 30):
        if fires(driver):
            days.append(day)
            driver.register(gates=())
    assert days == [7, 14, 21, 28]


def test_missed_times_are_made_up_for_once_or_skipped() -> None:
    week_off = MONDAY.replace(day=20, hour=15)
    history = Past(started=MONDAY)
    once = when.every("0 3 * * *").read(at(week_off), history)
    assert once.fired
    after = Past(started=MONDAY, fires=(week_off,))
    assert not when.every("0 3 * * *").read(at(week_off.replace(hour=16)), after).fired
    assert not when.every("0 3 * * *", missed="skip").read(at(week_off), history).fired
    in_time = when.every("0 3 * * *", missed="skip").read(at(week_off.replace(hour=3, minute=20)), history)
    assert in_time.fired


def test_times_that_fall_into_a_run_are_queued_or_skipped() -> None:
    history = Past(started=MONDAY, fires=(MONDAY,), busy_until=MONDAY.replace(hour=15))
    now = at(MONDAY.replace(hour=15, minute=30))
    assert when.every("0 * * * *", overlap="queue").read(now, history).fired
    assert not when.every("0 * * * *", overlap="skip").read(now, history).fired
    assert when.every("0 * * * *", overlap="skip").read(at(MONDAY.replace(hour=16)), history).fired


def test_a_cron_expression_follows_its_time_zone_through_summer_time() -> None:
    policy = when.every("0 3 * * *", zone="America/New_York")
    winter = policy.read(at(datetime(2026, 3, 7, 7, 59, tzinfo=UTC)), Past(started=datetime(2026, 3, 6, 9, tzinfo=UTC)))
    assert winter.evidence["due"] == datetime(2026, 3, 7, 8, tzinfo=UTC)
    summer = policy.read(at(datetime(2026, 3, 9, 6, tzinfo=UTC)), Past(started=datetime(2026, 3, 8, 9, tzinfo=UTC)))
    assert summer.evidence["due"] == datetime(2026, 3, 9, 7, tzinfo=UTC)
    assert not summer.fired
