"""The reading end of the prediction log: positions, damage and retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cd.log import LabelItem, LabelRecord, LogReader, LogWriter, Position, PredictionRecord, RowRecord, retire
from homeostat.cd.log import segments as segment_files
from homeostat.cd.log.segments import HEADER, SEAL, frame, scan, segments
from homeostat.core.errors import IntegrityError, StoreError

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)


def record(name):
    return PredictionRecord(name, NOON, [RowRecord(name, 1, 1.0, {"x": 1.5}, {1: [2.0]})])


def names(batch):
    return [found.request for found in batch.records]


def test_an_absent_folder_holds_nothing(tmp_path):
    batch = LogReader(tmp_path / "nothing").read()
    assert (batch.records, batch.position, batch.damaged, batch.more) == ([], Position(), 0, False)


def test_reading_goes_on_from_a_position(tmp_path):
    reader = LogReader(tmp_path)
    with LogWriter(tmp_path) as log:
        log.append(record("a"))
        first = reader.read()
        log.append(record("b"))
        second = reader.read(first.position)
        third = reader.read(second.position)
    assert [names(first), names(second), names(third)] == [["a"], ["b"], []]
    assert third.position.records == 2


def test_a_position_survives_json(tmp_path):
    with LogWriter(tmp_path) as log:
        log.append(record("a"))
    position = LogReader(tmp_path).read().position
    assert msgspec.json.decode(msgspec.json.encode(position), type=Position) == position


def test_a_limit_splits_the_reading_without_loss(tmp_path):
    with LogWriter(tmp_path, segment_bytes=200) as log:
        for number in range(20):
            log.append(record(str(number)))
    reader, position, seen = LogReader(tmp_path), Position(), []
    while (batch := reader.read(position, limit=3)).records:
        seen += names(batch)
        position = batch.position
    assert seen == [str(number) for number in range(20)]


def test_records_of_two_writers_are_each_read_once(tmp_path):
    reader, position, seen = LogReader(tmp_path), Position(), []
    with LogWriter(tmp_path) as one, LogWriter(tmp_path) as other:
        for number in range(6):
            (one if number % 2 else other).append(record(str(number)))
            batch = reader.read(position)
            position = batch.position
            seen += names(batch)
    assert seen == ["0", "1", "2", "3", "4", "5"]


def test_a_frame_in_flight_is_read_when_it_is_whole(tmp_path):
    path = tmp_path / "00000001-1.seg"
    whole = frame(msgspec.msgpack.encode(record("a")))
    reader = LogReader(tmp_path)
    path.write_bytes(HEADER + whole[:20])
    first = reader.read()
    path.write_bytes(HEADER + whole)
    assert [names(first), names(reader.read(first.position))] == [[], ["a"]]


def test_damage_in_the_middle_is_skipped_and_counted(tmp_path):
    frames = [frame(msgspec.msgpack.encode(record(name))) for name in "abc"]
    broken = bytearray(frames[1])
    broken[-1] ^= 0x40
    (tmp_path / "00000001-1.seg").write_bytes(HEADER + frames[0] + bytes(broken) + frames[2] + SEAL)
    batch = LogReader(tmp_path).read()
    assert names(batch) == ["a", "c"]
    assert batch.damaged == len(frames[1])


def test_a_frame_that_is_written_while_its_page_is_being_read_is_no_damage(tmp_path, monkeypatch):
    frames = [frame(msgspec.msgpack.encode(record(name))) for name in "ab"]
    path = tmp_path / "00000001-1.seg"
    path.write_bytes(HEADER + bytes(len(frames[0])) + frames[1])
    read_from = segment_files.read_from

    def slowly(*what):
        # The first frame came after its page was read, and before the page of the second one was.
        seen = read_from(*what)
        path.write_bytes(HEADER + b"".join(frames))
        return seen

    monkeypatch.setattr(segment_files, "read_from", slowly)
    batch = LogReader(tmp_path).read()
    assert (names(batch), batch.damaged) == (["a", "b"], 0)


def test_a_newer_format_is_refused(tmp_path):
    (tmp_path / "00000001-1.seg").write_bytes(b"HSEG\x09\0\0\0")
    with pytest.raises(StoreError, match="reads up to version 1"):
        LogReader(tmp_path).read()


def test_a_whole_frame_that_is_no_record_is_named(tmp_path):
    (tmp_path / "00000001-1.seg").write_bytes(HEADER + frame(msgspec.msgpack.encode([9, "unknown"])))
    with pytest.raises(IntegrityError, match="00000001-1"):
        LogReader(tmp_path).read()


def test_retirement_deletes_only_what_was_read_to_its_end(tmp_path):
    with LogWriter(tmp_path, segment_bytes=200) as log:
        for number in range(8):
            log.append(record(str(number)))
        reader = LogReader(tmp_path)
        half = reader.read(limit=4)
        before = [path.name for path in segments(tmp_path)]
        assert retire(tmp_path, half.position) > 0
        left = reader.read(half.position)
        assert names(half) + names(left) == [str(number) for number in range(8)]
        retire(tmp_path, left.position)
        assert [path.name for path in segments(tmp_path)] == before[-1:]


def test_a_segment_that_was_read_but_for_its_last_byte_stays(tmp_path):
    with LogWriter(tmp_path, segment_bytes=200) as log:
        for number in range(8):
            log.append(record(str(number)))
    read = LogReader(tmp_path).read().position
    almost = {name: offset - (name == min(read.segments)) for name, offset in read.segments.items()}
    retire(tmp_path, Position(read.records, almost))
    assert [path.name for path in segments(tmp_path)] == [min(almost), max(almost)]


def test_what_was_made_of_segments_is_on_the_disk_before_they_go(tmp_path):
    with LogWriter(tmp_path, segment_bytes=200) as log:
        for number in range(8):
            log.append(record(str(number)))
    there = []
    position = LogReader(tmp_path).read().position
    retire(tmp_path, position, sync=lambda: there.append(len(segments(tmp_path))))
    retire(tmp_path, position, sync=lambda: there.append(len(segments(tmp_path))))
    assert len(there) == 1  # the second time there is nothing to delete
    assert there[0] > len(segments(tmp_path)) == 1


def test_retirement_keeps_what_is_young(tmp_path):
    with LogWriter(tmp_path, segment_bytes=200) as log:
        for number in range(8):
            log.append(record(str(number)))
    position = LogReader(tmp_path).read().position
    assert retire(tmp_path, position, before=datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert retire(tmp_path, position, before=datetime.now(UTC) + timedelta(days=1)) > 0


def test_numbers_go_on_after_retirement(tmp_path):
    with LogWriter(tmp_path):
        pass
    with LogWriter(tmp_path):
        pass
    retire(tmp_path, LogReader(tmp_path).read().position)
    with LogWriter(tmp_path):
        assert [path.name[:8] for path in segments(tmp_path)] == ["00000002", "00000003"]


@given(payloads=st.lists(st.binary(min_size=1, max_size=60), max_size=8), cut=st.integers(0, 40))
def test_scanning_finds_every_whole_frame_before_a_cut(payloads, cut):
    whole = b"".join(frame(payload) for payload in payloads)
    kept = whole[: max(0, len(whole) - cut)]
    found = scan(kept)
    assert found.payloads == payloads[: len(found.payloads)]
    assert found.damaged == 0
    assert len(kept) - found.consumed < (len(frame(payloads[len(found.payloads)])) if kept != whole else 1)


def test_labels_keep_their_types(tmp_path):
    items = [LabelItem(str(number), value, NOON) for number, value in enumerate([True, 1, 1.0, "late"])]
    with LogWriter(tmp_path) as log:
        log.append(LabelRecord(NOON, items))
    found = LogReader(tmp_path).read().records[0].labels
    assert [(type(item.label), item.label) for item in found] == [(bool, True), (int, 1), (float, 1.0), (str, "late")]
