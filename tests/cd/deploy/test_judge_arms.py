"""Arms that are judged by the rows that fate gave them: weights, bounds of what is missing, and whose rows count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.cd.deploy.judge import JudgeConfig
from homeostat.cd.deploy.randomised import Drawn, divided, judge_drawn, sample_ratio, sample_ratio_of
from homeostat.cd.deploy.trial import JudgeSettings, judge_trial
from homeostat.cd.labels.maturity import Maturity
from homeostat.cd.monitor.performance import Champion, Outcomes
from homeostat.core.errors import DataError
from homeostat.core.events import Signal
from tests.cd.plain_evidence import covered, wagered

START = np.datetime64("2013-03-01T00:00", "us")
LATER = datetime(2013, 6, 1, tzinfo=UTC)
CHAMPION = Champion(version=1, task="classification", metric="accuracy", classes=(0, 1))
RULE = JudgeConfig(harm=0.1, margin=0.05, minimum_pairs=40, confidence=0.9, dependence=2.0)
WAIT = Maturity(wait=timedelta(hours=1))


def draws(seed, rows=120, hidden=0.1):
    """Rows of which the challenger is much worse, or of an odd seed much better, and some have no label."""
    rng = np.random.default_rng(seed)
    share = rng.choice([0.3, 0.5, 0.8], rows)
    mine = rng.random(rows) < share
    loss = 0.3 * rng.random(rows) + 0.6 * (mine == (seed % 2 == 0))
    return Drawn(
        challenger=mine,
        share=share,
        loss=np.where(rng.random(rows) < hidden, np.nan, loss),
        least=rng.uniform(0, 0.3, rows),
        greatest=rng.uniform(0.5, 1, rows),
    )


def payoffs(drawn, bound):
    """What each row says of the challenger's loss minus the champion's, a missing label at one of its bounds."""
    total, rows, found = 0.5, 1, []
    for mine, share, loss, least, greatest in zip(
        drawn.challenger, drawn.share, drawn.loss, drawn.least, drawn.greatest, strict=True
    ):
        center = total / rows
        # What is least for the difference is the least loss of the challenger and the greatest of the champion.
        stands = loss if not np.isnan(loss) else (least if mine == (bound == "least") else greatest)
        found.append((stands - center) / share if mine else -(stands - center) / (1 - share))
        if not np.isnan(loss):
            total, rows = total + loss, rows + 1
    return np.array(found)


@pytest.mark.parametrize("seed", range(4))
def test_arms_are_judged_by_weighted_losses_row_by_row(seed):
    drawn = draws(seed)
    lesser, least_share = np.minimum(drawn.share, 1 - drawn.share), 0.2
    low, high = payoffs(drawn, "least"), payoffs(drawn, "greatest")
    found = judge_drawn(drawn, RULE, least_share=least_share)
    # A bet on `weighted difference > line` is scaled so that no payoff is less than -1.
    _, harm = wagered(lesser * (low - 0.1) / (1 + lesser * 0.1), 0.0, 0, 0.5)
    _, benefit = wagered(lesser * (0.05 - high), 0.0, 40, 0.5)
    assert np.log(found.e_harm) == pytest.approx(harm, abs=1e-9)
    assert max(harm, benefit) > 1
    if benefit > 0:
        assert np.log(found.e_benefit) == pytest.approx(benefit, abs=1e-9)
    lower = covered((least_share * low + 1) / 2, 0.1, 2.0)[0]
    upper = covered((least_share * high + 1) / 2, 0.1, 2.0)[1]
    ends = max(-1.0, (2 * lower - 1) / least_share), min(1.0, (2 * upper - 1) / least_share)
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-9)
    assert found.pairs == len(drawn.loss)


@pytest.mark.parametrize("seed", range(4))
def test_what_came_of_each_arm_is_a_weighted_mean_and_its_effective_size(seed):
    drawn = draws(seed)
    found = judge_drawn(drawn, RULE, champion=7, challenger=8, least_share=0.2)
    assert [arm.version for arm in found.arms] == [7, 8]
    for arm, mine, share in zip(found.arms, (False, True), (1 - drawn.share, drawn.share), strict=True):
        own = (drawn.challenger == mine) & ~np.isnan(drawn.loss)
        weights = 1 / share[own]
        assert arm.rows == own.sum()
        assert arm.loss == pytest.approx((weights * drawn.loss[own]).sum() / weights.sum())
        assert arm.weight == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
        assert arm.weight < arm.rows
    assert found.difference == pytest.approx(found.arms[1].loss - found.arms[0].loss)


def test_an_arm_without_labels_has_no_mean():
    nothing = np.full(20, np.nan)
    mine = np.arange(20) % 2 == 0
    found = judge_drawn(
        Drawn(challenger=mine, share=np.full(20, 0.5), loss=nothing, least=np.zeros(20), greatest=np.ones(20))
    )
    assert [(arm.rows, arm.loss, arm.weight) for arm in found.arms] == [(0, None, 0.0)] * 2
    assert (found.difference, found.verdict) == (None, "continue")


def test_no_arm_is_promoted_on_fewer_rows_than_the_minimum():
    def verdict(rows):
        mine = np.arange(rows) % 2 == 0
        loss = np.where(mine, 0.0, 1.0)
        given = Drawn(challenger=mine, share=np.full(rows, 0.5), loss=loss, least=loss, greatest=loss)
        return judge_drawn(given, JudgeConfig(minimum_pairs=60)).verdict

    assert (verdict(59), verdict(60)) == ("continue", "promote")


def test_early_luck_of_an_arm_that_is_lost_again_promotes_nobody():
    mine, lucky = np.arange(300) % 2 == 0, np.arange(300) < 60
    loss = np.where(lucky, ~mine, mine).astype(float)
    given = Drawn(challenger=mine, share=np.full(300, 0.5), loss=loss, least=loss, greatest=loss)
    first = Drawn(**{name: getattr(given, name)[:60] for name in Drawn.__struct_fields__})
    assert judge_drawn(first, JudgeConfig(minimum_pairs=60)).verdict == "promote"
    assert judge_drawn(given, JudgeConfig(harm=0.9, minimum_pairs=200)).verdict == "continue"


def test_rows_after_the_horizon_are_not_looked_at():
    drawn = draws(0)
    first = Drawn(**{name: getattr(drawn, name)[:50] for name in Drawn.__struct_fields__})
    assert judge_drawn(drawn, JudgeConfig(horizon=50), least_share=0.2) == judge_drawn(
        first, JudgeConfig(horizon=50), least_share=0.2
    )


@pytest.mark.parametrize(("share", "least"), [(0.1, 0.2), (0.9, 0.2), (0.5, 0.6), (0.5, 0.0)])
def test_a_share_less_than_the_least_is_refused(share, least):
    one = np.ones(1)
    with pytest.raises(DataError, match="share"):
        judge_drawn(Drawn(challenger=one > 0, share=one * share, loss=one, least=one, greatest=one), least_share=least)


@pytest.mark.parametrize("hidden_of", [1, 2])
def test_labels_that_are_missing_on_one_arm_prove_nothing_against_the_other(hidden_of):
    """Each arm's losses get lost on that arm alone: what is left makes it look better than it is."""
    rng = np.random.default_rng(5)
    verdicts = []
    for _ in range(20):
        mine = rng.random(3_000) < 0.5
        loss = (rng.random(3_000) < 0.3).astype(float)
        lost = (mine == (hidden_of == 2)) & (loss == 1) & (rng.random(3_000) < 0.7)
        given = Drawn(
            challenger=mine,
            share=np.full(3_000, 0.5),
            loss=np.where(lost, np.nan, loss),
            least=np.zeros(3_000),
            greatest=np.ones(3_000),
        )
        verdicts.append(judge_drawn(given, JudgeConfig(margin=0.0)).verdict)
    assert verdicts.count("promote" if hidden_of == 2 else "roll_back") <= 1


