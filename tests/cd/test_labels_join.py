"""Labels join their predictions once, whatever the order and number in which they come."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cd.labels import Join, drain
from homeostat.cd.log import LabelItem, LabelRecord, LogWriter, PredictionRecord, RowRecord, ShadowRecord
from homeostat.core.schema import Column

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=2)
COLUMNS = (Column(name="wind", kind="number", nullable=True), Column(name="carrier", kind="category", nullable=False))


def asked(name, request=None, awaits=()):
    row = RowRecord(name, 1, 0.5, {"wind": 3.5, "carrier": "UA"}, {1: [True, 0.25, 0.75]})
    return PredictionRecord(request or f"r-{name}", NOON, [row], awaits)


def told(name, label=True, moment=LATER):
    return LabelRecord(LATER, [LabelItem(name, label, moment)])


def beside(name, error=None):
    return ShadowRecord(NOON, 2, [f"r-{name}"], [name], [] if error else [[False, 0.6, 0.4]], error)


def test_a_row_matures_with_its_label():
    join = Join()
    assert join.take([asked("a")]) == []
    (row,) = join.take([told("a")])
    assert (row.id, row.request, row.label, row.label_time) == ("a", "r-a", True, LATER)
    assert (row.version, row.propensity, row.scores) == (1, 0.5, {1: [True, 0.25, 0.75]})
    assert row.features == {"wind": 3.5, "carrier": "UA"}
    assert join.take([]) == []


def test_a_repeated_label_counts_once():
    join = Join()
    assert len(join.take([asked("a"), told("a"), told("a")]) + join.take([told("a")])) == 1
    assert (join.counts.joined, join.counts.repeated_labels, join.counts.conflicting_labels) == (1, 2, 0)


def test_of_conflicting_labels_the_first_counts():
    join = Join()
    (row,) = join.take([asked("a"), told("a", label=False), told("a", label=True)])
    assert row.label is False
    assert join.counts.conflicting_labels == 1


def test_a_label_may_come_before_its_row_is_read():
    join = Join()
    assert join.take([told("a")]) == []
    assert join.counts.unknown_labels == 1
    assert [row.id for row in join.take([asked("a")])] == ["a"]
    assert join.counts.unknown_labels == 0


def test_a_label_of_an_unknown_row_is_counted():
    join = Join()
    join.take([asked("a"), told("b"), told("b"), told("b", label=False)])
    counts = join.counts
    assert (counts.unknown_labels, counts.repeated_labels, counts.conflicting_labels) == (1, 1, 1)


def test_of_repeated_predictions_the_first_counts():
    join = Join()
    (row,) = join.take([asked("a", "first"), asked("a", "second"), told("a")])
    assert row.request == "first"
    assert join.take([asked("a", "third"), told("a")]) == []
    assert join.counts.repeated_predictions == 2


def test_a_row_waits_for_the_arms_that_score_it_afterwards():
    join = Join()
    assert join.take([asked("a", awaits=(2,)), told("a")]) == []
    (row,) = join.take([beside("a")])
    assert row.scores == {1: [True, 0.25, 0.75], 2: [False, 0.6, 0.4]}


def test_an_arm_that_was_dropped_is_not_waited_for():
    join = Join()
    (row,) = join.take([asked("a", awaits=(2,)), beside("a", "dropped"), told("a")])
    assert row.scores[2] is None


def test_an_arm_that_never_reports_is_waited_for_only_so_long():
    join = Join(patience=2)
    looks = [join.take([asked("a", awaits=(2,)), told("a")]), join.take([]), join.take([])]
    assert [len(rows) for rows in looks] == [0, 0, 1]
    assert join.counts.unscored == 1


def test_a_score_for_another_request_with_the_same_id_is_not_taken():
    join = Join()
    join.take([asked("a", "other", awaits=(2,)), beside("a")])
    assert join.take([told("a")]) == []


def test_memory_is_bounded_and_what_is_forgotten_is_counted():
    join = Join(keep=10)
    join.take([asked(str(number)) for number in range(25)])
    assert join.waiting == 10
    assert join.counts.forgotten == 15


@given(
    st.lists(
        st.one_of(
            st.builds(asked, st.sampled_from("abc"), awaits=st.sampled_from([(), (2,)])),
            st.builds(told, st.sampled_from("abc"), st.booleans()),
            st.builds(beside, st.sampled_from("abc"), st.sampled_from([None, "dropped"])),
        ),
        max_size=20,
    ),
    st.lists(st.integers(0, 20), max_size=4),
)
def test_however_the_log_is_cut_the_same_rows_come_out_once(records, cuts):
    whole = Join(patience=100)
    expected = {row.id: (row.label, row.request) for row in whole.take(records)}
    parts, found = Join(patience=100), []
    places = [0, *sorted(cuts), len(records)]
    for start, end in itertools.pairwise(places):
        found += parts.take(records[start:end])
    assert {row.id: (row.label, row.request) for row in found} == expected
    assert len(found) == len(expected)


def test_draining_gives_tables_and_goes_on_where_it_ended(tmp_path):
    with LogWriter(tmp_path) as log:
        log.append(asked("a"))
        log.append(told("a"))
        first = drain(tmp_path, None, COLUMNS)
        log.append(asked("b"))
        second = drain(tmp_path, first.position, COLUMNS)
    assert first.predictions.to_dicts() == [
        {
            "request": "r-a",
            "id": "a",
            "time": NOON,
            "version": 1,
            "propensity": 0.5,
            "value": True,
            "score": [0.25, 0.75],
            "wind": 3.5,
            "carrier": "UA",
        }
    ]
    assert first.labels.to_dicts() == [{"id": "a", "label": True, "label_time": LATER, "received": LATER}]
    assert (second.predictions["id"].to_list(), second.labels.height) == (["b"], 0)


def test_draining_nothing_gives_empty_tables_of_the_same_types(tmp_path):
    empty = drain(tmp_path / "none", None, COLUMNS)
    assert empty.predictions.schema["wind"] == pl.Float64
    assert (empty.predictions.height, empty.labels.height, empty.damaged) == (0, 0, 0)
