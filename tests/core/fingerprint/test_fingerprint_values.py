"""A name is the same for equal values, for ever, and different for different ones."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from homeostat.core.fingerprint import FingerprintError, fingerprint

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Point:
    x: int
    y: int


class Window(msgspec.Struct, frozen=True):
    days: int
    name: str = "w"


class Table(msgspec.Struct, frozen=True):
    uri: str
    digest: str

    def __fingerprint__(self):
        return self.digest


# These are part of the on-disk format: when one changes, every cache and every bundle in the world is stale.
GOLDEN = [
    (None, "da33d64ea6256528f183299a9a589b0e3495061a246388d7df6c944c20d2de5d"),
    (True, "9268047e8ac07b4940f074f38b5d7c6d6aab98e92bd286b059a4c0c6c613f524"),
    (1, "13aaa720a36e7abdb795d99d25318d34f1baceb461077584bf2030024308594d"),
    (2**70, "53ab0a4a623c6c7f5878d03f6043331a490dbfcfb9542eff18655b2b15b23ffe"),
    (1.5, "81a6de0e5d986dff7edc0f723b50e75ae27a41a80ded8d62e7ed7a6481a92512"),
    (-0.0, "428213cc6074edf0de9c910897f8e420b52549a799b10cf21b5d24babb19ced2"),
    (math.nan, "b9da1c33a67fb6e22b20540326994b4eb9d0abfca74d058516623cb83e926da1"),
    ("été", "01aed0fa93f59e2e3aa6cb3c5c98f68bce7f36639bef76e429f13d960c78f951"),
    (b"bytes", "e50ecf52b85473e56f2ddee91beb47e377d506c7e200ecb905dba2d3f268b8be"),
    ([1, [2, "three"]], "74f4a42abaa16dbf6387a4f130d414f369ec842f05ed311c4b1cbae52d95d961"),
    ((1, 2), "536c25b868aa3bf08cee3c481d5ed1505f2ebc8b201edc4e4f89f32190c99f83"),
    ({"a": 1, "b": [2.0]}, "3068d1664974cfffec59e2df54b35fab7173be744324221a9f9036b3ed77ceeb"),
    ({1, 2, 3}, "b27af9d8121d834de0e96ad67f3def5b000132c229163e9a16de20a91bc812dc"),
    (NOON, "8cc0641b4980c6393322146ceeed2d5a9be27f3b30bb46e9bcf15e4ecf85d4b1"),
    (date(2013, 3, 1), "30b295e8182184e374d1b9851235eaa9d66c8d04cef9bfed07955a08af30b6f2"),
    (timedelta(days=1, seconds=2), "ae15f46a42f4e43bb8398edf83c5e6f80e5a1b1d885077707bcfdd4d1938e65b"),
    (Decimal("1.10"), "e8608b83733188164b3ea9b398c96c6e009b4c476867003452eaf30a978b04f1"),
    (np.arange(6, dtype=np.int32).reshape(2, 3), "ba4702cea146435942c9c3d1f11ce7b74391ff4e34472b912b7e8c29150ee384"),
    (np.array([0.5, np.nan]), "7792aac03f0dd1d1931bd3661edecdc4f324d7fe6e19924e1f9ff2d7b865aa66"),
    (np.float32(0.5), "df8b5be6747bcb78d48eaa2517bc46e0b6ab5a0f43d6a545592c7598738ff2b9"),
    (
        pl.DataFrame({"n": [1, None], "s": ["a", "b"]}),
        "55a1d342dbee0e43ac70593292adcebbaf986b1213f1835b2d9efc50c03f21cc",
    ),
    (pl.Series("t", [NOON, None]), "c7139dc698c70155b2f2e874425387b4b4f9175b7e78fda5e7c5684e23edfc5b"),
]

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.timedeltas(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(("value", "expected"), GOLDEN, ids=lambda value: type(value).__name__)
def test_names_never_change(value, expected):
    assert fingerprint(value) == expected


def test_all_golden_values_have_different_names():
    assert len({expected for _, expected in GOLDEN}) == len(GOLDEN)


@settings(deadline=None)
@given(plain)
def test_a_copy_has_the_same_name(value):
    assert fingerprint(_copy(value)) == fingerprint(value)


@settings(deadline=None)
@given(plain, plain)
def test_values_that_differ_have_different_names(left, right):
    assert (fingerprint(left) == fingerprint(right)) == (_exact(left) == _exact(right))


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_a_dict_is_irrelevant(value):
    assert fingerprint(dict(reversed(value.items()))) == fingerprint(value)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(), max_size=3), min_size=1, max_size=4))
def test_nesting_is_part_of_the_name(value):
    flat = [item for inner in value for item in inner]
    assert fingerprint(value) != fingerprint(flat)


@pytest.mark.parametrize(
    "alike",
    [
        [1, 1.0, True, "1", b"1", Decimal(1), np.int64(1), np.float64(1), np.int32(1), [1], (1,), {1}, frozenset({1})],
        [0.0, -0.0],
        [NOON, NOON.replace(tzinfo=None), NOON.astimezone(ZoneInfo("Europe/Paris")), NOON.date(), NOON.isoformat()],
        [Colour.RED, Colour.BLUE, 1],
        [Point(1, 2), Point(2, 1), (1, 2), {"x": 1, "y": 2}],
        [Window(3), Window(4), Window(3, "v"), {"days": 3, "name": "w"}],
        [["ab", "c"], ["a", "bc"], ["abc"]],
        [{}, set(), [], (), None, "", b""],
    ],
    ids=lambda alike: repr(alike[0]),
)
def test_values_that_look_alike_have_different_names(alike):
    assert len({fingerprint(value) for value in alike}) == len(alike)


def test_every_nan_has_one_name():
    quiet = struct.unpack(">d", bytes.fromhex("fff8000000000001"))[0]
    assert fingerprint(quiet) == fingerprint(math.nan) == fingerprint(float("inf") - float("inf"))
    assert fingerprint(np.array([1.0, quiet])) == fingerprint(np.array([1.0, np.nan]))
    assert fingerprint(pl.Series("x", [quiet])) == fingerprint(pl.Series("x", [np.nan]))


def test_a_missing_number_is_not_nan():
    assert fingerprint(pl.Series("x", [None], dtype=pl.Float64)) != fingerprint(pl.Series("x", [math.nan]))


ARRAYS = [
    np.zeros((2, 3)),
    np.zeros((3, 2)),
    np.zeros(6),
    np.zeros((2, 3), np.float32),
    np.zeros((2, 3), np.int64),
    np.zeros((2, 3), ">f8"),
    np.zeros((2, 3), bool),
    np.zeros((2, 3), "M8[us]"),
    np.zeros((0, 3)),
    np.zeros((3, 0)),
    np.array(["a", "b"]),
    np.array(["a", "b"], object),
    np.zeros(2, [("a", "i4"), ("b", "f8")]),
    np.zeros(2, [("b", "i4"), ("a", "f8")]),
    np.zeros((2, 3)).tolist(),
]


def test_shape_and_dtype_are_part_of_an_arrays_name():
    assert len({fingerprint(array) for array in ARRAYS}) == len(ARRAYS)


def test_the_memory_layout_of_an_array_is_irrelevant():
    array = np.arange(12).reshape(3, 4)
    assert fingerprint(np.asfortranarray(array)) == fingerprint(array) == fingerprint(array[::-1][::-1])


FRAME = pl.DataFrame(
    {
        "n": [1, 2, None],
        "f": [0.5, None, math.nan],
        "s": ["a", None, "été"],
        "t": [NOON, None, NOON + timedelta(hours=1)],
        "b": [True, None, False],
        "l": [[1], [], None],
        "r": [{"x": 1}, {"x": None}, None],
        "y": [b"a", None, b""],
        "d": [Decimal("1.50"), None, Decimal("0.00")],
        "c": pl.Series(["a", "b", None], dtype=pl.Categorical),
        "e": pl.Series(["a", "b", None], dtype=pl.Enum(["a", "b", "c"])),
        "p": pl.Series([timedelta(1), None, timedelta(2)]),
        "q": pl.Series([date(2013, 1, 1), None, date(2013, 1, 2)]),
        "a": pl.Series([[1, 2], [3, 4], None], dtype=pl.Array(pl.Int64, 2)),
        "z": pl.Series([None, None, None]),
    }
)


def test_every_column_of_a_table_is_part_of_its_name():
    names = {fingerprint(FRAME)}
    for column in FRAME.columns:
        names.add(fingerprint(FRAME.drop(column)))
        names.add(fingerprint(FRAME.rename({column: column + "2"})))
        if column != "z":
            names.add(fingerprint(FRAME.with_columns(pl.lit(None, FRAME[column].dtype).alias(column))))
    assert len(names) == 3 * FRAME.width


@pytest.mark.parametrize("column", [name for name in FRAME.columns if name != "z"])
def test_every_cell_of_a_table_is_part_of_its_name(column):
    orders = [[0, 1, 2], [1, 0, 2], [2, 1, 0]]
    assert len({fingerprint(FRAME[column][order]) for order in orders}) == len(orders)


def test_the_order_of_columns_is_part_of_a_tables_name():
    assert fingerprint(FRAME.select(reversed(FRAME.columns))) != fingerprint(FRAME)


def test_the_dtype_of_a_column_is_part_of_its_name():
    dtypes = [pl.Int8, pl.Int32, pl.Int64, pl.UInt8, pl.Float32, pl.Float64, pl.String, pl.Duration("us")]
    dtypes += [pl.Duration("ms"), pl.Datetime("us"), pl.Datetime("us", "UTC"), pl.Date]
    assert len({fingerprint(pl.Series("x", [1, 2]).cast(dtype)) for dtype in dtypes}) == len(dtypes)


def test_how_a_table_is_chunked_is_irrelevant():
    chunked = pl.concat([FRAME[:1], FRAME[1:]], rechunk=False)
    assert chunked["n"].n_chunks() == 2
    assert fingerprint(chunked) == fingerprint(FRAME)


def test_a_text_cannot_be_moved_between_neighbouring_cells():
    assert fingerprint(pl.Series("s", ["ab", "c"])) != fingerprint(pl.Series("s", ["a", "bc"]))


def test_a_list_cannot_be_moved_between_neighbouring_cells():
    assert fingerprint(pl.Series("s", [[1, 2], [3]])) != fingerprint(pl.Series("s", [[1], [2, 3]]))


def test_an_estimator_is_its_class_and_its_parameters():
    def model(c=1.0):
        return make_pipeline(StandardScaler(), LogisticRegression(C=c))

    assert fingerprint(model()) == fingerprint(model())
    assert fingerprint(model()) != fingerprint(model(2.0))


def test_a_fitted_estimator_is_refused():
    with pytest.raises(FingerprintError, match="fitted"):
        fingerprint(LogisticRegression().fit([[0], [1]], [0, 1]))


def test_a_class_can_say_what_stands_for_its_values():
    assert fingerprint(Table("here", "abc")) == fingerprint(Table("there", "abc"))
    assert fingerprint(Table("here", "abc")) != fingerprint("abc")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Path("rows.csv"), "path"),
        (np.random.default_rng(0), "seed"),
        (pl.col("x") + 1, "Expr"),
        (pl.Series("x", [object()], dtype=pl.Object), "column 'x'"),
        ({"model": [1, object()]}, r"\['model'\]\[1\]"),
        (iter([1]), "list_iterator"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_named_is_refused_by_name(value, named):
    with pytest.raises(FingerprintError, match=named):
        fingerprint(value)


def test_a_value_that_contains_itself_is_refused():
    value: list[object] = []
    value.append(value)
    with pytest.raises(FingerprintError, match="contain itself"):
        fingerprint(value)


def _copy(value):
    if isinstance(value, dict):
        return {_copy(key): _copy(item) for key, item in reversed(value.items())}
    if isinstance(value, list | tuple):
        return type(value)(map(_copy, value))
    if isinstance(value, float):
        return struct.unpack(">d", struct.pack(">d", value))[0]
    return value


def _exact(value):
    """Equality as a fingerprint sees it: types count, NaN equals NaN, zeros keep their sign, dicts have no order."""
    if isinstance(value, dict):
        return "dict", frozenset((_exact(key), _exact(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(_exact, value))
    if isinstance(value, float):
        return "float", "nan" if math.isnan(value) else struct.pack(">d", value)
    return type(value).__name__, value