def trial(rows=60, *, seed=0, arms=(1, 2), propensity=0.5, leads=None, label_after=60):
    rng = np.random.default_rng(seed)
    times = START + np.arange(rows) * np.timedelta64(60, "s")
    positive = {version: rng.uniform(0.1, 0.9, rows) for version in (1, 2)}
    return Outcomes(
        times=times,
        label_times=times + np.timedelta64(label_after, "s"),
        labels=(rng.random(rows) < 0.5).astype(int),
        predictions={version: np.stack([1 - one, one], axis=1) for version, one in positive.items()},
        arms=rng.choice(arms, rows),
        propensities=np.full(rows, propensity),
        leads=np.ones(rows, dtype=bool) if leads is None else leads,
    )


def brier(outcomes, rows, label):
    """Loss of whoever answered each row, were this its label."""
    scores = np.stack(
        [outcomes.predictions[version][row, 1] for row, version in zip(rows, outcomes.arms[rows], strict=True)]
    )
    return (scores - label) ** 2


def by_hand(outcomes, rows, hidden=()):
    loss = brier(outcomes, rows, outcomes.labels[rows])
    loss[list(hidden)] = np.nan
    both = np.stack([brier(outcomes, rows, 0), brier(outcomes, rows, 1)])
    mine = outcomes.arms[rows] == 2
    share = np.where(mine, outcomes.propensities[rows], 1 - outcomes.propensities[rows])
    return Drawn(challenger=mine, share=share, loss=loss, least=both.min(axis=0), greatest=both.max(axis=0))


