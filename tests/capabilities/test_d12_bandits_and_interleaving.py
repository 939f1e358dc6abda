"""D12: bandits lose less than a fixed split and keep their floor; a team draft of one ranking favours no side."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from homeostat.cd import deploy
from homeostat.cd.deploy.bandits import shares
from homeostat.cd.deploy.interleave import Draft, credit, team_draft, verdict
from homeostat.cd.deploy.randomised import Drawn, judge_drawn
from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LogReader, PredictionRecord
from homeostat.cd.monitor import Champion
from homeostat.core import events as ev
from homeostat.engine.decide.feed import decided, replayed
from tests.engine.driver import Driver
from tests.engine.stream import Stream

METHODS = ("thompson", "epsilon")
LOSSES = {1: 0.30, 2: 0.25, 3: 0.35}
CHAMPION = Champion(version=1, task="classification", metric="brier", classes=(False, True))


def outcomes_of(version: int, losses: list[np.ndarray], weights: list[np.ndarray]) -> ev.ArmOutcome:
    loss, weight = np.concatenate(losses), np.concatenate(weights)
    mean = float((loss * weight).sum() / weight.sum()) if len(loss) else None
    size = float(weight.sum() ** 2 / (weight**2).sum()) if len(loss) else 0.0
    return ev.ArmOutcome(version=version, rows=len(loss), loss=mean, weight=size)


def regret(plan: deploy.Bandit | None, seed: int, looks: int = 50, rows: int = 200) -> tuple[float, float]:
    """Extra loss of three simulated arms over always taking the best, and the smallest share that an arm had."""
    rng, given, least = np.random.default_rng(seed), dict.fromkeys(LOSSES, 1 / 3), 1.0
    losses: dict[int, list[np.ndarray]] = {version: [] for version in LOSSES}
    weights: dict[int, list[np.ndarray]] = {version: [] for version in LOSSES}
    extra = 0.0
    for _ in range(looks):
        drawn = rng.choice(list(given), size=rows, p=np.array(list(given.values())) / sum(given.values()))
        for version, share in given.items():
            count = int((drawn == version).sum())
            losses[version].append((rng.random(count) < LOSSES[version]).astype(float))
            weights[version].append(np.full(count, 1 / share))
            extra += count * (LOSSES[version] - min(LOSSES.values()))
        if plan is not None:
            given = shares(plan, [outcomes_of(version, losses[version], weights[version]) for version in LOSSES])
        least = min(least, *given.values())
    return extra, least


@pytest.mark.parametrize("method", METHODS)
def test_a_bandit_loses_less_than_a_fixed_split_and_keeps_its_floor(method) -> None:
    plan = deploy.Bandit(method=method, floor=0.05)
    fixed = [regret(None, seed)[0] for seed in range(30)]
    played = [regret(plan, seed) for seed in range(30)]
    assert np.mean([extra for extra, _ in played]) < 0.6 * np.mean(fixed)
    assert sum(extra < other for (extra, _), other in zip(played, fixed, strict=True)) >= 28
    assert min(least for _, least in played) >= 0.05 - 1e-9


def play(driver: Driver, plan: deploy.Bandit, folder: Path, error: float, hours: int) -> None:
    """Hours of traffic that is divided as the ledger says, judged every hour on each version's own rows."""
    stream, traffic = Stream(folder), Traffic(folder)
    for _ in range(hours):
        recorded, trial = driver.ledger.arms("loop"), driver.feed.state.trial
        assert recorded is not None
        if trial is None:
            return
        stream.block(driver.now, 400, recorded.event.arms, {1: 0.1, 2: error})  # type: ignore[union-attr]
        traffic.take()
        outcomes, now = traffic.outcomes(since=trial.started), driver.now + timedelta(hours=1)
        settings = deploy.JudgeSettings(config=plan, least_share=deploy.least_share(plan))
        driver.observe(judgement=deploy.judge_trial(CHAMPION, 2, outcomes, now, settings))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("error", "state"), [(0.16, "rolled_back"), (0.04, "champion")])
