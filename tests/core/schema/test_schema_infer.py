"""Schemas: inferred, widened, compared, written and read."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.errors import DataError, SchemaError
from homeostat.core.schema import MOST_CATEGORIES, Column, Schema, check, difference, infer_schema, merge
from homeostat.core.table.spec import TableSpec

SPEC = TableSpec(time="at", key=("id",), target="late")
ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "at": [datetime(2013, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
        "carrier": ["AA", None, "UA"],
        "delay": [1.5, -2.0, None],
        "night": [True, False, True],
        "late": [0, 1, 0],
    }
)


def test_kinds_nulls_ranges_and_categories_are_inferred() -> None:
    schema = infer_schema(ROWS, SPEC)
    assert schema.columns == (
        Column(name="id", kind="integer", nullable=False, minimum=1, maximum=3),
        Column(name="at", kind="time", nullable=False),
        Column(name="carrier", kind="category", nullable=True, categories=("AA", "UA")),
        Column(name="delay", kind="number", nullable=True, minimum=-2.0, maximum=1.5),
        Column(name="night", kind="boolean", nullable=False),
        Column(name="late", kind="integer", nullable=False, minimum=0, maximum=1),
    )


def test_text_with_a_value_per_row_is_not_listed() -> None:
    many = pl.DataFrame({"at": ["2013-01-01"] * 3_000, "name": [f"n{i}" for i in range(3_000)]})
    assert infer_schema(many, TableSpec(time="at"))["name"] == Column(name="name", kind="text", nullable=False)


def test_categories_are_listed_up_to_their_bound() -> None:
    names = [f"n{i % (MOST_CATEGORIES + extra)}" for extra in (0, 1) for i in range(4 * (MOST_CATEGORIES + extra))]
    rows = pl.DataFrame({"at": ["2013-01-01"] * len(names), "name": names})
    assert infer_schema(rows.head(4 * MOST_CATEGORIES), TableSpec(time="at"))["name"].kind == "category"
    assert infer_schema(rows, TableSpec(time="at"))["name"].kind == "text"


def test_a_schema_survives_json_and_keeps_its_digest() -> None:
    schema = infer_schema(ROWS, SPEC)
    again = Schema.from_json(schema.to_json())
    assert again == schema
    assert again.digest == schema.digest == infer_schema(ROWS, SPEC).digest


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(SchemaError, match="this is not a schema"):
        Schema.from_json(b'{"columns": 3}')


def test_the_inputs_of_a_prediction_are_all_but_target_and_label_time() -> None:
    assert [column.name for column in infer_schema(ROWS, SPEC).inputs] == ["id", "at", "carrier", "delay", "night"]


def test_no_rows_have_no_schema() -> None:
    with pytest.raises(DataError, match="no rows"):
        infer_schema(ROWS.clear(), SPEC)


def test_a_difference_is_told_in_sentences() -> None:
    changed = ROWS.drop("night").with_columns(
        delay=pl.Series([9.0, 1.0, 2.0]), carrier=pl.Series(["AA", "B6", "B6"]), gate=pl.Series(["A1", "A2", "A3"])
    )
    assert difference(infer_schema(ROWS, SPEC), infer_schema(changed.with_columns(late=pl.lit(0.5)), SPEC)) == (
        "column 'night' is gone (boolean)",
        "column 'gate' is new (category)",
        "column 'carrier' is never null now",
        "column 'carrier' has categories 1 new (B6) and 1 gone (UA)",
        "column 'delay' is never null now",
        "column 'delay' ranges over 1 to 9, was -2 to 1.5",
        "column 'late' was integer, is number",
    )


def test_the_same_schema_has_no_difference() -> None:
    assert difference(infer_schema(ROWS, SPEC), infer_schema(ROWS, SPEC)) == ()


@given(
    data=st.lists(st.tuples(st.none() | st.floats(-9, 9), st.none() | st.sampled_from("abc")), min_size=2, max_size=12),
    cut=st.integers(1, 11),
)
def test_a_merged_schema_is_fitted_by_the_rows_of_both(data: list[tuple[float | None, str | None]], cut: int) -> None:
    rows = pl.DataFrame(data, schema={"x": pl.Float64, "c": pl.String}, orient="row").with_columns(
        at=pl.lit(datetime(2013, 1, 1, tzinfo=UTC))
    )
    cut = min(cut, rows.height - 1)
    first, second = rows[:cut], rows[cut:]
    spec = TableSpec(time="at")
    merged = merge(infer_schema(first, spec), infer_schema(second, spec))
    for part in (first, second, rows):
        assert check(part, merged, target_required=True).problems == ()
        assert check(part, merged, target_required=True).signals == ()


def test_merging_categories_with_text_gives_text() -> None:
    names = pl.DataFrame({"at": ["2013-01-01"] * 3_000, "name": [f"n{i}" for i in range(3_000)]})
    spec = TableSpec(time="at")
    assert merge(infer_schema(names.head(5), spec), infer_schema(names, spec))["name"].kind == "text"