def same(found, expected):
    assert found.pairs == expected.pairs
    for name in ("e_harm", "e_benefit", "low", "high", "difference"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-9), name
    assert found.arms == expected.arms


def test_a_trial_is_judged_by_the_loss_of_whoever_answered_within_what_its_label_could_be():
    outcomes = trial()
    hidden = [3, 4, 17, 30]
    outcomes.label_times[hidden] = np.datetime64("NaT")
    judged = judge_trial(CHAMPION, 2, outcomes, LATER, JudgeSettings(config=RULE, maturity=WAIT, least_share=0.5))
    expected = judge_drawn(by_hand(outcomes, np.arange(60), hidden), RULE, champion=1, challenger=2)
    same(judged, expected)
    assert (judged.champion, judged.challenger, judged.matured) == (1, 2, 60)


def test_a_label_that_is_known_later_is_missing_now():
    outcomes = trial()
    outcomes.label_times[5] = np.datetime64("2013-06-01T00:00:01", "us")
    outcomes.label_times[6] = np.datetime64("2013-06-01T00:00:00", "us")
    same(
        judge_trial(CHAMPION, 2, outcomes, LATER, JudgeSettings(config=RULE, maturity=WAIT, least_share=0.5)),
        judge_drawn(by_hand(outcomes, np.arange(60), [5]), RULE, champion=1, challenger=2),
    )


def test_only_matured_rows_are_judged_in_the_order_of_their_requests():
    outcomes = trial(180)
    now = datetime(2013, 3, 1, 2, 30, tzinfo=UTC)
    order = np.random.default_rng(1).permutation(180)
    shuffled = Outcomes(
        **{name: getattr(outcomes, name)[order] for name in ("times", "label_times", "labels", "arms", "propensities")},
        predictions={version: scores[order] for version, scores in outcomes.predictions.items()},
        leads=outcomes.leads,
    )
    judged = judge_trial(CHAMPION, 2, shuffled, now, JudgeSettings(config=RULE, least_share=0.5))
    same(judged, judge_drawn(by_hand(outcomes, np.arange(119 + 1)), RULE, champion=1, challenger=2))
    assert judged.matured == 120


def test_shares_that_differ_weigh_each_row_by_its_own():
    outcomes = trial(propensity=0.0)
    outcomes.propensities[:] = np.where(outcomes.arms == 2, 0.3, 0.7)
    same(
        judge_trial(CHAMPION, 2, outcomes, LATER, JudgeSettings(config=RULE, least_share=0.3)),
        judge_drawn(by_hand(outcomes, np.arange(60)), RULE, champion=1, challenger=2, least_share=0.3),
    )


def test_guardrails_stop_arms_too():
    alarm = Signal(kind="service_fault", subject="challenger errors", value=0.2, n=100, alarmed=True)
    judged = judge_trial(CHAMPION, 2, trial(), LATER, JudgeSettings(guardrails=(alarm,), least_share=0.5))
    assert (judged.verdict, judged.guardrails) == ("roll_back", (alarm,))


