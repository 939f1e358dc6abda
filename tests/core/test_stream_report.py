"""A stream report never hides that repeating the last label would do as well."""

from __future__ import annotations

import numpy as np
import pytest

from homeostat.core.model import Predictions
from homeostat.core.stream import baseline_predictions, stream_report

HOUR = 3_600_000_000
TIMES = np.arange(6, dtype=np.int64) * HOUR
LABELS = np.array([1, 0, 0, 1, 1, 0])


def test_persistence_repeats_the_label_that_was_known():
    last, _ = baseline_predictions(LABELS, TIMES, None, (0, 1))
    assert last.value.tolist() == [1, 1, 0, 0, 1, 1]


def test_late_labels_are_repeated_only_once_they_are_known():
    last, _ = baseline_predictions(LABELS, TIMES, TIMES + 2 * HOUR, (0, 1))
    assert last.value.tolist() == [1, 1, 1, 1, 0, 0]


def test_majority_counts_only_what_was_known():
    _, majority = baseline_predictions(np.array([1, 0, 0, 0, 1, 1]), TIMES, None, (0, 1))
    assert majority.value.tolist() == [1, 1, 0, 0, 0, 0]


def test_numbers_are_compared_with_the_last_and_the_mean():
    last, mean = baseline_predictions(np.array([1.0, 3.0, 8.0]), TIMES[:3], None, None)
    assert last.value.tolist() == [1.0, 1.0, 3.0]
    assert mean.value.tolist() == [1.0, 1.0, 2.0]


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
