"""Labels join their predictions once, whatever the order and number in which they come."""

from __future__ import annotations

import itertools
from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cd.labels.join import Traffic
from homeostat.cd.labels.maturity import microsecond
from homeostat.cd.log import LogWriter, PredictionRecord, RowRecord
from homeostat.cd.monitor.performance import Champion, Window, measure
from tests.cd.log_records import LATER, NOON, asked, beside, told


@pytest.fixture
def traffic(tmp_path):
    return Traffic(tmp_path / "none")


def labels(traffic):
    return traffic.outcomes().labels.tolist()


def test_a_row_is_joined_with_its_label(traffic):
    assert traffic.fold([asked("a")]).labelled == []
    assert traffic.fold([told("a")]).labelled == [({"wind": 3.5, "carrier": "UA"}, True, LATER)]
    outcomes = traffic.outcomes()
    assert outcomes.labels.tolist() == [True]
    assert (outcomes.times.tolist(), outcomes.label_times.tolist()) == ([microsecond(NOON)], [microsecond(LATER)])
    assert outcomes.predictions[1].tolist() == [[0.25, 0.75]]
    assert traffic.fold([]).labelled == []


def test_a_label_may_come_late(traffic):
    traffic.fold([asked("a"), *(asked(str(number)) for number in range(1_000))])
    (joined,) = traffic.fold([told("a")]).labelled
    assert joined[1] is True
    assert (traffic.counts.joined, traffic.waiting) == (1, 1_000)


def test_a_repeated_label_counts_once(traffic):
    arrived = traffic.fold([asked("a"), told("a"), told("a")])
    assert len(arrived.labelled + traffic.fold([told("a")]).labelled) == 1
    counts = traffic.counts
    assert (counts.labels, counts.joined, counts.repeated_labels, counts.conflicting_labels) == (3, 1, 2, 0)


def test_of_conflicting_labels_the_first_counts(traffic):
    ((_, label, _),) = traffic.fold([asked("a"), told("a", label=False), told("a", label=True)]).labelled
    assert label is False
    assert labels(traffic) == [False]
    assert (traffic.counts.conflicting_labels, traffic.counts.repeated_labels) == (1, 0)


def test_a_label_may_come_before_its_row_is_read(traffic):
    assert traffic.fold([told("a")]).labelled == []
    assert traffic.counts.unknown_labels == 1
    assert len(traffic.fold([asked("a")]).labelled) == 1
    assert labels(traffic) == [True]
    assert (traffic.counts.unknown_labels, traffic.counts.joined) == (0, 1)


def test_a_label_that_was_received_before_its_row_was_answered_joins_it(traffic):
    traffic.fold([told("a", received=NOON)])
    assert traffic.counts.unknown_labels == 1
    assert len(traffic.fold([asked("a", time=LATER)]).labelled) == 1
    assert labels(traffic) == [True]
    traffic.fold([told("a", label=False), told("a")])
    counts = traffic.counts
    assert (counts.joined, counts.conflicting_labels, counts.repeated_labels, counts.unknown_labels) == (1, 1, 1, 0)


def test_a_label_of_a_row_that_was_forgotten_is_not_that_of_a_newer_row_of_its_name(tmp_path):
    traffic = Traffic(tmp_path, keep=10)
    traffic.fold([asked(str(number)) for number in range(25)])
    traffic.fold([told("3"), asked("3", "again", LATER)])
    assert labels(traffic)[-1] is None
    traffic.fold([told("3", label=False)])
    assert labels(traffic)[-1] is False


def test_of_conflicting_labels_that_came_before_their_row_the_first_counts(traffic):
    traffic.fold([told("a", label=False), told("a", label=True), asked("a")])
    assert labels(traffic) == [False]
    assert traffic.counts.conflicting_labels == 1


def test_a_label_of_an_unknown_row_is_counted(traffic):
    traffic.fold([asked("a"), told("b"), told("b"), told("b", label=False)])
    counts = traffic.counts
    assert (counts.unknown_labels, counts.repeated_labels, counts.conflicting_labels) == (1, 1, 1)
    assert labels(traffic) == [None]