def test_rows_that_no_draw_decided_count_for_nobody():
    outcomes = trial(6)
    outcomes.arms[:] = [1, 2, 3, 1, 2, 2]
    outcomes.propensities[:] = [0.5, 0.5, 0.5, 1.0, 0.0, 0.5]
    outcomes.leads[:] = [True, False, True, True, True, True]
    assert divided(1, 2, outcomes).tolist() == [True, True, False, False, False, True]
    assert divided(1, 2, outcomes, by_request=True).tolist() == [True, False, False, False, False, True]
    assert judge_trial(CHAMPION, 2, outcomes, LATER, JudgeSettings(least_share=0.5)).pairs == 3
    assert judge_trial(CHAMPION, 2, outcomes, LATER, JudgeSettings(by_request=True, least_share=0.5)).pairs == 2
    assert sample_ratio_of(1, 2, outcomes).n == 3
    assert sample_ratio_of(1, 2, outcomes, by_request=True).n == 2


def test_an_answer_that_is_no_number_costs_the_arm_that_gave_it_everything():
    outcomes = trial()
    outcomes.predictions[2][7] = np.nan
    outcomes.arms[7] = 2
    found = judge_trial(CHAMPION, 2, outcomes, LATER, JudgeSettings(least_share=0.5))
    own = by_hand(outcomes, np.arange(60))
    own.loss[7] = 1.0
    assert found.arms[1].loss == pytest.approx(own.loss[own.challenger].mean())


def test_a_version_that_never_scored_is_bounded_by_nothing_better_than_all_losses():
    outcomes = trial()
    del outcomes.predictions[2]
    found = judge_trial(CHAMPION, 2, outcomes, LATER, JudgeSettings(least_share=0.5))
    assert (found.arms[1].rows, found.arms[1].loss, found.verdict) == (0, None, "continue")


def test_losses_of_a_regression_are_from_nothing_to_one():
    outcomes = trial(20)
    outcomes.predictions.update({1: np.full(20, 0.2), 2: np.full(20, 0.4)})
    outcomes.label_times[::5] = np.datetime64("NaT")
    champion = Champion(version=1, task="regression", metric="mae", scale=2.0)
    loss = np.abs(np.where(outcomes.arms == 2, 0.4, 0.2) - outcomes.labels) / 2.0
    loss[::5] = np.nan
    expected = Drawn(
        challenger=outcomes.arms == 2, share=np.full(20, 0.5), loss=loss, least=np.zeros(20), greatest=np.ones(20)
    )
    same(
        judge_trial(champion, 2, outcomes, LATER, JudgeSettings(maturity=WAIT, least_share=0.5)),
        judge_drawn(expected, champion=1, challenger=2),
    )


@pytest.mark.parametrize("share", [0.5, 0.1, 0.7])
@pytest.mark.parametrize("lost", [True, False])
def test_a_sample_ratio_is_two_bets_that_share_their_proof(share, lost):
    rng = np.random.default_rng(7)
    mine = rng.random(400) < share * (0.6 if lost else 1.0)
    found = sample_ratio(mine, np.full(400, share))
    _, more = wagered((mine - share) / share, 0.0)
    _, fewer = wagered((share - mine) / (1 - share), 0.0)
    evidence = np.exp(max(more, fewer)) / 2
    assert found.alarmed == (evidence >= 1_000)
    assert f"(e = {evidence:.3g} of 1000)" in found.detail
    assert (found.value, found.threshold, found.n) == (pytest.approx(mine.mean()), pytest.approx(share), 400)


def test_the_sample_ratio_of_a_trial_is_about_the_challengers_share():
    outcomes = trial(400, seed=3)
    outcomes.arms[:] = np.where(np.random.default_rng(8).random(400) < 0.2, 2, 1)
    outcomes.propensities[:] = np.where(outcomes.arms == 2, 0.2, 0.8)
    found = sample_ratio_of(1, 2, outcomes)
    assert (found.threshold, found.alarmed) == (pytest.approx(0.2), False)
    assert found.value == pytest.approx((outcomes.arms == 2).mean())
