from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from homeostat import when
from homeostat.cd.deploy.paired import pairs
from homeostat.cd.deploy.trial import judge_trial
from homeostat.cd.labels.maturity import Maturity
from homeostat.cd.monitor import Champion, Outcomes
from homeostat.core.errors import LoopError
from homeostat.core.model import Predictions
from homeostat.core.stats.losses import LOSSES, Loss, loss_for
from homeostat.core.stats.metrics import METRICS, mean_of, score
from homeostat.engine.replay import replay
from tests.laws.toys import MISSES, STEPS_OFF
from tests.laws.world import history, loop_of

N = 1_200
CLASSES = ("no", "perhaps", "yes")
LATER = datetime(2026, 6, 1, tzinfo=UTC)
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))


def labels_for(loss: Loss) -> Any:
    """Labels of many rows, those of a classification with some that no model knows."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(50, 10, N)
        if loss.task == "regression"
        else rng.choice([*CLASSES, "who knows"], N, p=[0.3, 0.3, 0.38, 0.02])
    )


def answers(loss: Loss, labels: Any, seed: int, good: float) -> Predictions:
    """What a model says that is right in a share of the rows, and sometimes far off."""
    rng = np.random.default_rng(seed)
    if loss.task == "regression":
        return Predictions(np.where(rng.random(N) < good, labels, labels + rng.normal(0, 60, N)))
    places = np.searchsorted(CLASSES[:3], labels).clip(0, 2)
    scores = np.where((rng.random(N) < good)[:, None], np.eye(3)[places], rng.dirichlet(np.ones(3), N))
    return Predictions(np.array(CLASSES)[scores.argmax(axis=1)], scores)


def of(loss: Loss, labels: Any, said: Predictions) -> Any:
    """The loss of each row."""
    return loss.of(labels, said, classes=None if loss.task == "regression" else CLASSES, scale=10.0)


def versions(loss: Loss, good: float) -> tuple[Champion, Outcomes]:
    """A trial: the champion is right in half of the rows, the challenger in a share of them."""
    labels = labels_for(loss)
    said = {version: answers(loss, labels, version, share) for version, share in ((1, 0.5), (2, good))}
    times = np.datetime64("2026-01-01T00:00", "us") + np.arange(N) * np.timedelta64(60, "s")
    classes = None if loss.task == "regression" else CLASSES
    champion = Champion(version=1, task=loss.task, metric="loss", classes=classes, loss=loss.name, scale=10.0)
    scores = {version: one.value if one.score is None else one.score for version, one in said.items()}
    return champion, Outcomes(times=times, label_times=times, labels=labels, predictions=scores)


@every_loss
def test_no_row_leaves_the_declared_range(loss: Loss):
    labels = labels_for(loss)
    lost = of(loss, labels, answers(loss, labels, 1, 0.3))
    assert lost.shape == (N,)
    assert 0.0 <= lost.min() < lost.max() <= 1.0


@every_loss
def test_a_row_costs_the_same_among_any_others(loss: Loss):
    labels = labels_for(loss)
    said = answers(loss, labels, 1, 0.3)
    some = np.arange(0, N, 7)
    part = Predictions(said.value[some], None if said.score is None else said.score[some])
    assert of(loss, labels[some], part).tolist() == of(loss, labels, said)[some].tolist()


@every_loss
def test_the_truth_is_the_cheapest_answer(loss: Loss):
    labels = labels_for(loss)
    right = of(loss, labels, answers(loss, labels, 1, 1.0))
    known = np.isin(labels, CLASSES) | (loss.task == "regression")
    assert (right <= of(loss, labels, answers(loss, labels, 2, 0.3)))[known].all()
    assert (right[known] == 0.0).all()


@every_loss
def test_what_a_missing_label_could_change_bounds_what_it_does(loss: Loss):
    champion, outcomes = versions(loss, 0.2)
    known = pairs(champion, 2, outcomes, LATER)
    hidden = np.full(N, np.datetime64("NaT"), dtype="datetime64[us]")
    unknown = pairs(
        champion,
        2,
        Outcomes(times=outcomes.times, label_times=hidden, labels=outcomes.labels, predictions=outcomes.predictions),
        LATER,
        Maturity(wait=timedelta(hours=1)),
    )
    gap, there = known.challenger - known.champion, ~np.isnan(known.champion)
    assert np.isnan(unknown.champion).all()
    assert (unknown.least[there] <= gap[there] + 1e-12).all()
    assert (gap[there] <= unknown.greatest[there] + 1e-12).all()


@every_loss
@pytest.mark.parametrize(("good", "verdict"), [(0.95, "promote"), (0.02, "roll_back")])
def test_the_judge_goes_by_it(loss: Loss, good: float, verdict: str):
    champion, outcomes = versions(loss, good)
    judgement = judge_trial(champion, 2, outcomes, LATER)
    lost = {version: of(loss, *said(loss, outcomes, version)) for version in (1, 2)}
    known = np.isin(outcomes.labels, CLASSES) | (loss.task == "regression")
    assert judgement.verdict == verdict
    if loss.task == "regression":
        assert judgement.difference == pytest.approx((lost[2] - lost[1])[known].mean())


def said(loss: Loss, outcomes: Outcomes, version: int) -> tuple[Any, Predictions]:
    """Labels and a version's answers to them."""
    scores = outcomes.predictions[version]
    if loss.task == "regression":
        return outcomes.labels, Predictions(scores)
    return outcomes.labels, Predictions(np.array(CLASSES)[scores.argmax(axis=1)], scores)


@every_loss
def test_gates_may_ask_it_as_a_metric(loss: Loss):
    labels = labels_for(loss)
    metric = mean_of(loss)
    good, poor = (
        metric.compute(*truth_and_said(loss, labels, answers(loss, labels, 3, share)), None) for share in (0.9, 0.1)
    )
    assert not metric.greater_is_better
    assert loss.low <= good.value < poor.value <= loss.high
    assert poor.influence.sum() == pytest.approx(0.0, abs=1e-9)


def truth_and_said(loss: Loss, labels: Any, said: Predictions) -> tuple[Any, Any]:
    """What a loss of rows is of."""
    if said.score is None:
        return labels, said.value
    return np.array([CLASSES.index(one) if one in CLASSES else -1 for one in labels]), said.score


def test_a_loss_of_ones_own_counts_in_a_replay_and_as_a_metric(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(METRICS, MISSES.name, mean_of(MISSES))
    assert score("misses", [False, True, True], MISSED, (False, True)) == pytest.approx(11 / 3)
    assert METRICS["misses"].task == "classification"
    own, usual = (
        replay(*history(loss=name, metric="misses"), {"never": when.never()}, block="5d").results[0]
        for name in ("misses", None)
    )
    assert own.report.value == pytest.approx(5 * own.loss)
    assert 0.0 < own.loss < 1.0
    assert own.loss != usual.loss


MISSED = Predictions(np.array([True, False, False]), np.array([[0.2, 0.8], [0.9, 0.1], [0.6, 0.4]]))


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"loss": "brief"}, "there is no loss 'brief': did you mean 'brier'"),
        ({"loss": "absolute", "metric": "roc_auc"}, "'absolute' is a loss for regression.*brier"),
    ],
)
def test_a_loop_names_a_loss_that_there_is_for_its_task(declared: dict[str, Any], words: str):
    with pytest.raises(LoopError, match=words):
        loop_of(**declared)
    with pytest.raises(LoopError, match="makes this classification"):
        loss_for("classification", STEPS_OFF.name)
