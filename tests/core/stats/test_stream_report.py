"""A stream report never hides that repeating the last label would do as well."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from homeostat.cd.monitor.performance import Champion, Outcomes, measure
from homeostat.ci.evaluate.baselines import persistence
from homeostat.core.model import Predictions
from homeostat.core.stats.prequential import baseline_predictions, last_known, stream_report
from homeostat.core.table.spec import TableSpec

HOUR = 3_600_000_000
TIMES = np.arange(6, dtype=np.int64) * HOUR
LABELS = np.array([1, 0, 0, 1, 1, 0])


def test_a_label_that_arrives_as_the_next_row_is_asked_counts_and_its_own_never_does():
    assert last_known(TIMES[:3], TIMES[:3] + HOUR).tolist() == [-1, 0, 1]
    assert last_known(TIMES[:3], TIMES[:3] + HOUR + 1).tolist() == [-1, -1, 0]
    assert last_known(TIMES[:3], TIMES[:3]).tolist() == [-1, 0, 1]
    assert last_known(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)).tolist() == [-1, -1, -1]


def test_everybody_who_measures_persistence_repeats_the_same_label():
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 60, 200)) * HOUR
    known = times + rng.integers(0, 5, 200) * HOUR
    labels = rng.integers(0, 2, 200)
    last = last_known(times, known)
    told = last >= 0
    frame = pl.DataFrame({"at": times, "known": known, "y": labels}).with_columns(
        pl.col("at", "known").cast(pl.Datetime("us", "UTC"))
    )
    spec = TableSpec(time="at", target="y", label_time="known")
    tested = persistence(frame.head(100), frame.tail(100), spec, (0, 1))
    streamed, _ = baseline_predictions(labels, times, known, (0, 1))
    said = {1: np.eye(2)[labels]}
    assert tested.value.tolist() == labels[last[100:]].tolist()
    assert streamed.value[told].tolist() == labels[last[told]].tolist()
    first = np.flatnonzero(told)[0]
    assert streamed.value[:first].tolist() == [0] * first
    champion = Champion(version=1, task="classification", metric="accuracy", classes=(0, 1))
    whole = Outcomes(times=times, label_times=known, labels=labels, predictions=said)
    found = measure(champion, whole, datetime(1980, 1, 1, tzinfo=UTC))[0]
    usual = np.bincount(labels).argmax()
    repeated = np.where(told, labels[last], usual)
    assert found.persistence == pytest.approx((repeated == labels).mean())


def test_persistence_repeats_the_label_that_was_known():
    last, _ = baseline_predictions(LABELS, TIMES, None, (0, 1))
    assert last.value.tolist() == [0, 1, 0, 0, 1, 1]


def test_late_labels_are_repeated_only_once_they_are_known():
    last, _ = baseline_predictions(LABELS, TIMES, TIMES + 2 * HOUR, (0, 1))
    assert last.value.tolist() == [0, 0, 1, 0, 0, 1]


def test_majority_counts_only_what_was_known():
    _, majority = baseline_predictions(np.array([1, 0, 0, 0, 1, 1]), TIMES, None, (0, 1))
    assert majority.value.tolist() == [0, 1, 0, 0, 0, 0]


def test_numbers_are_compared_with_the_last_and_the_mean():
    last, mean = baseline_predictions(np.array([1.0, 3.0, 8.0]), TIMES[:3], None, None)
    assert last.value.tolist() == [0.0, 1.0, 3.0]
    assert mean.value.tolist() == [0.0, 1.0, 2.0]


def test_a_worse_model_gets_a_negative_kappa_and_is_told_so():
    labels = np.repeat([0, 1], 500)
    said = np.where(np.arange(1000) % 5 == 0, 1 - labels, labels)
    report = stream_report(labels, Predictions(said, np.eye(2)[said]), times=np.arange(1000), classes=(0, 1))
    assert report.persistence == pytest.approx(0.999)
    assert report.value == pytest.approx(0.8)
    assert report.kappa_per < 0
    assert "repeating the last label" in report.verdict
    assert "as good as or beats" in report.verdict


def test_warm_up_rows_inform_the_baselines_and_are_not_counted():
    said = Predictions(LABELS, np.eye(2)[LABELS])
    report = stream_report(LABELS, said, times=TIMES, classes=(0, 1), since=3)
    assert (report.rows, report.value, report.persistence) == (3, 1.0, pytest.approx(1 / 3))
