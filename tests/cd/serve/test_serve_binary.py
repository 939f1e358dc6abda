"""Binary tensors: read where they lie, and refused by name when they are not what they say."""

from __future__ import annotations

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.cd.serve.protocols.binary import cut, header_length, raw, read, split, write
from homeostat.core.errors import DataError

NUMBERS = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"]


def text(*values):
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_are_read_where_they_lie(datatype):
    body = memoryview(b"{}" + write(datatype, [0, 1, 100]))
    found = read("wind", datatype, [3, 1], body[2:])
    assert found.tolist() == [0, 1, 100]
    assert not found.flags.owndata


def test_extremes_come_through():
    for datatype, dtype in (("INT64", np.int64), ("UINT64", np.uint64)):
        ends = [np.iinfo(dtype).min, np.iinfo(dtype).max]
        assert read("n", datatype, [2], memoryview(write(datatype, ends))).tolist() == ends


def test_truths_are_one_byte_each():
    found = read("late", "BOOL", [3], memoryview(b"\x00\x01\x01"))
    assert found.dtype == bool
    assert found.tolist() == [False, True, True]
    assert write("BOOL", found) == b"\x00\x01\x01"


def test_bf16_is_the_upper_half_of_fp32():
    halves = (np.array([1.5, -2.0, 3e38], np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    assert read("wind", "BF16", [3], memoryview(halves)) == pytest.approx([1.5, -2.0, 3e38], rel=0.01)


@given(st.lists(st.text()))
def test_texts_come_back(values):
    assert read("carrier", "BYTES", [len(values)], memoryview(write("BYTES", values))) == values


def test_a_body_is_a_header_and_tensors():
    head, rest = split(b'{"a":1}' + b"\x01\x02\x03", 7)
    first, second = cut(rest, [("a", 1), ("b", 2)])
    assert (bytes(head), bytes(first), bytes(second)) == (b'{"a":1}', b"\x01", b"\x02\x03")


def test_a_whole_body_is_the_only_tensor():
    assert raw("wind", "FP64", struct.pack("<2d", 1.5, 2)).tolist() == [1.5, 2.0]
    assert raw("carrier", "BYTES", b"UA") == ["UA"]


BROKEN = {
    "too few bytes": ("FP64", [2], b"\0" * 15, ["'x'", "[2]", "15 bytes"]),
    "too many bytes": ("FP64", [2], b"\0" * 17, ["'x'", "17 bytes"]),
    "a shape beyond 64 bits": ("FP64", [2**62, 2**62], b"\0" * 16, ["'x'"]),
    "a shape that wraps around to the size": ("UINT8", [2**32, 2**32], b"", ["'x'"]),
    "a negative axis": ("INT8", [-1, -1], b"\0", ["'x'", "-1"]),
    "an unknown datatype": ("COMPLEX", [1], b"\0", ["'x'", "COMPLEX", "FP64"]),
    "a truth of two": ("BOOL", [2], b"\x01\x02", ["row 1", "'x'", "2"]),
    "NaN": ("FP32", [2], struct.pack("<2f", 1, float("nan")), ["row 1", "'x'", "nan", "null"]),
    "infinity": ("FP16", [1], np.array([np.inf], "<f2").tobytes(), ["row 0", "inf"]),
    "BF16 infinity": ("BF16", [1], b"\x80\x7f", ["row 0", "inf"]),
    "no UTF-8": ("BYTES", [2], text(b"UA", b"\xff"), ["row 1", "'x'", "UTF-8"]),
    "a text beyond the end": ("BYTES", [1], struct.pack("<I", 2**32 - 1) + b"UA", ["'x'", "text 0", "longer"]),
    "a torn length": ("BYTES", [1], b"\x01\x00\x00", ["'x'"]),
    "a torn second length": ("BYTES", [2], text(b"UA", b"A")[:-2], ["'x'", "text 1"]),
    "fewer texts than the shape": ("BYTES", [2], text(b"UALI", b"")[:-4], ["'x'", "2 texts", "1 in"]),
    "more texts than the shape": ("BYTES", [1], text(b"UA", b"AA"), ["'x'", "2 in"]),
    "endless texts in the shape": ("BYTES", [2**62], text(b"UA"), ["'x'", "6 bytes"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_tensor_that_lies_is_refused_by_name(case):
    datatype, shape, data, words = BROKEN[case]
    with pytest.raises(DataError) as caught:
        read("x", datatype, shape, memoryview(data))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([("a", 2), ("b", 9)], "'b' has the binary_data_size 9, and 2 bytes are left"),
        ([("a", 2)], "2 bytes behind the last tensor"),
        ([("a", -1)], "'a' has the binary_data_size -1"),
        ([("a", "2")], "'a' has the binary_data_size 2"),
        ([("a", True)], "'a' has the binary_data_size True"),
        ([("a", 2**70)], "4 bytes are left"),
    ],
)
def test_sizes_that_lie_are_refused(sizes, words):
    with pytest.raises(DataError, match=words):
        cut(memoryview(b"abcd"), sizes)


@pytest.mark.parametrize("value", [b"", b"-1", b"1e3", b"9" * 16, b"\xff", b" 7"])
def test_a_header_length_is_a_number(value):
    with pytest.raises(DataError, match="Inference-Header-Content-Length"):
        header_length([(b"inference-header-content-length", value)])


def test_a_header_length_beyond_the_body_is_refused():
    assert header_length([]) is None
    assert header_length([(b"inference-header-content-length", b"12")]) == 12
    with pytest.raises(DataError, match="the body has 2 bytes"):
        split(b"{}", 12)


def test_a_body_of_half_a_value_is_refused():
    with pytest.raises(DataError, match="9 bytes"):
        raw("wind", "FP64", b"\0" * 9)
    with pytest.raises(DataError, match="UTF-8"):
        raw("carrier", "BYTES", b"\xff")


@given(st.sampled_from([*NUMBERS, "BF16", "BOOL", "BYTES"]), st.lists(st.integers(-5, 2**65), max_size=3), st.binary())
def test_whatever_comes_is_read_or_refused(datatype, shape, data):
    with suppress(DataError):
        assert len(read("x", datatype, shape, memoryview(data))) == np.prod(shape, dtype=object)
