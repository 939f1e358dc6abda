"""What goes into the store comes back as what it was: type, value, order and all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from homeostat.core import events as ev
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.codecs import codec_name, decode, encode, register
from homeostat.core.errors import CodecError, IntegrityError
from homeostat.core.fingerprint import fingerprint

NOON = datetime(2013, 3, 1, 12, 30, 15, 5, tzinfo=UTC)


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Point:
    x: float
    y: tuple[int, ...]


class Pair(NamedTuple):
    left: int
    right: str


class Report(msgspec.Struct, frozen=True):
    html: str
    statistics: dict[str, object]
    made: datetime


class Secret:
    pass


VALUES = [
    None,
    True,
    0,
    -(2**63),
    2**63,
    10**40,
    1.5,
    -0.0,
    math.inf,
    -math.inf,
    "",
    "été \x00 \U0001f600",
    b"\x00\xff",
    [],
    [1, [2, (3, {"x": None})]],
    {"$": "tuple", "v": [1]},
    {1: "a", (2, 3): "b", None: "c"},
    {"b": 1, "a": 2},
    {1, 2, 3},
    frozenset({"a", "b"}),
    1 + 2j,
    NOON,
    NOON.replace(tzinfo=None),
    NOON.astimezone(ZoneInfo("Europe/Paris")),
    datetime(2013, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")),
    date(2013, 3, 1),
    time(12, 30),
    timedelta(days=-1, microseconds=1),
    Decimal("1.10"),
    Colour.RED,
    Point(0.5, (1, 2)),
    Pair(1, "x"),
    Report("<p>", {"rows": 3, "mean": (1.5, None)}, NOON),
    ev.Trigger(key="a", kind="manual", reason="because"),
]

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC) | st.none()),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_values_come_back_exactly(value):
    back = decode(encode(value))
    assert back == value
    assert fingerprint(back) == fingerprint(value)


@settings(deadline=None)
@given(plain)
def test_nested_values_come_back_exactly(value):
    assert fingerprint(decode(encode(value))) == fingerprint(value)


@settings(deadline=None)
@given(plain)
def test_equal_values_have_equal_bytes(value):
    assert encode(decode(encode(value))) == encode(value)


def test_nan_comes_back():
    assert math.isnan(decode(encode({"loss": math.nan}))["loss"])


FRAME = pl.DataFrame(
    {
        "n": pl.Series([1, None], dtype=pl.Int16),
        "f": [math.nan, None],
        "s": ["é", None],
        "t": [NOON, None],
        "l": [[1], []],
        "r": [{"x": 1}, None],
        "c": pl.Series(["a", None], dtype=pl.Categorical),
        "e": pl.Series(["a", None], dtype=pl.Enum(["b", "a"])),
        "d": [Decimal("1.50"), None],
        "p": [timedelta(1), None],
        "z": pl.Series([None, None]),
    }
)
FRAMES = [FRAME, FRAME.clear(), pl.DataFrame(), pl.DataFrame(height=3), pl.concat([FRAME, FRAME], rechunk=False)]


@pytest.mark.parametrize("frame", FRAMES, ids=["typed", "empty", "nothing", "no columns", "chunked"])
def test_tables_come_back_exactly(frame):
    back = decode(encode(frame))
    assert_frame_equal(back, frame)
    assert fingerprint(back) == fingerprint(frame)


def test_how_a_table_is_chunked_does_not_change_its_bytes():
    assert encode(pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)) == encode(FRAME)


def test_a_column_comes_back_exactly():
    assert_series_equal(decode(encode(FRAME["t"])), FRAME["t"])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.array([0.5, np.nan]),
        np.zeros((0, 3)),
        np.array(3.0),
        np.array(["a", "bc"]),
        np.array([NOON.replace(tzinfo=None)], "M8[us]"),
        np.asfortranarray(np.ones((2, 3))),
        np.zeros(2, [("a", "i4")]),
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_arrays_come_back_exactly(array):
    back = decode(encode(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_a_numpy_number_comes_back_as_one():
    back = decode(encode(np.float32(0.1)))
    assert (type(back), back) == (np.float32, np.float32(0.1))


def test_tables_and_arrays_inside_other_values_come_back():
    train, test = decode(encode((FRAME, {"y": np.arange(3), "names": ["a"]})))
    assert_frame_equal(train, FRAME)
    np.testing.assert_array_equal(test["y"], np.arange(3))


def test_a_registered_class_comes_back():
    register(Fraction, "fraction", lambda value: str(value).encode(), lambda data: Fraction(data.decode()))
    assert decode(encode(Fraction(1, 3))) == Fraction(1, 3)
    assert decode(encode({"share": Fraction(1, 3)})) == {"share": Fraction(1, 3)}


def test_a_codec_may_keep_parts_as_artifacts_of_their_own(tmp_path):
    blobs = ArtifactStore(tmp_path)
    register(
        complex,
        "apart",
        lambda value, blobs: blobs.put(str(value).encode()).encode(),
        lambda data, blobs: complex(blobs.get(data.decode()).decode()),
        blobs=True,
    )
    try:
        assert decode(encode(1 + 2j, blobs), blobs) == 1 + 2j
    finally:
        from homeostat.core.codecs.registry import by_type

        del by_type[complex]
    assert len(list(blobs.blobs.keys())) == 1


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Secret(), "Secret, which has no codec"),
        ({"model": [1, Secret()]}, r"value\['model'\]\[1\]"),
        (np.array([object()]), "Python objects"),
        (pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)}), "column 'x'"),
        ("\ud800", "surrogate"),
        (lambda: 0, "no codec"),
    ],
    ids=["object", "nested", "array", "table", "text", "function"],
)
def test_what_has_no_codec_is_refused_by_name(value, named):
    with pytest.raises(CodecError, match=named):
        encode(value)


def test_a_value_that_contains_itself_is_refused():
    value: list[object] = []
    value.append(value)
    with pytest.raises(CodecError, match="contain itself"):
        encode(value)


def test_an_estimator_is_refused_with_a_way_out():
    from sklearn.linear_model import LinearRegression

    with pytest.raises(CodecError, match="bundle"):
        encode(LinearRegression())


def test_a_lazy_table_is_refused_with_a_way_out():
    with pytest.raises(CodecError, match="collect it"):
        encode(pl.LazyFrame({"a": [1]}))


def test_the_first_line_says_what_the_bytes_are():
    assert encode(FRAME).startswith(b"homeostat/1 table\n")
    assert codec_name(encode({"a": 1})) == "json"


@pytest.mark.parametrize("data", [b"", b"PAR1", b"homeostat/1 json", b"homeostat/x json\n{}", b"\x80\x04."])
def test_foreign_bytes_are_refused(data):
    with pytest.raises(IntegrityError):
        decode(data)


@pytest.mark.parametrize("cut", [20, 40, 100])
def test_bytes_that_end_too_early_are_refused(cut):
    with pytest.raises(IntegrityError):
        decode(encode((FRAME, "x"))[:cut])


def test_a_newer_format_is_refused_with_the_way_out():
    with pytest.raises(CodecError, match="newer Homeostat"):
        decode(b"homeostat/2 json\n")


def test_an_unknown_codec_is_refused_with_the_way_out():
    with pytest.raises(CodecError, match="register"):
        decode(b"homeostat/1 onnx-runtime\n")


def test_bytes_never_name_a_class_that_is_not_a_loaded_record():
    for name in ("subprocess:Popen", "os:system", "not_imported:Thing", "builtins:eval", f"{__name__}:Secret"):
        hostile = encode(Pair(1, "x")).replace(f"{__name__}:Pair".encode(), name.encode())
        body = hostile.split(b"\n", 1)[1][8:]
        data = b"homeostat/1 json\n" + len(body).to_bytes(8, "big") + body
        with pytest.raises(CodecError):
            decode(data)
