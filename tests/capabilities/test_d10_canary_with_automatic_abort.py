"""D10: a bad model at 5 % is aborted and traffic restored, without a human."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from homeostat.cd.deploy import Canary
from homeostat.cd.deploy.trial import JudgeSettings, judge_trial
from homeostat.cd.labels.join import Traffic
from homeostat.cd.monitor import Champion
from homeostat.core import events as ev
from tests.engine.driver import Driver
from tests.engine.stream import Stream

PLAN = Canary(shadow_rows=0, steps=(0.05, 0.5), step_rows=500, horizon=20_000)
CHAMPION = Champion(version=1, task="classification", metric="brier", classes=(False, True))


def play(driver: Driver, folder: Path, error: float, hours: int) -> dict[int, int]:
    """Let both versions answer for hours, judged every hour; gives how many rows each answered."""
    stream, traffic, answered = Stream(folder), Traffic(folder), {1: 0, 2: 0}
    for _ in range(hours):
        recorded = driver.ledger.arms("loop")
        assert recorded is not None
        arms = recorded.event.arms  # type: ignore[union-attr]
        for version, count in stream.block(driver.now, 500, arms, {1: 0.02, 2: error}).items():
            answered[version] += count
        traffic.take()
        trial = driver.feed.state.trial
        judgement = None
        if trial is not None:
            outcomes = traffic.outcomes(since=trial.started)
            now = driver.now + timedelta(hours=1)
            judgement = judge_trial(CHAMPION, 2, outcomes, now, JudgeSettings(config=PLAN))
        driver.observe(judgement=judgement)
    return answered


def test_a_bad_model_is_withdrawn_at_its_canary_share(tmp_path: Path) -> None:
    driver = Driver(plan=PLAN)
    driver.first_champion()
    driver.register()
    driver.observe(judgement=driver.judged(0))
    assert driver.arms() == {1: 0.95, 2: 0.05}
    answered = play(driver, tmp_path, error=0.3, hours=12)
    assert driver.arms() == {1: 1.0}
    assert driver.state_of(2) == "rolled_back"
    assert 0 < answered[2] <= 0.08 * sum(answered.values())
    (ended,) = (one.event for one in driver.ledger.events(kinds=(ev.TrialEnded,)))
    assert isinstance(ended, ev.TrialEnded)
    assert ended.outcome == "rolled_back"
    assert ended.judgement is not None
    assert ended.judgement.e_harm >= 100


def test_a_better_model_is_promoted_by_the_same_path(tmp_path: Path) -> None:
    driver = Driver(plan=PLAN)
    driver.first_champion()
    driver.register()
    driver.observe(judgement=driver.judged(0))
    play(driver, tmp_path, error=0.0, hours=30)
    assert driver.arms() == {2: 1.0}
    assert driver.state_of(2) == "champion"
