"""A log that is full or refused by the disk: blocked or dropped, counted, noted, and good again by itself."""

from __future__ import annotations

import errno
import time
from datetime import timedelta

import pytest

from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LogReader, LogWriter, Position, PredictionRecord, UnrecordedRecord, retire
from homeostat.cd.log.segments import HEADER, SEAL, segments
from homeostat.core.clock import stopwatch
from homeostat.core.errors import StoreError
from tests.cd.log_records import NOON, asked, told

SMALL = 2_000


def until(condition, seconds=20):
    """Wait for what another thread does."""
    deadline = stopwatch() + seconds
    while not condition():
        assert stopwatch() < deadline, "it did not happen"
        time.sleep(0.005)


def fill(log, most=10_000):
    """Append until the log refuses; gives the records that it took."""
    taken = []
    for number in range(most):
        record = asked(f"a{number}", time=NOON + timedelta(seconds=number))
        before = log.stats().dropped
        try:
            log.append(record)
        except StoreError:
            return taken
        if log.stats().dropped > before:
            return taken
        taken.append(record)
    raise AssertionError("the log never refused")


def test_a_full_log_refuses_and_stays_within_its_limit(tmp_path):
    with LogWriter(tmp_path, segment_bytes=SMALL, most_bytes=3 * SMALL) as log:
        taken = fill(log)
        assert log.stats().refuses
        with pytest.raises(StoreError, match="may hold 6,000"):
            log.append(asked("more"))
        assert LogReader(tmp_path).read().records == taken
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 3 * SMALL + len(SEAL)


def test_a_full_log_is_good_again_when_segments_were_retired(tmp_path):
    with LogWriter(tmp_path, segment_bytes=SMALL, most_bytes=3 * SMALL) as log:
        fill(log)
        assert retire(tmp_path, LogReader(tmp_path).read().position) > 0
        until(lambda: log.stats().fault is None)  # without an append: an unready server gets no requests
        log.append(asked("again"))
    assert LogReader(tmp_path).read().records[-1] == asked("again")


def test_no_segment_of_a_bounded_log_is_more_than_a_quarter_of_it(tmp_path):
    with LogWriter(tmp_path, most_bytes=4 * SMALL) as log:
        for number in range(30):
            log.append(asked(f"a{number}"))
    assert len(segments(tmp_path)) > 1
    assert max(path.stat().st_size for path in segments(tmp_path)) <= SMALL + len(SEAL)


def test_two_writers_share_the_limit(tmp_path):
    with LogWriter(tmp_path, most_bytes=3 * SMALL) as one, LogWriter(tmp_path, most_bytes=3 * SMALL) as other:
        fill(one)
        with pytest.raises(StoreError, match="may hold"):
            other.append(asked("b"))


def test_what_is_dropped_is_counted_and_noted_where_it_is_missing(tmp_path):
    with LogWriter(tmp_path, segment_bytes=SMALL, most_bytes=3 * SMALL, when_full="drop") as log:
        taken = fill(log)
        first = log.stats()
        for number in range(9):
            log.append(asked(f"lost{number}", time=NOON + timedelta(hours=1, seconds=number)))
        position = LogReader(tmp_path).read().position
        retire(tmp_path, position)
        until(lambda: log.stats().fault is None)
        log.append(asked("again"))
        found = LogReader(tmp_path).read(position).records
    assert (first.dropped, first.refuses, log.stats().dropped) == (1, False, 10)
    since, last = NOON + timedelta(seconds=len(taken)), NOON + timedelta(hours=1, seconds=8)
    assert found == [UnrecordedRecord(last, since, 10), asked("again")]
    traffic = Traffic(tmp_path)
    traffic.take()
    assert traffic.counts.unrecorded == 10


def test_a_full_log_is_not_filled_up_with_notes_of_what_is_missing(tmp_path):
    with LogWriter(tmp_path, most_bytes=3 * SMALL, when_full="drop") as log:
        taken = fill(log)
        for number in range(50):
            log.append(asked(f"lost{number}"))
        assert (log.stats().records, log.stats().dropped) == (len(taken), 51)
    gaps = [record for record in LogReader(tmp_path).read().records if isinstance(record, UnrecordedRecord)]
    assert [gap.records for gap in gaps] in ([], [51])  # it is told of at the end if it still fits in


