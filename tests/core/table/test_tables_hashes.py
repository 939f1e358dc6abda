"""Row hashes are a stored format: frozen values, and laws that any change would break."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.table.rows import row_hashes

ROWS = pl.DataFrame(
    {
        "n": [1, -1, None],
        "x": [0.5, -0.0, None],
        "s": ["", "naïve", None],
        "b": [True, False, None],
        "t": [datetime(2013, 1, 1, tzinfo=UTC), datetime(1969, 7, 20, 20, 17, tzinfo=UTC), None],
        "d": [date(2013, 1, 1), date(1969, 7, 20), None],
    },
    schema_overrides={"t": pl.Datetime("us", "UTC")},
)


GOLDEN = ["c00bcc8f5e2f4655", "f14852514e81f90c", "7da5952bd3e1919f"]


def test_hashes_have_the_values_that_tables_were_written_with() -> None:
    assert [f"{value:016x}" for value in row_hashes(ROWS)] == GOLDEN


def test_columns_may_stand_in_any_order_and_rows_hash_on_their_own() -> None:
    assert (row_hashes(ROWS) == row_hashes(ROWS.select(reversed(ROWS.columns)))).all()
    assert (row_hashes(ROWS)[::-1] == row_hashes(ROWS.reverse())).all()
    assert [row_hashes(ROWS[place])[0] for place in range(3)] == row_hashes(ROWS).tolist()


def test_zeros_of_both_signs_are_one_value() -> None:
    zeros = row_hashes(pl.DataFrame({"x": [0.0, -0.0]}))
    assert zeros[0] == zeros[1]


@given(st.lists(st.tuples(st.none() | st.integers(-99, 99), st.none() | st.text(max_size=4)), max_size=40))
def test_equal_rows_have_equal_hashes_and_others_do_not(data: list[tuple[int | None, str | None]]) -> None:
    rows = pl.DataFrame(data, schema={"n": pl.Int64, "s": pl.String}, orient="row")
    assert len(np.unique(row_hashes(rows))) == len(set(data))


def test_values_do_not_slide_between_columns_or_strings() -> None:
    pairs = pl.DataFrame({"a": ["ab", "a", "", "b", None], "b": ["c", "bc", "abc", "ac", "abc"]})
    assert len(np.unique(row_hashes(pairs))) == pairs.height
    assert row_hashes(pl.DataFrame({"a": ["x"]}))[0] != row_hashes(pl.DataFrame({"b": ["x"]}))[0]


def test_a_million_rows_do_not_collide() -> None:
    rows = pl.DataFrame({"n": pl.int_range(1_000_000, eager=True), "x": pl.int_range(1_000_000, eager=True) / 7})
    assert len(np.unique(row_hashes(rows))) == rows.height
