"""The writing end of the prediction log: nothing that was acknowledged is lost, nothing refused is half there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
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
