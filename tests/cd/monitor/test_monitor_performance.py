"""Performance on matured labels, beside persistence and majority."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from homeostat.cd.labels.maturity import Maturity
from homeostat.cd.labels.values import coded_labels
from homeostat.cd.monitor.performance import Champion, Outcomes, Window, measure
from homeostat.core.stats.profile import Profile

START = np.datetime64("2013-03-01T00:00", "us")
LATER = datetime(2013, 6, 1, tzinfo=UTC)
BINARY = Champion(version=1, task="classification", metric="accuracy", classes=(0, 1), references={1: 0.9})


def outcomes(labels, predictions, *, delay=0, step=60, **more):
    times = START + np.arange(len(labels)) * np.timedelta64(step, "s")
    label_times = times + np.timedelta64(delay, "s")
    return Outcomes(times=times, label_times=label_times, labels=np.array(labels), predictions=predictions, **more)


def scores(positive):
    positive = np.asarray(positive, dtype=float)
    return np.stack([1 - positive, positive], axis=1)


def test_the_champion_comes_first_and_every_version_is_measured():
    labels = [0, 1] * 50
    found = measure(BINARY, outcomes(labels, {7: scores([0.1] * 100), 1: scores(labels)}), LATER)
    assert [(one.version, one.value, one.reference) for one in found] == [(1, 1.0, 0.9), (7, 0.5, None)]


def test_persistence_is_the_label_before():
    labels = [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]
    [found] = measure(BINARY, outcomes(labels, {1: scores([0.0] * 10)}), LATER)
    assert found.persistence == 0.8
    assert found.majority == found.value == 0.7
    assert found.kappa_per == pytest.approx((0.7 - 0.8) / (1 - 0.8))


def test_persistence_knows_only_labels_that_had_arrived():
    labels = [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]
    prompt, late = (outcomes(labels, {1: scores([0.0] * 12)}, delay=delay) for delay in (0, 60))
    tardy = outcomes(labels, {1: scores([0.0] * 12)}, delay=120)
    values = [measure(BINARY, one, LATER)[0].persistence for one in (prompt, late, tardy)]
    assert values[0] == values[1]
    assert values[2] < 0.2 < values[0]


def test_rows_that_a_version_did_not_predict_are_left_out_for_it():
    labels = [0, 1] * 20
    partly = scores(labels)
    partly[::4] = np.nan
    found = measure(BINARY, outcomes(labels, {1: scores(labels), 2: partly}), LATER)
    assert [one.n for one in found] == [40, 30]


def test_labels_that_the_model_does_not_know_are_left_out():
    [found] = measure(BINARY, outcomes([0, 1, 9, None], {1: scores([0, 1, 1, 1])}), LATER)
    assert (found.n, found.value) == (2, 1.0)


def test_one_class_has_no_auc():
    champion = Champion(version=1, task="classification", metric="roc_auc", classes=(0, 1))
    [found] = measure(champion, outcomes([1] * 30, {1: scores(np.linspace(0, 1, 30))}), LATER)
    assert (found.value, found.low, found.kappa_per) == (None, None, None)


def test_the_latest_rows_count():
    labels = [0] * 50 + [1] * 50
    [found] = measure(BINARY, outcomes(labels, {1: scores([1.0] * 100)}), LATER, Window(rows=50))
    assert (found.n, found.value) == (50, 1.0)


def test_thinly_labelled_cohorts_are_left_out():
    data = outcomes([1] * 120, {1: scores([1.0] * 120)})
    data.label_times[:50] = np.datetime64("NaT")
    window = Window(maturity=Maturity(wait=timedelta(hours=1)))
    assert measure(BINARY, data, LATER, window)[0].n == 60


def test_regression_is_measured_in_its_own_units():
    champion = Champion(version=1, task="regression", metric="mae")
    labels = np.arange(100.0)
    [found] = measure(champion, outcomes(labels, {1: labels + 2}), LATER)
    assert (found.value, found.persistence, found.greater_is_better) == (2.0, pytest.approx(1.485), False)
    assert found.kappa_per == pytest.approx((2.0 - 1.485) / -1.485)


def test_string_labels_are_classes():
    champion = Champion(version=1, task="classification", metric="accuracy", classes=("no", "yes"))
    [found] = measure(champion, outcomes(["no", "yes", "yes"], {1: scores([0, 1, 0])}), LATER)
    assert found.value == pytest.approx(2 / 3)


def test_nothing_matured_is_nothing_measured():
    assert measure(BINARY, outcomes([0, 1], {1: scores([0, 1])}, delay=86_400), datetime(2013, 3, 1, tzinfo=UTC)) == []
    empty = Outcomes(
        times=START + np.arange(0), label_times=START + np.arange(0), labels=[], predictions={1: scores([])}
    )
    assert measure(BINARY, empty, LATER) == []


@pytest.mark.parametrize(
    ("classes", "given", "coded"),
    [
        ((0, 1), [0, 1, "late", None, 2], [0, 1, np.nan, np.nan, np.nan]),
        ((False, True), [True, 0, "x"], [1, 0, np.nan]),
        (("late", "on time"), ["late", 3, "on time"], [0, np.nan, 1]),
        (("1", "true"), [1, True, "1", 1.5], [0, 1, 0, np.nan]),
        (None, [1, 2.5, "late", 10**400, None], [1, 2.5, np.nan, np.nan, np.nan]),
    ],
)
def test_one_label_of_another_type_spoils_no_other(classes, given, coded):
    np.testing.assert_array_equal(coded_labels(given, classes), coded)


def test_a_label_that_is_known_later_is_not_measured():
    data = outcomes([1] * 4, {1: scores([1.0] * 4)})
    data.label_times[2] = np.datetime64("2013-06-01T00:00:01", "us")
    data.label_times[3] = np.datetime64("2013-06-01T00:00:00", "us")
    window = Window(maturity=Maturity(wait=timedelta(hours=1)))
    assert measure(BINARY, data, LATER, window)[0].n == 3


def test_rows_are_measured_from_whole_cohorts_alone():
    data = outcomes([1] * 120, {1: scores([0.0] * 60 + [1.0] * 60)}, delay=10)
    data.label_times[:30] = np.datetime64("2013-05-01", "us")
    now = datetime(2013, 3, 1, 12, tzinfo=UTC)
    assert measure(BINARY, data, now, Window(label_share=0.0)) == []
    short = Window(label_share=0.0, maturity=Maturity(wait=timedelta(hours=1)))
    assert measure(BINARY, data, now, short)[0].n == 90
    assert measure(BINARY, data, now, Window(label_share=0.5, maturity=Maturity(wait=timedelta(hours=1))))[0].n == 90
    thin = Window(label_share=0.51, maturity=Maturity(wait=timedelta(hours=1)))
    assert (measure(BINARY, data, now, thin)[0].n, measure(BINARY, data, now, thin)[0].value) == (60, 1.0)


def test_the_latest_rows_are_those_that_were_asked_last():
    labels = [0] * 50 + [1] * 50
    data = outcomes(labels, {1: scores([1.0] * 100)})
    turned = Outcomes(
        times=data.times[::-1],
        label_times=data.label_times[::-1],
        labels=data.labels[::-1],
        predictions=data.predictions,
    )
    [found] = measure(BINARY, turned, LATER, Window(rows=50))
    assert (found.n, found.value) == (50, 1.0)


def test_what_was_answered_counts_and_not_what_scores_highest():
    data = outcomes(
        [1, 1, 0, 0], {1: scores([0.4, 0.4, 0.1, 0.1])}, values={1: np.array([1, 1, 0, None], dtype=object)}
    )
    assert measure(BINARY, data, LATER)[0].value == 1.0


def test_a_loss_of_a_regression_is_a_share_of_four_deviations_unless_it_is_told():
    assert Champion(version=1, task="regression", metric="mae").loss_scale == 1.0
    assert Champion(version=1, task="regression", metric="mae", scale=3.0).loss_scale == 3.0
    usual = np.array([0.0, 10.0] * 500)
    profile = Profile.of(pl.DataFrame({"x": usual}), prediction=usual)
    measured = Champion(version=1, task="regression", metric="mae", profile=profile).loss_scale
    assert measured == pytest.approx(20.0, rel=0.01)


def test_the_interval_is_as_wide_as_it_is_asked_to_be():
    rng = np.random.default_rng(0)
    data = outcomes(rng.integers(0, 2, 400), {1: scores(rng.random(400))})
    wide, narrow = (measure(BINARY, data, LATER, Window(confidence=one))[0] for one in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(2.576 / 1.282, rel=0.05)
