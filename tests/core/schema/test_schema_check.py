"""Checks: schema skew is a problem that names column, row and value; value skew is a signal that stops nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from homeostat.core.errors import SchemaError
from homeostat.core.schema import Findings, check, fit, infer_schema
from homeostat.core.table.spec import TableSpec

SPEC = TableSpec(time="at", key=("id",), target="late", label_time="landed")
ROWS = pl.DataFrame(
    {
        "id": range(40),
        "at": [datetime(2013, 1, 1, hour % 24, tzinfo=UTC) for hour in range(40)],
        "carrier": ["AA", "UA"] * 20,
        "delay": [float(n) for n in range(40)],
        "seats": [100 + n for n in range(40)],
        "night": [True, False] * 20,
        "note": [None, "late crew"] * 20,
        "late": [0, 1] * 20,
        "landed": [datetime(2013, 1, 3, tzinfo=UTC)] * 40,
    }
)
SCHEMA = infer_schema(ROWS, SPEC)


def put(column: str, value: object, row: int = 7) -> pl.DataFrame:
    """The rows with one other value, or a column of another type when the value does not fit."""
    values = ROWS[column].to_list()
    values[row] = value
    if isinstance(value, str) and ROWS[column].dtype != pl.String:
        values = [str(one) for one in values]
    if isinstance(value, float):
        values = [float(one) for one in values]
    return ROWS.with_columns(pl.Series(column, values, strict=False))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (ROWS.drop("delay"), "column 'delay' is missing"),
        (ROWS.rename({"delay": "dealy"}), "column 'delay' is missing; did you mean 'dealy'?"),
        (ROWS.rename({"delay": "dealy"}), "column 'dealy' is unexpected; did you mean 'delay'?"),
        (ROWS.with_columns(gate=pl.lit("A1")), "column 'gate' is unexpected"),
        (put("delay", "soon"), "column 'delay' should be a number; found '0.0' (first in row 1, 40 of 40 rows)"),
        (put("seats", 107.5), "column 'seats' should be a whole number; found 107.5 (first in row 8, 1 of 40 rows)"),
        (ROWS.with_columns(carrier=pl.lit(3)), "column 'carrier' should be a category; found 3"),
        (ROWS.with_columns(night=pl.lit(1)), "column 'night' should be a boolean; found 1"),
        (ROWS.with_columns(at=pl.lit(1)), "column 'at' should be a time; found 1"),
        (put("delay", None), "column 'delay' is null, and never was (first in row 8, 1 of 40 rows)"),
        (put("delay", float("nan")), "column 'delay' holds nan; write null for what is unknown (first in row 8"),
        (put("delay", float("-inf")), "column 'delay' holds -inf"),
        (ROWS.drop("late"), "column 'late' is missing"),
    ],
)
def test_schema_skew_is_a_problem_with_an_example(rows: pl.DataFrame, problem: str) -> None:
    found = check(rows, SCHEMA, target_required=True)
    assert any(one.startswith(problem) for one in found.problems), found.problems


def test_all_problems_are_listed_at_once() -> None:
    rows = ROWS.drop("seats").with_columns(delay=pl.lit(float("inf")), carrier=pl.lit(1), gate=pl.lit(2))
    with pytest.raises(SchemaError) as caught:
        check(rows, SCHEMA, target_required=True).raise_if_any()
    assert all(f"column {name!r}" in str(caught.value) for name in ("seats", "delay", "carrier", "gate"))


def test_rows_that_fit_raise_nothing() -> None:
    found = check(ROWS, SCHEMA, target_required=True)
    found.raise_if_any()
    assert (found.problems, found.signals) == ((), ())


@pytest.mark.parametrize(
    "rows",
    [
        ROWS.with_columns(pl.col("seats").cast(pl.Float64)),
        ROWS.with_columns(pl.col("delay").cast(pl.Int32)),
        ROWS.with_columns(pl.col("carrier").cast(pl.Categorical)),
        ROWS.with_columns(note=pl.lit(None)),
        ROWS.select(reversed(ROWS.columns)),
    ],
)
def test_the_same_values_in_another_type_or_order_fit(rows: pl.DataFrame) -> None:
    assert check(rows, SCHEMA, target_required=True).problems == ()


def test_the_target_is_looked_at_only_when_it_is_required() -> None:
    assert check(ROWS.drop("late", "landed"), SCHEMA, target_required=False).problems == ()
    assert check(put("late", "yes"), SCHEMA, target_required=False).problems == ()


def test_unseen_categories_are_a_signal() -> None:
    found = check(ROWS.with_columns(carrier=pl.lit("B6")), SCHEMA, target_required=True)
    assert found.problems == ()
    (signal,) = found.signals
    assert (signal.kind, signal.subject, signal.value, signal.n) == ("value_drift", "carrier", 1.0, 40)
    assert "never seen before: 'B6'" in signal.detail


@pytest.mark.parametrize(("value", "span"), [(99.0, "0 to 99"), (-99.0, "-99 to ")])
def test_values_outside_the_range_seen_are_a_signal(value: float, span: str) -> None:
    (signal,) = check(put("delay", value), SCHEMA, target_required=True).signals
    assert (signal.subject, signal.value) == ("delay", 1 / 40)
    assert span in signal.detail


def test_text_from_a_file_comes_back_in_the_types_of_the_schema() -> None:
    text = pl.read_csv(ROWS.write_csv().encode())
    rows, findings = fit(text, SCHEMA, target_required=False)
    assert rows.equals(ROWS.drop("late", "landed"))
    assert findings == Findings()


def test_a_column_that_cannot_be_brought_to_its_type_is_told_once() -> None:
    wrong = put("delay", "soon").with_columns(at=pl.lit("yesterday"))
    _, findings = fit(wrong, SCHEMA, target_required=True)
    assert len(findings.problems) == 2
    assert "'at': row 1 has 'yesterday', which is no date or time" in findings.problems[0]
    assert "column 'delay' should be a number" in findings.problems[1]
