"""Coding features: the same codes for tables and records, and clear refusals."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.errors import DataError
from homeostat.core.model.encoder import VOCABULARY, Coder, fit_encoder
from tests.core.model_rows import rows

TABLE = rows(300).drop("y", "known", "id")
CODER = Coder(fit_encoder(TABLE))
SPAN = {"min_value": datetime(1990, 1, 1), "max_value": datetime(2040, 1, 1)}  # noqa: DTZ001 - hypothesis adds the zone


def test_categories_are_coded_by_their_place_in_a_sorted_vocabulary():
    coder = Coder(fit_encoder(pl.DataFrame({"c": ["UA", "AA", None, "DL"]})))
    assert coder.frame(pl.DataFrame({"c": ["AA", "DL", "UA"]})).ravel().tolist() == [0.0, 1.0, 2.0]


def test_unknown_and_missing_categories_are_missing():
    coder = Coder(fit_encoder(pl.DataFrame({"c": ["UA", "AA"]})))
    assert np.isnan(coder.frame(pl.DataFrame({"c": ["??", None]}))).all()


def test_the_most_frequent_categories_are_kept():
    text = [f"v{place:04d}" for place in range(500)] + ["v0499"] * 5
    code = fit_encoder(pl.DataFrame({"c": text})).codes[0]
    assert len(code.vocabulary) == VOCABULARY
    assert "v0499" in code.vocabulary


def test_free_text_is_ignored_by_name():
    encoder = fit_encoder(pl.DataFrame({"note": [f"text {place}" for place in range(3_000)], "x": [1.0] * 3_000}))
    assert encoder.ignored == ("note",)
    assert [code.name for code in encoder.codes] == ["x"]


def test_nothing_but_free_text_is_refused():
    with pytest.raises(DataError, match="note hold free text"):
        fit_encoder(pl.DataFrame({"note": [f"text {place}" for place in range(3_000)]}))


def test_times_become_hour_and_weekday():
    table = pl.DataFrame({"at": [datetime(2024, 1, 1, 6, 30, tzinfo=UTC)], "day": [date(2024, 1, 7)]})
    coder = Coder(fit_encoder(table))
    assert [code.label for code in coder.encoder.codes] == ["at.hour", "at.weekday", "day.weekday"]
    assert coder.frame(table).tolist() == [[6.5, 1.0, 7.0]]


def test_lists_are_refused_by_name():
    with pytest.raises(DataError, match="'tags' has the type List"):
        fit_encoder(pl.DataFrame({"tags": [[1, 2]]}))


@pytest.mark.parametrize("count", [1, 5, 64, 65, 300])
def test_records_and_tables_get_the_same_codes(count: int):
    part = TABLE.head(count)
    np.testing.assert_array_equal(CODER.frame(part), CODER.records(part.to_dicts()))


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "x": st.none() | st.floats(allow_nan=True, allow_infinity=False),
                "z": st.none() | st.integers(-(2**53), 2**53),
                "carrier": st.none() | st.sampled_from(["AA", "UA", "??", ""]),
                "rush": st.none() | st.booleans(),
                "at": st.none() | st.datetimes(timezones=st.just(UTC), **SPAN),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_records_get_the_codes_of_their_table(records: list[dict[str, object]]):
    types = {"x": pl.Float64, "z": pl.Int64, "carrier": pl.String, "rush": pl.Boolean, "at": pl.Datetime("us", "UTC")}
    frame = pl.DataFrame(records, schema=types)
    np.testing.assert_array_equal(CODER.frame(frame), CODER.records(records))


def test_missing_columns_are_named_with_a_hint():
    with pytest.raises(DataError, match="'carrier'") as caught:
        CODER.frame(TABLE.rename({"carrier": "carriers"}))
    assert "carriers" in str(caught.value.hint)


@pytest.mark.parametrize("value", [float("inf"), -float("inf")])
def test_infinity_is_refused_by_name_in_tables_and_records(value: float):
    with pytest.raises(DataError, match="'z' holds infinity"):
        CODER.frame(TABLE.head(3).with_columns(z=pl.lit(value)))
    with pytest.raises(DataError, match="'z' holds infinity"):
        CODER.records([{"z": value}])


def test_values_beyond_float32_are_clipped_to_finite_ones():
    codes = CODER.frame(TABLE.head(2).with_columns(z=pl.Series([1e300, -1e300])))
    assert np.isfinite(codes[:, 3]).all()
    np.testing.assert_array_equal(codes[:, 3], CODER.records([{"z": 1e300}, {"z": -1e300}])[:, 3])


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("z", "high", "should hold numbers"), ("carrier", 3, "should hold text"), ("at", 5.0, "should hold times")],
)
def test_another_type_than_in_training_is_refused(column: str, value: object, words: str):
    with pytest.raises(DataError, match=f"'{column}' {words}"):
        CODER.frame(TABLE.head(1).with_columns(pl.lit(value).alias(column)))