def test_of_repeated_predictions_the_first_counts(traffic):
    arrived = traffic.fold([asked("a", "first"), asked("a", "second"), told("a")])
    assert (len(arrived.answered), len(arrived.labelled)) == (1, 1)
    assert traffic.fold([asked("a", "third"), told("a")]).labelled == []
    traffic.fold([beside("a", request="second"), beside("a", request="third")])
    assert traffic.scores(2, [0]) is None
    traffic.fold([beside("a", request="first")])
    assert traffic.scores(2, [0]).tolist() == [[0.6, 0.4]]
    assert (traffic.counts.predictions, traffic.counts.repeated_predictions) == (3, 2)


def test_both_versions_of_a_row_stand_side_by_side(traffic):
    traffic.fold([asked("a"), told("a"), beside("a")])
    outcomes = traffic.outcomes()
    assert {version: scores.tolist() for version, scores in outcomes.predictions.items()} == {
        1: [[0.25, 0.75]],
        2: [[0.6, 0.4]],
    }


def test_a_version_that_was_dropped_was_not_asked(traffic):
    traffic.fold([asked("a"), asked("b"), beside("a"), beside("b", "dropped")])
    assert traffic.outcomes().asked[2].tolist() == [True, False]
    assert (traffic.counts.dropped, traffic.failures(2, NOON)) == (1, 0)


def test_a_version_that_failed_was_asked_and_said_nothing(traffic):
    traffic.fold([asked("a"), asked("b"), beside("a"), beside("b", "ValueError: no")])
    outcomes = traffic.outcomes()
    assert outcomes.asked[2].tolist() == [True, True]
    assert np.isnan(outcomes.predictions[2]).all(axis=1).tolist() == [False, True]
    assert (traffic.counts.failed, traffic.failures(2, NOON), traffic.failures(2, LATER)) == (1, 1, 0)


def test_a_score_for_another_request_with_the_same_id_is_not_taken(traffic):
    traffic.fold([asked("a", "other"), beside("a"), beside("a", "boom"), beside("a", "dropped")])
    assert 2 not in traffic.outcomes().asked
    assert (traffic.counts.failed, traffic.counts.dropped) == (0, 0)


def test_a_score_may_be_read_before_its_row(traffic):
    """A process of its own wrote it, to a segment that is read first."""
    traffic.fold([beside("a"), beside("b", error="it crashed"), beside("c", error="dropped")])
    traffic.fold([asked("a"), asked("b"), asked("c"), told("a"), told("b"), told("c")])
    outcomes = traffic.outcomes()
    assert outcomes.predictions[2][0].tolist() == [0.6, 0.4]
    assert outcomes.asked[2].tolist() == [True, True, False]
    assert (traffic.counts.failed, traffic.counts.dropped) == (1, 1)


def test_a_score_that_is_older_than_the_row_is_about_another_row_of_that_name(traffic):
    traffic.fold([beside("a", time=NOON), asked("a", time=LATER), told("a")])
    assert 2 not in traffic.outcomes().predictions


def test_memory_is_bounded_and_what_is_forgotten_is_counted(tmp_path):
    traffic = Traffic(tmp_path, keep=10)
    traffic.fold([asked(str(number)) for number in range(25)])
    assert 10 <= len(traffic) < 20
    assert (len(traffic), traffic.counts.forgotten_rows) == (15, 10)
    traffic.fold([told("24"), told("3")])
    assert (traffic.counts.joined, traffic.counts.unknown_labels) == (1, 1)


def test_labelled_rows_are_forgotten_without_being_missed(tmp_path):
    traffic = Traffic(tmp_path, keep=10)
    for number in range(25):
        traffic.fold([asked(str(number)), told(str(number))])
    assert (traffic.counts.joined, traffic.counts.forgotten_rows, traffic.waiting) == (25, 0, 0)