def test_a_loop_with_a_bandit_moves_traffic_by_events_and_then_decides(tmp_path, method, error, state) -> None:
    plan = deploy.Bandit(method=method, floor=0.1, epsilon=0.2, rows=400)
    driver = Driver(plan=plan)
    driver.first_champion()
    driver.register()
    assert driver.state_of(2) == "bandit"
    play(driver, plan, tmp_path, error, hours=60)
    assert driver.state_of(2) == state
    set_ = [one.event for one in driver.ledger.events(kinds=(ev.ArmsSet,))]
    given = [arm.share for event in set_ for arm in event.arms if arm.role == "bandit"]  # type: ignore[union-attr]
    assert given[0] == 0.5
    assert min(given) < 0.3 if state == "rolled_back" else max(given) > 0.7
    assert all(0.1 - 1e-9 <= share <= 0.9 + 1e-9 for share in given)
    again = [(seq, decision.decided) for seq, decision in replayed(driver.rules, driver.ledger.events())]
    assert again == decided(driver.ledger.events())
    answered = [
        row for one in LogReader(tmp_path).read().records if isinstance(one, PredictionRecord) for row in one.rows
    ]
    # What is logged is the probability with which the arm was chosen: by it, both arms are asked as often as they were.
    assert {round(row.propensity, 6) for row in answered if row.arm == 2} <= {round(share, 6) for share in given}
    mine = np.array([row.arm == 2 for row in answered])
    expected = np.array([row.propensity if row.arm == 2 else 1 - row.propensity for row in answered])
    assert abs(mine.sum() - expected.sum()) < 4 * np.sqrt((expected * (1 - expected)).sum())


def test_the_weights_undo_what_moving_shares_do_to_a_mean() -> None:
    # Mornings are hard and evenings are easy; the challenger gets few mornings and many evenings, and is no better.
    rng, n = np.random.default_rng(1), 20_000
    evening = np.arange(n) >= n // 2
    share = np.where(evening, 0.9, 0.1)
    mine = rng.random(n) < share
    loss = (rng.random(n) < np.where(evening, 0.1, 0.4)).astype(float)
    plain = loss[mine].mean() - loss[~mine].mean()
    judged = judge_drawn(Drawn(challenger=mine, share=share, loss=loss, least=loss, greatest=loss), least_share=0.1)
    assert plain < -0.2
    assert judged.difference is not None
    assert abs(judged.difference) < 0.03
    assert judged.low < 0 < judged.high
    assert max(judged.e_harm, judged.e_benefit) < 20
    worse = np.clip(loss + 0.05 * mine, 0, 1)
    assert (
        judge_drawn(Drawn(challenger=mine, share=share, loss=worse, least=worse, greatest=worse), least_share=0.1).low
        > 0
    )


def test_a_draft_of_one_ranking_favours_neither_side_at_any_position() -> None:
    ranking = [f"item {place}" for place in range(10)]
    drafts = [team_draft(ranking, ranking, f"user {number}", salt="a") for number in range(4_000)]
    assert all(draft.items == tuple(ranking) for draft in drafts)
    for place in range(10):
        share = np.mean([draft.teams[place] == "challenger" for draft in drafts])
        assert abs(share - 0.5) < 0.035, place
    # Users choose what stands on top, whoever put it there: nobody wins by that.
    rng = np.random.default_rng(2)
    picks = rng.geometric(0.4, size=len(drafts)) - 1
    credits_ = [credit(draft, draft.items[pick : pick + 1]) for draft, pick in zip(drafts, picks, strict=True)]
    assert verdict(credits_).verdict == "continue"
    assert abs(sum(new - old for old, new in credits_)) < 4 * np.sqrt(len(drafts))


def test_a_thousand_drafts_of_one_ranking_hardly_ever_find_a_winner() -> None:
    ranking, rng, found = list(range(5)), np.random.default_rng(3), Counter[str]()
    teams = [team_draft(ranking, ranking, f"user {number}", salt="b", length=5) for number in range(3_000)]
    for _ in range(1_000):
        shown = rng.choice(len(teams), size=500)
        clicks = rng.integers(0, 5, size=500)
        found[verdict([credit(teams[one], [click]) for one, click in zip(shown, clicks, strict=True)]).verdict] += 1
    assert found["roll_back"] <= 10
    assert found["promote"] <= 50


def test_the_better_ranking_wins_and_the_list_stays_with_its_user() -> None:
    good, bad = [1, 2, 3, 4, 5], [5, 4, 3, 2, 1]
    drafts = [team_draft(bad, good, f"user {number}", salt="c", length=4) for number in range(600)]
    assert drafts == [team_draft(bad, good, f"user {number}", salt="c", length=4) for number in range(600)]
    assert verdict([credit(draft, [1, 2]) for draft in drafts]).verdict == "promote"
    assert verdict([credit(draft, [5, 4]) for draft in drafts]).verdict == "roll_back"


def test_a_ranking_that_ends_early_leaves_the_rest_to_nobody() -> None:
    draft = team_draft(["a"], ["a", "b", "c", "d"], "user", salt="d", length=4)
    assert set(draft.items) == {"a", "b", "c", "d"}
    assert credit(draft, ["c", "d"])[0] == 0
    assert credit(Draft(("a",), (None,)), ["a"]) == (0, 0)
