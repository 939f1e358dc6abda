"""D11: units stay with their arm, a sample ratio that is off alarms, and an A/A test errs as often as it says."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from homeostat.cd import deploy
from homeostat.cd.deploy.judge import JudgeConfig
from homeostat.cd.deploy.randomised import Drawn, judge_drawn, sample_ratio, sample_ratio_of
from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import PredictionRecord
from homeostat.cd.monitor import Champion
from homeostat.core import events as ev
from homeostat.engine.decide.feed import decided, replayed
from tests.cd.serving import Client, bundle, divide, flights, log_of, promote, raw, register, serving
from tests.engine.driver import Driver
from tests.engine.stream import Stream

SIMULATIONS, UNITS = 1_000, 1_500
HALVES = (ev.Arm(version=1, role="champion", share=0.5), ev.Arm(version=2, role="split", share=0.5))
CHAMPION = Champion(version=1, task="classification", metric="brier", classes=(False, True))
PLAN = deploy.Split(share=0.5, rows=500, horizon=20_000)


def drawn(salt: str, units: int = UNITS) -> np.ndarray:
    """Whether the challenger answers each of so many units, as the server decides it."""
    return np.array([deploy.assign(HALVES, salt, f"unit {unit}").version == 2 for unit in range(units)])


@pytest.fixture(scope="module")
def tests_of_nothing():
    """The draws of a thousand A/A tests."""
    return [drawn(f"test {number}") for number in range(SIMULATIONS)]


def test_a_unit_stays_with_its_arm_and_another_salt_draws_anew() -> None:
    first, again, other = drawn("a"), drawn("a"), drawn("b")
    assert (first == again).all()
    assert abs(first.mean() - 0.5) < 0.05
    assert abs((first == other).mean() - 0.5) < 0.05
    small, large = (
        (ev.Arm(version=1, role="champion", share=1 - share), ev.Arm(version=2, role="split", share=share))
        for share in (0.1, 0.4)
    )
    units = [f"u{number}" for number in range(500)]
    given = {unit for unit in units if deploy.assign(small, "s", unit).version == 2}
    assert given
    assert all(deploy.assign(large, "s", unit).version == 2 for unit in given)


def test_the_server_answers_and_logs_by_the_split(store) -> None:
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    divide(store, {1: ("champion", 0.7), 2: ("split", 0.3)}, salt="trial")
    rows = raw(flights(300, seed=5))
    with serving(store) as app:
        said = [
            [
                one["version"]
                for one in Client(app).ask(("POST", "/predict", {"records": rows}))[0].json()["predictions"]
            ]
            for _ in range(2)
        ]
    assert said[0] == said[1]
    logged = [row for record in log_of(store) if isinstance(record, PredictionRecord) for row in record.rows]
    assert {(row.arm, row.propensity) for row in logged} == {(1, 0.7), (2, 0.3)}
    assert 60 <= sum(row.arm == 2 for row in logged[:300]) <= 120


def test_a_planted_mismatch_alarms_and_a_fair_draw_does_not(tests_of_nothing) -> None:
    expected = np.full(UNITS, 0.5)
    assert sum(sample_ratio(draws, expected).alarmed for draws in tests_of_nothing) <= 5
    many, rng = drawn("planted", 20_000), np.random.default_rng(0)
    assert not sample_ratio(many, np.full(len(many), 0.5)).alarmed
    kept = ~(many & (rng.random(len(many)) < 0.1))  # a tenth of the challenger's units gets lost
    assert sample_ratio(many[kept], np.full(kept.sum(), 0.5)).alarmed


def test_a_test_of_nothing_errs_as_often_as_it_says(tests_of_nothing) -> None:
    rng, share = np.random.default_rng(3), np.full(UNITS, 0.5)
    strict = JudgeConfig(margin=0.0, minimum_pairs=0)
    verdicts: Counter[str] = Counter()
    found = 0
    for draws in tests_of_nothing:
        loss = rng.random(UNITS)
        verdicts[
            judge_drawn(Drawn(challenger=draws, share=share, loss=loss, least=loss, greatest=loss), strict).verdict
        ] += 1
        found += abs(z_score(loss, draws)) > NormalDist().inv_cdf(0.975)
    # The judge looks after every label and keeps its bounds all the same.
    assert verdicts["roll_back"] <= SIMULATIONS * 0.01
    assert verdicts["promote"] <= SIMULATIONS * 0.05
    # A classical test with one look errs in 5 %: the draw is as random as the arithmetic assumes.
    assert 0.03 <= found / SIMULATIONS <= 0.07


def z_score(loss: np.ndarray, draws: np.ndarray) -> float:
    new, old = loss[draws], loss[~draws]
    return float((new.mean() - old.mean()) / np.sqrt(new.var() / len(new) + old.var() / len(old)))


def play(driver: Driver, folder: Path, error: float, hours: int, lost: float = 0.0) -> None:
    """Hours of traffic that is divided as the ledger says, judged every hour on each version's own rows."""
    stream, traffic = Stream(folder), Traffic(folder)
    for _ in range(hours):
        recorded, trial = driver.ledger.arms("loop"), driver.feed.state.trial
        assert recorded is not None
        if trial is None:
            return
        arms: tuple[ev.Arm, ...] = recorded.event.arms  # type: ignore[union-attr]
        stream.block(driver.now, 500, arms, {1: 0.1, 2: error}, lost={2: lost})
        traffic.take()
        outcomes = traffic.outcomes(since=trial.started)
        settings = deploy.JudgeSettings(
            config=PLAN, guardrails=(sample_ratio_of(1, 2, outcomes),), least_share=deploy.least_share(PLAN)
        )
        judgement = deploy.judge_trial(CHAMPION, 2, outcomes, driver.now + timedelta(hours=1), settings)
        driver.observe(judgement=judgement)