def test_unknown_labels_are_bounded_and_the_oldest_are_forgotten(tmp_path):
    traffic = Traffic(tmp_path, wait=10)
    traffic.fold([told(str(number)) for number in range(25)])
    assert (traffic.counts.unknown_labels, traffic.counts.forgotten_labels) == (10, 15)
    traffic.fold([asked("0"), asked("24")])
    assert labels(traffic) == [None, True]


def test_scores_of_forgotten_rows_are_unknown(tmp_path):
    traffic = Traffic(tmp_path, keep=2)
    numbers = [one.number for one in traffic.fold([asked(name) for name in "abcde"]).answered]
    assert numbers == [0, 1, 2, 3, 4]
    assert np.isnan(traffic.scores(1, numbers)).all(axis=1).tolist() == [True, True, False, False, False]


def test_the_log_is_read_in_as_many_looks_as_it_takes(tmp_path):
    with LogWriter(tmp_path) as log:
        for name in "abcde":
            log.append(asked(name))
        log.append(told("a"))
    traffic = Traffic(tmp_path)
    looks = [traffic.take(limit=2)]
    while looks[-1].more:
        looks.append(traffic.take(limit=2))
    assert sum(look.records for look in looks) == 6
    assert [one.number for look in looks for one in look.answered] == [0, 1, 2, 3, 4]
    assert (len(traffic), traffic.waiting) == (5, 4)


RECORDS = st.lists(
    st.one_of(
        st.builds(
            asked, st.sampled_from("abcde"), st.sampled_from(["r-a", "r-b", None]), st.sampled_from([NOON, LATER])
        ),
        st.builds(told, st.sampled_from("abcde"), st.booleans(), received=st.sampled_from([NOON, LATER])),
        st.builds(beside, st.sampled_from("abcde"), st.sampled_from([None, "dropped", "boom"])),
    ),
    max_size=30,
)


def state(traffic):
    outcomes = traffic.outcomes()
    scores = {version: np.nan_to_num(known, nan=-1).tolist() for version, known in outcomes.predictions.items()}
    asked_of = {version: mask.tolist() for version, mask in outcomes.asked.items()}
    known = outcomes.times.tolist(), outcomes.label_times.tolist(), outcomes.labels.tolist()
    return msgspec.to_builtins(traffic.counts), known, scores, asked_of


@given(RECORDS, st.lists(st.integers(0, 30), max_size=4), st.sampled_from([1, 2, 100]))
def test_however_the_log_is_cut_the_same_rows_come_out_once(tmp_path_factory, records, cuts, keep):
    nowhere = tmp_path_factory.getbasetemp() / "nowhere"
    whole, parts, found = Traffic(nowhere, keep=keep, wait=keep), Traffic(nowhere, keep=keep, wait=keep), []
    expected = whole.fold(records).labelled
    places = [0, *sorted(cuts), len(records)]
    for start, end in itertools.pairwise(places):
        found += parts.fold(records[start:end]).labelled
    assert found == expected
    assert state(parts) == state(whole)


@given(RECORDS, st.sampled_from([1, 2, 100]))
def test_every_label_and_every_row_is_accounted_for(tmp_path_factory, records, keep):
    traffic = Traffic(tmp_path_factory.getbasetemp() / "nowhere", keep=keep, wait=keep)
    arrived = traffic.fold(records)
    counts = traffic.counts
    assert counts.joined == len(arrived.labelled)
    assert counts.predictions == len(arrived.answered) + counts.repeated_predictions
    assert len(arrived.answered) == counts.joined + traffic.waiting + counts.forgotten_rows
    lost = counts.unknown_labels + counts.forgotten_labels
    assert counts.labels == counts.joined + counts.repeated_labels + counts.conflicting_labels + lost


