"""What the monitor sees and which of it is an alarm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from homeostat.cd.monitor import Champion, MonitorConfig, Outcomes, ServiceCounts, observe
from homeostat.core.events import Observed
from homeostat.core.stats.profile import Profile

NOW = datetime(2013, 3, 8, tzinfo=UTC)
CLASSES = ("late", "on time")


def block(rows, *, seed, shift=0.0, flip=0.0):
    """Inputs, the champion's scores and labels of a two-class problem; `flip` of the labels turn."""
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1, rows)
    p = 1 / (1 + np.exp(-2 * x))
    turned = rng.random(rows) < flip
    labels = np.where((rng.random(rows) < p) ^ turned, "on time", "late")
    return pl.DataFrame({"x": x, "c": rng.choice(["a", "b"], rows)}), np.stack([1 - p, p], axis=1), labels


REFERENCE, SCORES, _ = block(5_000, seed=0)
CHAMPION = Champion(
    version=3,
    task="classification",
    metric="roc_auc",
    classes=CLASSES,
    profile=Profile.of(REFERENCE, prediction=SCORES[:, 1]),
    since=NOW - timedelta(days=7),
    references={3: 0.867},
)


def look(*, rows=2_000, seed=1, delay=3_600, now=NOW, service=None, config=None, champion=CHAMPION, **drift):
    frame, scores, labels = block(rows, seed=seed, **drift)
    times = np.datetime64("2013-03-01", "us") + np.arange(rows) * np.timedelta64(60, "s")
    label_times = times + np.timedelta64(delay, "s")
    outcomes = Outcomes(times=times, label_times=label_times, labels=labels, predictions={3: scores})
    return observe(
        "demo",
        now,
        champion,
        rows=frame,
        predictions=scores,
        outcomes=outcomes,
        service=service,
        newest=NOW - timedelta(hours=1),
        config=config,
    )


def alarms(seen):
    return {(signal.kind, signal.subject) for signal in seen.signals if signal.alarmed}


def signal(seen, kind, subject):
    return next(one for one in seen.signals if (one.kind, one.subject) == (kind, subject))


def test_a_quiet_week_alarms_nobody():
    seen = look(service=ServiceCounts(requests=2_000, errors=2, refused=10, latency=0.004))
    assert alarms(seen) == set()
    assert (seen.rows, seen.labelled, seen.now) == (2_000, 2_000, NOW)


def test_everything_that_was_looked_at_is_recorded():
    seen = look(service=ServiceCounts(requests=10))
    assert {(one.kind, one.subject) for one in seen.signals} == {
        ("value_drift", "x"),
        ("value_drift", "c"),
        ("prediction_drift", "prediction"),
        ("performance_drop", "roc_auc"),
        ("staleness", "champion"),
        ("staleness", "data"),
        ("service_fault", "errors"),
        ("service_fault", "invalid"),
        ("schema_skew", "refused"),
        ("new_data", "rows"),
        ("new_data", "labels"),
    }


def test_an_observation_survives_json():
    seen = look(service=ServiceCounts(requests=10, latency=0.1))
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Observed) == seen


def test_the_same_block_gives_the_same_observation():
    assert look() == look()


def test_moved_inputs_and_predictions_alarm():
    assert alarms(look(shift=1.5)) == {("value_drift", "x"), ("prediction_drift", "prediction")}


def test_turned_labels_are_a_performance_drop_and_no_drift():
    seen = look(flip=0.1)
    assert alarms(seen) == {("performance_drop", "roc_auc")}
    assert "at acceptance 0.867" in signal(seen, "performance_drop", "roc_auc").detail


def test_turned_labels_that_are_not_known_yet_alarm_nobody():
    seen = look(flip=0.5, delay=30 * 86_400)
    assert (alarms(seen), seen.performance, seen.labelled) == (set(), (), 0)


def test_a_drop_on_too_few_labels_alarms_nobody():
    assert alarms(look(rows=250, flip=0.3)) == set()


def test_without_a_reference_a_drop_cannot_be_told():
    unknown = msgspec.structs.replace(CHAMPION, references={})
    seen = look(flip=0.3, champion=unknown)
    assert alarms(seen) == set()
    assert signal(seen, "performance_drop", "roc_auc").threshold is None


