"""The writing end of the prediction log: nothing that was acknowledged is lost, nothing refused is half there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from datetime import UTC, datetime

import pytest

from homeostat.cd.log import LabelItem, LabelRecord, LogReader, LogWriter, PredictionRecord, RowRecord, ShadowRecord
from homeostat.cd.log.segments import HEADER, SEAL, frame, segments
from homeostat.core.errors import StoreError

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
ROW = RowRecord("f1", 3, 0.95, {"carrier": "UA", "distance": 1400, "wind": None}, {3: [True, 0.25, 0.75]})
PREDICTION = PredictionRecord("r1", NOON, [ROW], awaits=(4,))
SHADOW = ShadowRecord(NOON, 4, ["r1"], ["f1"], [[False, 0.6, 0.4]])
LABELS = LabelRecord(NOON, [LabelItem("f1", True, NOON)])


def test_records_come_back_as_they_were_written(tmp_path):
    with LogWriter(tmp_path) as log:
        for record in (PREDICTION, SHADOW, LABELS):
            log.append(record)
    assert LogReader(tmp_path).read().records == [PREDICTION, SHADOW, LABELS]


def test_a_record_is_readable_before_the_writer_closes(tmp_path):
    with LogWriter(tmp_path) as log:
        log.append(PREDICTION)
        assert LogReader(tmp_path).read().records == [PREDICTION]


def test_segments_rotate_by_size_and_keep_the_order(tmp_path):
    records = [PredictionRecord(f"r{number}", NOON, [ROW]) for number in range(50)]
    with LogWriter(tmp_path, segment_bytes=1_000) as log:
        for record in records:
            log.append(record)
    assert len(segments(tmp_path)) > 3
    assert max(path.stat().st_size for path in segments(tmp_path)) <= 1_000 + len(SEAL)
    assert LogReader(tmp_path).read().records == records


def test_a_record_larger_than_a_segment_has_one_to_itself(tmp_path):
    large = PredictionRecord("large", NOON, [ROW] * 100)
    with LogWriter(tmp_path, segment_bytes=500) as log:
        for record in (PREDICTION, large, PREDICTION):
            log.append(record)
    assert LogReader(tmp_path).read().records == [PREDICTION, large, PREDICTION]


def test_two_writers_share_a_folder(tmp_path):
    with LogWriter(tmp_path) as one, LogWriter(tmp_path) as other:
        one.append(PREDICTION)
        other.append(LABELS)
        one.append(SHADOW)
        assert LogReader(tmp_path).read().records == [PREDICTION, SHADOW, LABELS]


@pytest.mark.parametrize("kept", range(1, 40, 7))
def test_a_torn_tail_is_cut_at_the_next_start(tmp_path, kept):
    with LogWriter(tmp_path) as log:
        log.append(PREDICTION)
    torn = frame(b"x" * 100)[:kept]
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[: -len(SEAL)] + torn)
    with LogWriter(tmp_path) as log:
        assert log.stats().repaired == kept
        log.append(LABELS)
    assert LogReader(tmp_path).read().records == [PREDICTION, LABELS]


def test_a_segment_that_died_at_birth_is_repaired(tmp_path):
    (tmp_path / "00000001-1.seg").write_bytes(HEADER[:3])
    with LogWriter(tmp_path) as log:
        log.append(PREDICTION)
    assert LogReader(tmp_path).read().records == [PREDICTION]


def test_repair_leaves_a_living_writer_alone(tmp_path):
    with LogWriter(tmp_path) as living:
        living.append(PREDICTION)
        with LogWriter(tmp_path):
            living.append(SHADOW)
        assert LogReader(tmp_path).read().records == [PREDICTION, SHADOW]


def test_a_closed_log_refuses(tmp_path):
    log = LogWriter(tmp_path)
    log.close()
    with pytest.raises(StoreError, match="is closed"):
        log.append(PREDICTION)


def test_counters(tmp_path):
    with LogWriter(tmp_path) as log:
        log.append(PREDICTION)
        log.append(LABELS)
        log.sync()
        stats = log.stats()
    assert (stats.records, stats.segments, stats.faults, stats.fault) == (2, 1, 0, None)
    assert stats.bytes == segments(tmp_path)[0].stat().st_size - len(HEADER) - len(SEAL)


def test_a_disk_that_fills_up_refuses_and_leaves_no_half_record(tmp_path):
    # The limit on file sizes makes the kernel refuse as a full disk does, in a process of its own.
    program = textwrap.dedent("""
        import json, resource, sys
        from datetime import UTC, datetime
        from pathlib import Path
        from homeostat.cd.log import LogReader, LogWriter, PredictionRecord
        from homeostat.core.errors import StoreError
        folder = Path(sys.argv[1])
        record = PredictionRecord("r" * 300, datetime(2013, 3, 1, tzinfo=UTC), [])
        log = LogWriter(folder)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        written = refused = 0
        for _ in range(6):
            try:
                log.append(record)
                written += 1
            except StoreError as error:
                refused += 1
                message = str(error)
        found = len(LogReader(folder).read().records)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.append(record)
        after = len(LogReader(folder).read().records)
        print(json.dumps([written, refused, found, after, log.stats().faults, message]))
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, env=environment, check=True
    )
    written, refused, found, after, faults, message = json.loads(done.stdout)
    assert written > 0
    assert refused > 0
    assert (found, after, faults) == (written, written + 1, refused)
    assert "cannot be written" in message
    assert "hint" in message