def test_rows_that_are_still_waited_for_crowd_out_none_that_are_not(traffic):
    early, late = NOON, NOON + timedelta(days=1)
    traffic.fold([asked(f"a{row}", time=early) for row in range(10)])
    traffic.fold([asked(f"b{row}", time=late) for row in range(50)])
    times = traffic.outcomes(last=4, before=late).times.tolist()
    assert times == [microsecond(early)] * 4 + [microsecond(late)] * 50
    assert len(traffic.outcomes(last=20, before=late).times) == 60
    assert len(traffic.outcomes(last=4, before=early).times) == 60


def test_a_version_was_asked_about_the_rows_that_it_scored_or_failed_on(traffic):
    traffic.fold([asked("a"), asked("b"), asked("c"), beside("a"), beside("b", error="it broke")])
    assert traffic.asked(2, [0, 1, 2]).tolist() == [True, True, False]
    assert traffic.asked(7, [0, 1]).tolist() == [False, False]


def test_performance_is_measured_although_many_rows_wait_for_labels_that_never_come(traffic):
    """Twenty rows an hour of which one has no label: all hours wait a week, and a week holds more than four windows."""
    hours = [NOON + timedelta(hours=hour) for hour in range(24 * 9)]
    for place, hour in enumerate(hours):
        names = [f"{place}-{row}" for row in range(20)]
        traffic.fold([asked(name, time=hour) for name in names])
        traffic.fold([told(name, moment=hour, received=hour) for name in names[1:]])
    rule, champion = (
        Window(rows=500),
        Champion(version=1, task="classification", metric="accuracy", classes=(False, True)),
    )
    now = hours[-1]
    newest = traffic.outcomes(last=4 * rule.rows)
    assert measure(champion, newest, now, rule) == []
    enough = traffic.outcomes(last=4 * rule.rows, before=now - rule.maturity.wait - rule.maturity.every)
    assert [one.n for one in measure(champion, enough, now, rule)] == [500]


def test_answered_labels_stay_beside_their_scores_when_rows_are_forgotten(tmp_path):
    traffic = Traffic(tmp_path / "none", keep=600)

    def row(number):
        score = number % 7 / 7
        said = {1: ["yes" if number % 3 else "no", 1 - score, score]}
        return PredictionRecord(f"r{number}", NOON, [RowRecord(str(number), 1, 1.0, {"wind": 1.0}, said)])

    traffic.fold([row(number) for number in range(2_500)])
    traffic.fold([beside("2499", request="r2499")])
    outcomes = traffic.outcomes()
    first = 2_500 - len(outcomes.times)
    assert first > 0
    assert outcomes.values[1].tolist() == ["yes" if number % 3 else "no" for number in range(first, 2_500)]
    assert outcomes.predictions[1][:, 1].tolist() == [number % 7 / 7 for number in range(first, 2_500)]
    assert outcomes.values[2].tolist() == [None] * (2_499 - first) + [False]
    assert traffic.values(1, [0, 2_499]).tolist() == [None, "yes" if 2_499 % 3 else "no"]


def test_rows_since_a_time_are_those_that_were_answered_then_or_later(traffic):
    traffic.fold([asked(f"a{minute}", time=NOON + timedelta(minutes=minute)) for minute in range(4)])
    assert len(traffic.outcomes(NOON + timedelta(minutes=2)).times) == 2
    assert traffic.answered(NOON + timedelta(minutes=2)) == {1: 2}
    traffic.fold([beside(f"a{minute}", "it failed", time=NOON + timedelta(minutes=minute)) for minute in range(4)])
    assert traffic.failures(2, NOON + timedelta(minutes=2)) == 2


def test_the_first_row_of_a_request_leads_it_whatever_came_before(traffic):
    rows = [RowRecord(name, 1, 0.25, {"wind": 1.0}, {1: [True, 0.25, 0.75]}) for name in "abc"]
    traffic.fold([asked("z"), PredictionRecord("r", NOON, rows), PredictionRecord("s", NOON, rows[:1]), asked("y")])
    outcomes = traffic.outcomes()
    assert outcomes.leads.tolist() == [True, True, False, False, True]
    assert outcomes.propensities.tolist() == [0.5, 0.25, 0.25, 0.25, 0.5]
