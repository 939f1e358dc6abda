"""What may be deleted of the log: only what nobody misses when it is read again from the start."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LogReader, LogWriter, Position, PredictionRecord, retire
from homeostat.cd.log.retention import Needed
from tests.cd.log_records import LATER, NOON, asked, beside, told

AFTER = NOON + timedelta(days=1)
LONG_AGO = NOON - timedelta(days=1)


def written(folder, *segments):
    """A log of closed segments and an empty open one; gives its writer's folder."""
    for records in (*segments, ()):
        with LogWriter(folder) as log:
            for record in records:
                log.append(record)
    return folder


def read(folder, keep=2):
    traffic = Traffic(folder, keep=keep)
    while traffic.take().more:
        continue
    return traffic


def left(folder, traffic, *, seen=AFTER, before=LONG_AGO):
    """The requests whose predictions are still in the log after everything that can go went."""
    retire(folder, traffic.released(seen=seen, before=before))
    return [record.request for record in LogReader(folder).read().records if hasattr(record, "request")]


def labelled(names):
    return [record for name in names for record in (asked(name), told(name))]


def test_rows_that_are_labelled_and_forgotten_go(tmp_path):
    folder = written(tmp_path, labelled("ab"), labelled("cd"), labelled("e"))
    assert left(folder, read(folder)) == ["r-c", "r-d", "r-e"]


def test_rows_that_are_remembered_stay(tmp_path):
    folder = written(tmp_path, labelled("ab"), labelled("cd"))
    assert left(folder, read(folder)) == ["r-a", "r-b", "r-c", "r-d"]


def test_rows_that_wait_for_their_label_stay_until_their_time_is_over(tmp_path):
    folder = written(tmp_path, [asked("a"), asked("b"), told("a")], labelled("cd"), labelled("e"))
    traffic = read(folder)
    assert "r-a" in left(folder, traffic, before=NOON)
    assert left(folder, traffic, before=LATER + timedelta(seconds=1)) == ["r-c", "r-d", "r-e"]


def test_rows_that_nobody_looked_at_stay(tmp_path):
    folder = written(tmp_path, labelled("ab"), labelled("cd"), labelled("e"))
    traffic = read(folder)
    assert "r-a" in left(folder, traffic, seen=LATER)
    assert "r-a" not in left(folder, traffic, seen=LATER + timedelta(seconds=1))


@pytest.mark.parametrize("late", [told("b"), beside("b")])
def test_what_was_said_of_a_row_stays_as_long_as_the_row(tmp_path, late):
    # The label of b lies in a segment of forgotten rows; b itself lies beside rows that are still waited for.
    folder = written(tmp_path, [asked("b"), asked("x")], [late, *labelled("cd")], labelled("efg"))
    traffic = read(folder)
    assert left(folder, traffic) == [f"r-{name}" for name in "bxcdefg"]
    assert left(folder, traffic, before=AFTER) == ["r-e", "r-f", "r-g"]


def test_a_label_whose_row_has_not_come_stays(tmp_path):
    folder = written(tmp_path, [told("z"), *labelled("ab")], labelled("cd"), labelled("e"))
    assert left(folder, read(folder))[0] == "r-a"
    with LogWriter(folder) as log:
        log.append(asked("z"))
    assert read(folder).outcomes(last=1).labels.tolist() == [True]


def test_a_log_without_records_goes(tmp_path):
    folder = written(tmp_path, [], [], labelled("a"))
    segments = len(list(folder.glob("*.seg")))
    left(folder, read(folder))
    assert len(list(folder.glob("*.seg"))) == segments - 2


def test_what_was_not_read_stays(tmp_path):
    folder = written(tmp_path, labelled("ab"), labelled("cd"), labelled("e"))
    assert retire(folder, Position()) == 0


RECORDS = st.lists(
    st.one_of(
        st.builds(asked, st.sampled_from("abcdefgh")),
        st.builds(told, st.sampled_from("abcdefgh"), st.booleans()),
        st.builds(beside, st.sampled_from("abcdefgh"), st.sampled_from([None, "dropped", "boom"])),
    ),
    max_size=8,
)


def each_row_once(segments):
    """The same log in which no id is predicted twice: when the first is deleted, the second is a row of its own."""
    known = set()
    return [
        [record for record in records if not isinstance(record, PredictionRecord) or new(record.rows[0].id, known)]
        for records in segments
    ]


def new(name, known):
    return name not in known and not known.add(name)


def newest(traffic, last):
    outcomes = traffic.outcomes(last=last)
    scores = {
        version: [None if np.isnan(row).any() else np.atleast_1d(row).tolist() for row in known]
        for version, known in outcomes.predictions.items()
    }
    asked_of = {version: mask.tolist() for version, mask in outcomes.asked.items()}
    return outcomes.times.tolist(), outcomes.label_times.tolist(), outcomes.labels.tolist(), scores, asked_of


@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS, min_size=2, max_size=6), st.sampled_from([1, 2]))
def test_what_is_left_gives_the_same_view_of_the_newest_rows(tmp_path_factory, segments, keep):
    folder = written(tmp_path_factory.mktemp("log"), *each_row_once(segments))
    before = read(folder, keep)
    retire(folder, before.released(seen=AFTER, before=LONG_AGO))
    again = read(folder, keep)
    last = min(keep, len(before))
    assert newest(again, last) == newest(before, last)


def chain():
    """Segments of which each speaks of a row of the next one, and only the last was written to lately."""
    needed = Needed()
    for number, segment in enumerate("dcba"):
        needed.record(segment, AFTER if segment == "d" else NOON)
        needed.row(segment, number)
        needed.joined(segment, segment, number)
    for segment, holder, number in (("a", "b", 2), ("b", "c", 1), ("c", "d", 0)):
        needed.speaks(segment, holder, number)
    return needed


def test_a_segment_stays_for_one_that_stays_for_another():
    assert chain().names(first=9, seen=AFTER, before=AFTER) == set("abcd")
    assert chain().names(first=9, seen=AFTER + timedelta(seconds=1), before=AFTER) == set()


def test_a_segment_stays_from_the_oldest_row_that_is_remembered_on():
    assert chain().names(first=3, seen=LATER + timedelta(days=9), before=AFTER) == {"a"}
    assert chain().names(first=2, seen=LATER + timedelta(days=9), before=AFTER) == {"a", "b"}


def test_a_label_that_waits_for_its_row_keeps_its_segment_until_it_is_found():
    needed = Needed()
    needed.record("a", NOON)
    needed.label("a")
    late = {"first": 9, "seen": AFTER}
    assert needed.names(**late, before=NOON) == {"a"}
    assert needed.names(**late, before=NOON + timedelta(seconds=1)) == set()
    needed.found("a")
    assert needed.names(**late, before=NOON) == set()