def test_every_segment_is_put_on_the_disk_as_it_was_sealed(tmp_path):
    largest = Counter()

    def sync(descriptor):
        status = os.fstat(descriptor)
        largest[status.st_ino] = max(largest[status.st_ino], status.st_size)

    with LogWriter(tmp_path, segment_bytes=500, sync=sync) as log:
        for number in range(100):
            log.append(PredictionRecord(f"r{number}", NOON, [ROW]))
    found = segments(tmp_path)
    assert len(found) > 10
    assert {path.stat().st_ino: path.stat().st_size for path in found} == largest


@pytest.fixture
def in_turns():
    """Threads give way to each other as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "two at once"])
def test_what_many_threads_append_is_there_once_and_in_the_order_of_each(tmp_path, in_turns, together):
    begin = threading.Barrier(6)

    def write(log, thread):
        begin.wait()
        for number in range(0, 200, 2):
            two = [PredictionRecord(f"{thread} {number + more}", NOON, [ROW]) for more in (0, 1)]
            if together:
                log.append_all(two)
            else:
                for record in two:
                    log.append(record)

    with LogWriter(tmp_path, segment_bytes=20_000) as log:
        threads = [threading.Thread(target=write, args=(log, thread)) for thread in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = log.stats()
    assert (stats.records, stats.damages, stats.faults) == (1_200, 0, 0)
    names = [record.request.split() for record in LogReader(tmp_path).read().records]
    for thread in range(6):
        assert [int(number) for one, number in names if int(one) == thread] == list(range(200))


@pytest.mark.parametrize("together", [False, True], ids=["append", "append_all"])
def test_nobody_appends_between_a_write_and_the_look_at_where_it_came_to_stand(tmp_path, monkeypatch, together):
    write, wrote, again, appenders = os.write, threading.Event(), threading.Event(), []

    def slowly(descriptor, data):
        done = write(descriptor, data)
        if threading.current_thread() is appenders[0]:
            wrote.set()
            again.wait(0.3)  # in vain: the second one has to wait
        elif threading.current_thread() in appenders:
            again.set()
        return done

    with LogWriter(tmp_path) as log:

        def append(record):
            log.append_all([record]) if together else log.append(record)

        appenders += [threading.Thread(target=append, args=(record,)) for record in (PREDICTION, LABELS)]
        monkeypatch.setattr(os, "write", slowly)
        appenders[0].start()
        assert wrote.wait(30)
        appenders[1].start()
        for one in appenders:
            one.join()
        assert (log.stats().damages, len(segments(tmp_path))) == (0, 1)
    assert LogReader(tmp_path).read().records == [PREDICTION, LABELS]


def test_a_record_that_came_during_a_sync_is_put_on_the_disk_by_the_next_one(tmp_path):
    pending = []

    def sync(descriptor):
        pending.append(log.stats().pending)
        if len(pending) == 1:
            log.append(LABELS)

    with LogWriter(tmp_path, sync=sync) as log:
        log.append(PREDICTION)
        log.sync()
        log.sync()
        assert (log.stats().records, log.stats().pending) == (2, 0)
    assert pending[:2] == [1, 1]


def test_a_record_longer_than_any_frame_is_refused_and_the_log_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("homeostat.cd.log.segments.LONGEST", 500)
    with LogWriter(tmp_path) as log:
        with pytest.raises(StoreError, match="longer than the prediction log takes"):
            log.append(PredictionRecord("r" * 500, NOON, [ROW]))
        log.append(SHADOW)
    assert LogReader(tmp_path).read().records == [SHADOW]


def test_a_segment_is_closed_at_its_age_and_an_empty_one_is_not(tmp_path):
    with LogWriter(tmp_path, segment_seconds=0.0) as log:
        for _ in range(3):
            log.sync()
        assert log.stats().segments == 1
        for record in (PREDICTION, SHADOW):
            log.append(record)
            log.sync()
        assert log.stats().segments >= 3
    assert LogReader(tmp_path).read().records == [PREDICTION, SHADOW]