def test_age_alarms():
    seen = look(config=MonitorConfig(stale_after=timedelta(days=6), silent_after=timedelta(minutes=30)))
    assert alarms(seen) == {("staleness", "champion"), ("staleness", "data")}
    assert signal(seen, "staleness", "data").value == 3_600.0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"errors": 60}, ("service_fault", "errors")),
        ({"invalid": 20}, ("service_fault", "invalid")),
        ({"refused": 80}, ("schema_skew", "refused")),
        ({"latency": 0.3}, ("service_fault", "latency")),
    ],
)
def test_service_faults_alarm(counts, expected):
    seen = look(service=ServiceCounts(requests=1_000, rows=1_000, **counts), config=MonitorConfig(latency=0.1))
    assert alarms(seen) == {expected}


def test_one_failed_request_of_ten_is_not_proof():
    assert alarms(look(service=ServiceCounts(requests=10, rows=10, errors=1, invalid=1, refused=1))) == set()


def test_a_loop_without_champion_or_traffic_can_be_observed():
    seen = observe("demo", NOW, None)
    assert (seen.rows, seen.labelled, seen.performance) == (0, 0, ())
    assert alarms(seen) == set()


def test_answers_that_are_no_numbers_show_as_prediction_drift():
    frame, scores, _ = block(1_000, seed=2)
    scores[:600] = np.nan
    assert alarms(observe("demo", NOW, CHAMPION, rows=frame, predictions=scores)) == {
        ("prediction_drift", "prediction")
    }


def test_many_classes_are_watched_by_the_likeliest():
    rng = np.random.default_rng(3)
    classes = ("a", "b", "c")
    usual = rng.dirichlet([2, 2, 2], 2_000)
    names = np.asarray(classes)[usual.argmax(axis=1)]
    empty = pl.DataFrame({"x": np.zeros(2_000)})
    champion = Champion(
        version=1,
        task="classification",
        metric="accuracy",
        classes=classes,
        profile=Profile.of(empty, prediction=names),
    )
    again, moved = rng.dirichlet([2, 2, 2], 2_000), rng.dirichlet([9, 2, 2], 2_000)
    assert alarms(observe("demo", NOW, champion, rows=empty, predictions=again)) == set()
    assert alarms(observe("demo", NOW, champion, rows=empty, predictions=moved)) == {("prediction_drift", "prediction")}


def test_rows_without_an_answer_are_a_share_of_rows_not_of_requests():
    counts = ServiceCounts(requests=1, rows=100_000, invalid=20)
    seen = look(service=counts)
    assert alarms(seen) == set()
    assert signal(seen, "service_fault", "invalid").detail == "20 of 100000 rows"


def test_rows_that_the_champion_was_not_asked_about_are_no_drift_of_its_predictions():
    frame, scores, _ = block(2_000, seed=1)
    scores[:1_000] = np.nan
    asked = np.arange(2_000) >= 1_000
    seen = observe("demo", NOW, CHAMPION, rows=frame, predictions=scores, asked=asked)
    prediction = signal(seen, "prediction_drift", "prediction")
    assert (prediction.n, prediction.alarmed) == (1_000, False)
    assert signal(seen, "value_drift", "x").n == 2_000
    blind = observe("demo", NOW, CHAMPION, rows=frame, predictions=scores, asked=asked | True)
    assert signal(blind, "prediction_drift", "prediction").alarmed


def test_rows_of_earlier_looks_are_compared_and_not_counted_again():
    frame, scores, _ = block(300, seed=1)
    seen = observe("demo", NOW, CHAMPION, rows=frame, predictions=scores, fresh=100)
    assert (seen.rows, signal(seen, "value_drift", "x").n) == (100, 300)
    assert signal(seen, "new_data", "rows").value == 100.0