def test_labels_are_never_dropped(tmp_path):
    with LogWriter(tmp_path, segment_bytes=SMALL, most_bytes=3 * SMALL, when_full="drop") as log:
        fill(log)
        with pytest.raises(StoreError, match="may hold"):
            log.append(told("a" * SMALL))


class Disk:
    """Puts files on the disk as told, and remembers when."""

    def __init__(self):
        self.times, self.broken = [], False

    def __call__(self, descriptor):
        self.times.append(stopwatch())
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")


def test_after_a_failed_sync_nothing_is_taken_until_a_new_segment_is_on_the_disk(tmp_path):
    disk = Disk()
    with LogWriter(tmp_path, sync=disk) as log:
        log.append(asked("a"))
        disk.broken = True
        with pytest.raises(StoreError, match="cannot be put on the disk: Input/output error"):
            log.sync()
        with pytest.raises(StoreError, match="cannot be put on the disk"):
            log.append(asked("b"))
        tried = len(disk.times)
        until(lambda: len(disk.times) > tried + 3)
        assert len(segments(tmp_path)) == 2  # not one more with every attempt
        disk.broken = False
        until(lambda: log.stats().fault is None)
        log.append(asked("c"))
        assert log.stats().pending >= 1
        log.sync()
        assert log.stats().pending == 0
    assert LogReader(tmp_path).read().records == [asked("a"), asked("c")]


def test_a_log_that_the_disk_refused_refuses_until_the_disk_has_taken_a_segment(tmp_path):
    refuses, broken = [], [True]

    def sync(descriptor):
        refuses.append(log.stats().refuses)
        if broken:
            raise OSError(errno.EIO, "Input/output error")

    with LogWriter(tmp_path, sync=sync) as log:
        log.append(asked("a"))
        until(lambda: len(refuses) > 4)
        broken.clear()
        until(lambda: not log.stats().refuses)
    assert refuses[:5] == [False, True, True, True, True]


def test_records_reach_the_disk_within_a_tenth_of_a_second_under_load(tmp_path):
    disk = Disk()
    with LogWriter(tmp_path, sync=disk, segment_bytes=1 << 20) as log:
        begun = stopwatch()
        while stopwatch() - begun < 2:
            log.append(asked("a"))
        ended = stopwatch()
    syncs = sum(begun < moment <= ended for moment in disk.times)
    assert syncs >= 2 / 0.1
    assert log.stats().pending == 0


def test_the_file_holds_what_was_appended_and_nothing_else(tmp_path):
    with LogWriter(tmp_path) as log:
        log.append(asked("a"))
        (path,) = segments(tmp_path)
        assert path.stat().st_size == len(HEADER) + log.stats().bytes
        read = LogReader(tmp_path).read()
    assert path.stat().st_size == len(HEADER) + log.stats().bytes + len(SEAL)
    assert (read.records, read.damaged) == ([asked("a")], 0)
    assert LogReader(tmp_path).read(Position(1, read.position.segments)).records == []


def test_a_record_longer_than_the_step_in_which_room_is_looked_for(tmp_path):
    long = PredictionRecord("r" * 3_000_000, NOON, [])
    with LogWriter(tmp_path) as log:
        for record in (asked("a"), long, asked("b")):
            log.append(record)
    assert LogReader(tmp_path).read().records == [asked("a"), long, asked("b")]


def test_records_that_are_appended_together_are_all_taken_or_none(tmp_path):
    with LogWriter(tmp_path, segment_bytes=SMALL, most_bytes=3 * SMALL) as log:
        log.append_all([asked("a"), asked("b")])
        with pytest.raises(StoreError, match="may hold"):
            log.append_all([asked("c"), asked("d" * 3 * SMALL)])
        until(lambda: log.stats().fault is None)
        log.append(asked("e"))
        assert log.stats().records == 3
    assert LogReader(tmp_path).read().records == [asked("a"), asked("b"), asked("e")]
