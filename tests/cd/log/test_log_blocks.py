"""Requests that are recorded by columns read exactly as if their rows had been recorded one by one."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import BlockRecord, LogReader, LogWriter, Packed, PredictionRecord, RowRecord
from homeostat.cd.log.columns import expand
from homeostat.cd.log.records import Written
from homeostat.cd.log.segments import HEADER, frame
from homeostat.core.errors import IntegrityError
from tests.cd.log_records import told

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
DTYPES = ("<f8", "<f4", "<i8", "<i4", "|i1", "|u1", "|b1")
TEXT = st.text(max_size=8)
RAW = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), TEXT, st.just(NOON)
)


def several(rows, values):
    return st.lists(values, min_size=rows, max_size=rows)


@st.composite
def packed(draw, count):
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    bits = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    numbers = np.frombuffer(bits, dtype=dtype)
    numbers = numbers.view("u1") > 7 if dtype.kind == "b" else np.nan_to_num(numbers)
    return Packed(dtype.str, numbers.tobytes()), numbers.tolist()


@st.composite
def columns(draw, count):
    """A column as it is recorded, and its values."""
    if draw(st.booleans()):
        return draw(packed(count))
    values = draw(several(count, RAW))
    return values, values


@st.composite
def scores(draw, count):
    classes = draw(st.integers(0, 3))
    if not classes:
        return None, [[]] * count
    flat = draw(st.one_of(packed(count * classes), several(count * classes, st.floats(0, 1)).map(lambda x: (None, x))))
    values = [flat[1][place * classes : (place + 1) * classes] for place in range(count)]
    return flat[0] or values, values


@st.composite
def requests(draw):
    """A request by columns, and the same one by rows."""
    count = draw(st.integers(1, 5))
    request = draw(TEXT)
    named = [f"{request}/{place}" for place in range(count)] if count > 1 else [request]
    ids = draw(st.none() | several(count, TEXT))
    arms = draw(st.integers(1, 9) | several(count, st.integers(1, 9)))
    shares = draw(st.floats(0, 1) | several(count, st.floats(0, 1)))
    inputs = {name: draw(columns(count)) for name in draw(st.lists(TEXT, max_size=3, unique=True))}
    values, probabilities = draw(columns(count)), draw(scores(count))
    awaits = tuple(draw(st.lists(st.integers(1, 9), max_size=2)))
    recorded = {name: column for name, (column, _) in inputs.items()}
    block = BlockRecord(request, NOON, count, ids, arms, shares, recorded, values[0], probabilities[0], awaits=awaits)
    rows = []
    for place in range(count):
        arm = arms[place] if isinstance(arms, list) else arms
        share = shares[place] if isinstance(shares, list) else shares
        features = {name: column[place] for name, (_, column) in inputs.items()}
        scored = [values[1][place], *probabilities[1][place]]
        rows.append(RowRecord((ids or named)[place], arm, share, features, {arm: scored}))
    return block, PredictionRecord(request, NOON, rows, awaits)


@given(request=requests())
def test_a_block_reads_as_its_rows(request):
    block, rows = request
    read = expand(msgspec.msgpack.decode(msgspec.msgpack.encode(block), type=Written))
    assert read == rows
    assert msgspec.msgpack.encode(read) == msgspec.msgpack.encode(rows)  # equal in types as well: 1 is not 1.0


def block(count, request="r"):
    wind = Packed("<f8", np.arange(count, dtype="<f8").tobytes())
    return BlockRecord(request, NOON, count, None, 3, 1.0, {"wind": wind}, [True] * count, [[0.25, 0.75]] * count)


def test_a_block_is_read_from_the_log_beside_other_records(tmp_path):
    with LogWriter(tmp_path) as log:
        for record in (block(2), told("r/1"), block(1, "s")):
            log.append(record)
    first, label, second = LogReader(tmp_path).read().records
    assert first.rows[1] == RowRecord("r/1", 3, 1.0, {"wind": 1.0}, {3: [True, 0.25, 0.75]})
    assert label == told("r/1")
    assert [row.id for row in second.rows] == ["s"]


def test_labels_join_the_rows_of_a_block(tmp_path):
    with LogWriter(tmp_path) as log:
        log.append(block(64))
        log.append(told("r/63"))
    traffic = Traffic(tmp_path)
    arrived = traffic.take()
    assert [features for features, _, _ in arrived.labelled] == [{"wind": 63.0}]
    assert (traffic.counts.predictions, traffic.counts.joined, traffic.counts.unknown_labels) == (64, 1, 0)


def test_a_limit_counts_rows_and_not_requests(tmp_path):
    with LogWriter(tmp_path, segment_bytes=4_000) as log:
        for number in range(20):
            log.append(block(64, f"r{number}"))
    batch = LogReader(tmp_path).read(limit=128)
    assert batch.more
    assert len(batch.records) < 20
    assert len(batch.records) + len(LogReader(tmp_path).read(batch.position).records) == 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 3},
        {"ids": ["a"]},
        {"columns": {"wind": [1.0, 2.0, 3.0]}},
        {"columns": {"wind": Packed("<f8", b"1234567")}},
        {"columns": {"wind": Packed("furlongs", b"12345678")}},
        {"values": [True]},
        {"scores": Packed("<f8", b"\0" * 24)},
    ],
)
def test_a_block_whose_parts_do_not_fit_is_named(tmp_path, wrong):
    (tmp_path / "00000001-1.seg").write_bytes(
        HEADER + frame(msgspec.msgpack.encode(msgspec.structs.replace(block(2), **wrong)))
    )
    with pytest.raises(IntegrityError, match="00000001-1"):
        LogReader(tmp_path).read()