@pytest.fixture
def tested() -> Driver:
    driver = Driver(plan=PLAN)
    driver.first_champion()
    driver.register()
    assert driver.arms() == {1: 0.5, 2: 0.5}
    assert driver.state_of(2) == "split"
    return driver


@pytest.mark.parametrize(("error", "state", "arms"), [(0.4, "rolled_back", {1: 1.0}), (0.0, "champion", {2: 1.0})])
def test_a_loop_with_a_split_decides_by_each_versions_own_rows(tested, tmp_path, error, state, arms) -> None:
    play(tested, tmp_path, error, hours=40)
    assert (tested.state_of(2), tested.arms()) == (state, arms)
    again = [(seq, decision.decided) for seq, decision in replayed(tested.rules, tested.ledger.events())]
    assert again == decided(tested.ledger.events())


def test_a_split_that_loses_units_on_one_side_ends_without_a_verdict(tested, tmp_path) -> None:
    play(tested, tmp_path, error=0.0, hours=12, lost=0.4)
    assert (tested.state_of(2), tested.arms()) == ("inconclusive", {1: 1.0})
    (ended,) = (one.event for one in tested.ledger.events(kinds=(ev.TrialEnded,)))
    assert "test is not valid" in ended.reason  # type: ignore[union-attr]


def test_rows_of_an_earlier_division_are_left_out(tmp_path) -> None:
    stream, traffic, start = Stream(tmp_path), Traffic(tmp_path), Driver().now
    earlier = (ev.Arm(version=1, role="champion", share=0.95), ev.Arm(version=2, role="canary", share=0.05))
    stream.block(start, 200, earlier, {1: 0.1, 2: 0.1})
    stream.block(start + timedelta(hours=1), 300, HALVES, {1: 0.1, 2: 0.1})
    traffic.take()
    found = deploy.judge_trial(
        CHAMPION, 2, traffic.outcomes(), start + timedelta(hours=4), deploy.JudgeSettings(least_share=0.5)
    )
    assert (found.pairs, found.matured) == (300, 500)
