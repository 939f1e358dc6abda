"""Validation before training: skew and useless targets stop, the rest is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from homeostat.ci.validate import validate
from homeostat.core.errors import DataError, SchemaError
from homeostat.core.table.spec import TableSpec

SPEC = TableSpec(time="at", key=("id",), target="late", label_time="landed")
START = datetime(2013, 1, 1, tzinfo=UTC)
ROWS = pl.DataFrame({"id": range(100)}).with_columns(
    at=pl.lit(START) + pl.duration(hours=pl.col("id")),
    delay=(pl.col("id") * 37 % 100).cast(pl.Float64),
    carrier=pl.when(pl.col("id") % 3 == 0).then(pl.lit("AA")).otherwise(pl.lit("UA")),
    late=pl.col("id") % 2,
    landed=pl.lit(START) + pl.duration(hours=pl.col("id") + 3),
)


def test_the_first_rows_make_the_schema() -> None:
    first = validate(ROWS, SPEC)
    assert (first.rows, first.labelled, first.changes, first.signals) == (100, 100, (), ())
    assert [column.name for column in first.schema.columns] == ROWS.columns


def test_schema_skew_stops_and_names_everything() -> None:
    schema = validate(ROWS, SPEC).schema
    with pytest.raises(SchemaError) as caught:
        validate(ROWS.drop("carrier").with_columns(delay=pl.lit("soon")), SPEC, schema)
    assert "column 'carrier' is missing" in str(caught.value)
    assert "column 'delay' should be a number; found 'soon' (first in row 1, 100 of 100 rows)" in str(caught.value)


def test_value_skew_is_told_and_widens_the_schema() -> None:
    schema = validate(ROWS, SPEC).schema
    found = validate(ROWS.with_columns(delay=pl.col("delay") + 50, carrier=pl.lit("B6")), SPEC, schema)
    assert {signal.subject for signal in found.signals} == {"delay", "carrier"}
    assert found.schema["delay"].maximum == 149
    assert found.schema["carrier"].categories == ("AA", "B6", "UA")
    assert found.changes == (
        "column 'delay' ranges over 0 to 149, was 0 to 99",
        "column 'carrier' has categories 1 new (B6)",
    )


def test_a_leaking_column_is_told_and_does_not_stop() -> None:
    found = validate(ROWS.with_columns(arrived=pl.col("late") * 30.0), SPEC)
    assert [suspect.column for suspect in found.suspects] == ["arrived"]


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        (ROWS.clear(), "there are no rows to train on"),
        (ROWS.with_columns(late=pl.lit(None, pl.Int64)), "target 'late' is null in all 100 rows"),
        (ROWS.with_columns(late=pl.lit(1)), "target 'late' has one value only, 1 in all 100 labelled rows"),
        (ROWS.with_columns(landed=pl.col("at") - timedelta(hours=1)), "label time 'landed' is before event time 'at'"),
        (ROWS.with_columns(delay=pl.lit(float("nan"))), "column 'delay' holds nan in row 1"),
        (ROWS.drop("late"), "declared column 'late' is missing"),
    ],
)
def test_rows_that_nothing_can_be_learned_from_are_refused(rows: pl.DataFrame, part: str) -> None:
    with pytest.raises(DataError, match=part):
        validate(rows, SPEC)
