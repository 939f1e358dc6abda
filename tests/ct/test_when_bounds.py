"""Every bound of a policy, from both sides, and what each of them makes of what it cannot know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeostat.core import events as ev
from homeostat.core.errors import LoopError
from homeostat.ct import when
from homeostat.ct.when import Past, Policy, Reading

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
ALWAYS = when.rows(1)
"""Fires whenever a row is new."""


def seen(now: datetime = NOW, *, trainable: int = 1, **more: Any) -> ev.Observed:
    return ev.Observed(loop="loop", now=now, rows=0, labelled=0, trainable=trainable, **more)


def moved(subject: str, value: float | None, *, noise: float | None = None, **more: Any) -> ev.Signal:
    values = {"kind": "value_drift", "n": 1_000, "q_value": 0.0} | more
    return ev.Signal(subject=subject, value=value, noise=noise, **values)


def score(value: float | None, low: float | None, high: float | None, **more: Any) -> ev.Performance:
    values = {"metric": "roc_auc", "n": 1_000, "reference": 0.75, "version": 1} | more
    return ev.Performance(value=value, low=low, high=high, **values)


def fired(policy: Policy, observed: ev.Observed, **history: Any) -> bool:
    return policy.read(observed, Past(**history)).fired


def test_time_counts_from_the_latest_of_start_fire_and_training() -> None:
    start, fires, trained = NOW - 9 * DAY, (NOW - 8 * DAY, NOW - 5 * DAY), NOW - 7 * DAY
    assert Past().since is None
    assert Past(started=start).since == start
    assert Past(started=start, fires=fires).since == fires[-1]
    assert Past(started=start, fires=fires, trained_at=trained).since == fires[-1]
    assert Past(started=start, fires=fires, trained_at=NOW).since == NOW
    assert Past(started=NOW, trained_at=trained).since == NOW


def test_a_period_is_over_at_its_very_end_and_not_a_second_before() -> None:
    assert fired(when.every("7d"), seen(), started=NOW - 7 * DAY)
    assert not fired(when.every("7d"), seen(), started=NOW - 7 * DAY + SECOND)
    assert not fired(when.every("7d"), seen())


def test_a_missed_time_is_made_up_for_within_its_grace_and_let_go_after_it() -> None:
    policy = when.every("1d", missed="skip", grace="2h")
    due = NOW - DAY
    for late, fires in ((timedelta(hours=2), True), (timedelta(hours=2) + SECOND, False)):
        reading = policy.read(seen(due + late), Past(started=due - DAY))
        assert reading.fired is fires
        assert reading.evidence["due"] == (due if fires else due + DAY)


def test_a_time_at_which_a_run_ended_fell_into_it() -> None:
    policy, start = when.every("1d", overlap="skip"), NOW - 2 * DAY
    assert not fired(policy, seen(), started=start, busy_until=NOW)
    assert fired(policy, seen(), started=start, busy_until=NOW - SECOND)
    assert fired(policy, seen(), started=start)


def test_a_cron_time_is_one_of_the_zone_that_was_named() -> None:
    history = {"started": datetime(2026, 1, 5, 0, tzinfo=UTC)}
    tokyo = when.every("0 9 * * *", zone="Asia/Tokyo")
    assert tokyo.read(seen(datetime(2026, 1, 5, 1, tzinfo=UTC)), Past(**history)).evidence["due"] == datetime(
        2026, 1, 6, 0, tzinfo=UTC
    )
    assert not fired(when.every("0 9 * * *"), seen(datetime(2026, 1, 5, 8, tzinfo=UTC)), **history)
    assert fired(when.every("0 9 * * *"), seen(datetime(2026, 1, 5, 9, tzinfo=UTC)), **history)


def test_the_usual_schedule_makes_up_for_missed_times_and_queues_behind_a_run() -> None:
    policy = when.every("7d")
    assert (policy.zone, policy.missed, policy.grace, policy.overlap) == ("UTC", "once", "1h", "queue")
    assert fired(policy, seen(), started=NOW - 7 * DAY - timedelta(hours=2), busy_until=NOW)


@pytest.mark.parametrize(("trainable", "fires"), [(599, False), (600, True), (601, True)])
def test_rows_count_since_the_last_training(trainable: int, fires: bool) -> None:
    reading = when.rows(100).read(seen(trainable=trainable), Past(trainable=500))
    assert reading.fired is fires
    assert reading.evidence == {"new_rows": trainable - 500, "threshold": 100, "trainable": trainable}


def test_a_source_without_versions_never_has_a_new_one() -> None:
    policy = when.new_version()
    assert not fired(policy, seen(), source_version="a")
    assert not fired(policy, seen())
    assert not fired(policy, seen(source_version="a"), source_version="a")
    assert fired(policy, seen(source_version="b"), source_version="a")


@pytest.mark.parametrize(
    ("signal", "fires"),
    [
        (moved("x", 0.25, noise=0.05), True),
        (moved("x", 0.24, noise=0.05), False),
        (moved("x", 0.25, noise=None), True),
        (moved("x", 0.5, q_value=0.01), True),
        (moved("x", 0.5, q_value=0.011), False),
        (moved("x", 0.5, q_value=None), True),
        (moved("x", None), False),
        (moved("x", 0.5, kind="concept_drift"), False),
        (moved("x", 0.5, kind="staleness"), False),
        (moved("prediction", 0.5, kind="prediction_drift"), True),
    ],
)
def test_a_column_moved_when_it_is_beyond_the_threshold_its_noise_and_chance(signal: ev.Signal, fires: bool) -> None:
    assert fired(when.drift(psi=0.2), seen(signals=(signal,))) is fires


def test_as_many_columns_as_were_asked_for_have_to_move() -> None:
    signals = (moved("a", 0.5), moved("b", 0.9), moved("c", 0.1))
    assert fired(when.drift(psi=0.2, at_least=2), seen(signals=signals))
    assert not fired(when.drift(psi=0.2, at_least=3), seen(signals=signals))


def test_only_the_named_columns_are_watched_and_predictions_only_if_wanted() -> None:
    drifted = seen(signals=(moved("a", 0.9), moved("prediction", 0.9, kind="prediction_drift")))
    assert not fired(when.drift(psi=0.2, columns=("b",)), drifted)
    assert fired(when.drift(psi=0.2, columns=("b", "a")), drifted)
    only = seen(signals=drifted.signals[1:])
    assert fired(when.drift(psi=0.2), only)
    assert not fired(when.drift(psi=0.2, predictions=False), only)
    assert when.drift(psi=0.2, columns=[]).columns is None  # type: ignore[arg-type]


def test_the_evidence_of_drift_names_the_columns_that_moved_and_the_largest_after_its_noise() -> None:
    signals = (moved("a", 0.5, noise=0.4), moved("b", 0.3, noise=0.0), moved("c", 0.25))
    reading = when.drift(psi=0.2).read(seen(signals=signals), Past())
    assert list(reading.evidence["moved"]) == ["b", "c"]
    assert list(reading.evidence["largest"]) == ["b"]
    assert reading.reason.startswith("drift beyond 0.2: b 0.30, c 0.25")
    quiet = when.drift(psi=0.9).read(seen(signals=signals), Past())
    assert "largest is b 0.30" in quiet.reason


@pytest.mark.parametrize(
    ("one", "fires"),
    [
        (score(0.60, 0.55, 0.71), True),
        (score(0.60, 0.55, 0.72), False),
        (score(0.60, None, None), True),
        (score(0.60, 0.55, 0.65, n=199), False),
        (score(0.60, 0.55, 0.65, n=200), True),
        (score(0.60, 0.55, 0.65, reference=None), False),
        (score(None, None, None), False),
        (score(0.60, 0.55, 0.65, metric="accuracy"), False),
    ],
)
def test_a_metric_fell_when_the_good_end_of_its_interval_is_out_of_tolerance(one: ev.Performance, fires: bool) -> None:
    assert fired(when.degraded(roc_auc=0.03), seen(performance=(one,))) is fires


@pytest.mark.parametrize(("low", "fires"), [(0.43, True), (0.41, False)])
def test_an_error_grew_when_even_its_low_end_is_above_what_is_tolerated(low: float, fires: bool) -> None:
    one = score(0.5, low, 0.9, metric="log_loss", reference=0.4, greater_is_better=False)
    reading = when.degraded(log_loss=0.02).read(seen(performance=(one,)), Past())
    assert reading.fired is fires
    assert reading.evidence["limit"] == pytest.approx(0.42)


def test_the_champion_stands_first_and_is_the_one_that_is_looked_at() -> None:
    champion, challenger = score(0.75, 0.74, 0.76), score(0.5, 0.45, 0.55, version=2)
    assert not fired(when.degraded(roc_auc=0.03), seen(performance=(champion, challenger)))
    assert fired(when.degraded(roc_auc=0.03), seen(performance=(challenger, champion)))


def test_a_cooldown_ends_at_its_very_end_and_counts_from_the_last_fire() -> None:
    policy = ALWAYS.cooldown("3d")
    earlier = NOW - 30 * DAY
    assert not fired(policy, seen(), fires=(earlier, NOW - 3 * DAY + SECOND))
    assert fired(policy, seen(), fires=(earlier, NOW - 3 * DAY))
    assert fired(policy, seen())


def test_a_warm_up_ends_at_its_very_end_and_lasts_while_there_is_no_start() -> None:
    policy = ALWAYS.warmup("3d")
    assert not fired(policy, seen(), started=NOW - 3 * DAY + SECOND)
    assert fired(policy, seen(), started=NOW - 3 * DAY)
    assert fired(policy, seen(), started=NOW - 9 * DAY, trained_at=NOW - DAY, fires=(NOW - DAY,))
    assert not fired(policy, seen())


@pytest.mark.parametrize(
    ("ages", "fires"),
    [
        ((), True),
        ((timedelta(hours=1),), True),
        ((timedelta(hours=1), timedelta(hours=2)), False),
        ((timedelta(hours=1), DAY - SECOND), False),
        ((timedelta(hours=1), DAY), True),
        ((DAY, DAY), True),
    ],
)
def test_a_bound_counts_the_fires_of_less_than_its_stretch_ago(ages: tuple[timedelta, ...], fires: bool) -> None:
    policy = ALWAYS.at_most(2, per="1d")
    assert fired(policy, seen(), fires=tuple(sorted(NOW - age for age in ages))) is fires


def test_what_is_held_back_says_so_and_keeps_the_evidence_of_the_policy_inside() -> None:
    reading = ALWAYS.cooldown("3d").read(seen(trainable=7), Past(fires=(NOW - DAY,)))
    assert not reading.fired
    assert reading.evidence["new_rows"] == 7
    assert "cooling down until 2026-03-06 12:00" in reading.evidence["held_back_by"]
    assert reading.reason.endswith("though 7 new labelled rows of 1")
    quiet = ALWAYS.cooldown("3d").read(seen(trainable=0), Past(fires=(NOW - DAY,)))
    assert "held_back_by" not in quiet.evidence


@pytest.mark.parametrize("needed", [1, 2, 3])
@pytest.mark.parametrize("firing", [0, 1, 2, 3])
def test_a_vote_fires_from_as_many_as_are_needed(needed: int, firing: int) -> None:
    policies = [ALWAYS] * firing + [when.never()] * (3 - firing)
    reading = when.vote(needed, *policies).read(seen(), Past())
    assert reading.fired is (firing >= needed)
    assert (reading.evidence["needed"], reading.evidence["fired"]) == (needed, firing)
    assert [one["fired"] for one in reading.evidence["policies"]] == [True] * firing + [False] * (3 - firing)


def test_the_reason_names_those_that_fired_or_else_those_that_did_not() -> None:
    def read(policy: Policy) -> Reading:
        return policy.read(seen(trainable=1), Past())

    few, many = when.rows(1), when.rows(50)
    assert read(few | many).reason == "1 new labelled rows of 1"
    assert read(few & many).reason == "1 new labelled rows of 50"
    assert read(few & when.rows(1)).reason.count(";") == 1


def test_operators_of_the_same_kind_join_and_others_nest() -> None:
    a, b, c = when.rows(1), when.every("7d"), when.drift(psi=0.2)
    assert len((a | b | c).policies) == 3
    assert len((a | (b | c)).policies) == 3
    assert len((a & b & c).policies) == 3
    assert [policy.label for policy in (a & b | c).policies] == ["rows&every", "drift"]
    assert (a | b).cooldown("1d").label == "rows|every"
    assert when.vote(1, a, b).label == "vote"


def test_the_metrics_of_every_policy_inside_are_found() -> None:
    inner = when.degraded(mae=1) & when.every("1d")
    assert when.vote(1, inner.warmup("1d"), when.degraded(f1=0.1)).metrics == ("mae", "f1")
    assert when.never().metrics == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: when.every("soon"),
        lambda: when.every("61 3 * * *"),
        lambda: when.every("0 3 * * *", zone="Europe/Nowhere"),
        lambda: when.every("7d", grace="soon"),
        lambda: when.rows(0),
        lambda: when.drift(psi=0.0),
        when.degraded,
        lambda: when.degraded(roc_auc=0.1, f1=0.1),
        lambda: when.degraded(roc_auc=-0.01),
        lambda: when.degraded(roc_auc=float("inf")),
        lambda: when.vote(0, ALWAYS),
        lambda: when.vote(2, ALWAYS),
        lambda: ALWAYS.at_most(0, per="1d"),
        lambda: ALWAYS.at_most(101, per="1d"),
        lambda: ALWAYS.at_most(1, per="soon"),
        lambda: ALWAYS.cooldown("soon"),
        lambda: ALWAYS.warmup("soon"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_when_it_is_declared(make: Any) -> None:
    with pytest.raises(LoopError):
        make()


def test_the_ends_of_what_may_be_declared_are_part_of_it() -> None:
    assert when.rows(1).count == 1
    assert when.degraded(roc_auc=0).drop == 0
    assert (ALWAYS.at_most(1, per="1d").times, ALWAYS.at_most(100, per="1d").times) == (1, 100)
    assert when.vote(2, ALWAYS, ALWAYS).needed == 2