def test_drift_of_more_classes_is_that_of_the_answered_labels_not_of_the_likeliest():
    """A rule of the model's own answers "c" wherever it may: its labels moved, and the scores did not."""
    names = ("a", "b", "c")
    frame = pl.DataFrame({"x": np.zeros(2_000)})
    scores = np.tile(np.eye(3)[:2] * 0.4 + 0.2, (1_000, 1))
    reference = Profile.of(frame, prediction=pl.Series(["a", "b"] * 1_000))
    champion = msgspec.structs.replace(CHAMPION, classes=names, profile=reference)

    def seen(values):
        found = observe("demo", NOW, champion, rows=frame, predictions=scores, values=values)
        return next(signal for signal in found.signals if signal.kind == "prediction_drift").alarmed

    answered = np.array(["a", "b"] * 1_000, dtype=object)
    assert not seen(None)
    assert not seen(answered)
    answered[::2] = "c"
    assert seen(answered)


MAE = Champion(version=3, task="regression", metric="mae", references={3: 1.0})


def regression(error, *, rows=2_000, reference=1.0, drop=0.02, version=3):
    """A regression whose absolute errors have this mean."""
    rng = np.random.default_rng(5)
    labels = rng.normal(0, 10, rows)
    times = np.datetime64("2013-03-01", "us") + np.arange(rows) * np.timedelta64(60, "s")
    said = labels + error * np.where(rng.random(rows) < 0.5, 0.9, 1.1)
    outcomes = Outcomes(times=times, label_times=times, labels=labels, predictions={version: said})
    champion = msgspec.structs.replace(MAE, references={3: reference})
    return observe("demo", NOW, champion, outcomes=outcomes, config=MonitorConfig(drop=drop))


@pytest.mark.parametrize(("error", "drops"), [(0.9, False), (1.0, False), (1.015, False), (1.1, True)])
def test_an_error_that_grows_is_a_drop_and_one_that_falls_is_none(error, drops):
    seen = regression(error)
    assert (("performance_drop", "mae") in alarms(seen)) == drops
    assert signal(seen, "performance_drop", "mae").threshold == pytest.approx(1.02)


def test_a_drop_that_is_tolerated_alarms_nobody_and_one_within_the_noise_neither():
    assert alarms(regression(1.1, drop=0.2)) == set()
    noise = signal(regression(1.1), "performance_drop", "mae").noise
    assert alarms(regression(1.1, drop=0.1 - noise / 2)) == set()
    assert alarms(regression(1.1, drop=0.1 - 1.5 * noise)) == {("performance_drop", "mae")}


def test_another_versions_drop_is_not_the_champions():
    seen = regression(5.0, version=4)
    assert [one.version for one in seen.performance] == [4]
    assert [one for one in seen.signals if one.kind == "performance_drop"] == []


@pytest.mark.parametrize(("rows", "drops"), [(299, False), (300, True)])
def test_a_drop_takes_a_minimum_of_labels(rows, drops):
    assert bool(alarms(regression(5.0, rows=rows))) == drops


def test_an_age_alarms_beyond_its_limit_and_not_at_it():
    week = MonitorConfig(stale_after=timedelta(days=7), silent_after=timedelta(hours=1))
    assert alarms(look(config=week)) == set()
    less = MonitorConfig(stale_after=timedelta(days=7) - timedelta(seconds=1), silent_after=timedelta(minutes=59))
    assert alarms(look(config=less)) == {("staleness", "champion"), ("staleness", "data")}
    assert alarms(look(config=MonitorConfig(stale_after=None))) == set()


def test_a_latency_at_its_limit_is_no_fault():
    counts = ServiceCounts(requests=10, latency=0.1)
    assert alarms(look(service=counts, config=MonitorConfig(latency=0.1))) == set()
    assert alarms(look(service=counts, config=MonitorConfig(latency=None))) == set()


def test_labels_are_counted_since_the_last_look():
    times = np.datetime64("2013-03-07T20:00", "us") + np.arange(5) * np.timedelta64(3_600, "s")
    outcomes = Outcomes(times=times, label_times=times, labels=np.zeros(5), predictions={})
    seen = observe("demo", NOW, None, outcomes=outcomes, since=NOW - timedelta(hours=2))
    assert (seen.labelled, signal(seen, "new_data", "labels").value) == (2, 2.0)
    assert observe("demo", NOW, None, outcomes=outcomes).labelled == 5
