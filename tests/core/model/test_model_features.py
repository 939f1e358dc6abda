"""`features()` sees no label, keeps every row, and looks at nothing but its own row."""

from __future__ import annotations

import polars as pl
import pytest

from homeostat.core.errors import DataError
from homeostat.core.model.features import apply_features, check_rowwise
from tests.core.model_rows import SPEC, rows

TABLE = rows(200)


def checked(features):
    made = apply_features(features, TABLE, labels=SPEC.labels)
    check_rowwise(features, TABLE, made, labels=SPEC.labels)
    return made


def test_labels_are_never_seen():
    seen = []
    apply_features(lambda table: seen.append(table.columns) or table, TABLE, labels=SPEC.labels)
    assert seen == [["id", "at", "x", "z", "carrier", "rush"]]


@pytest.mark.parametrize(
    ("features", "returned"),
    [(lambda table: table.head(150), 150), (lambda table: pl.concat([table, table]), 400)],
)
def test_another_number_of_rows_is_refused_with_both_counts(features, returned: int):
    with pytest.raises(DataError, match=f"given 200 rows and returned {returned}"):
        apply_features(features, TABLE, labels=SPEC.labels)


def test_something_else_than_a_table_is_refused():
    with pytest.raises(DataError, match="returned a LazyFrame") as caught:
        apply_features(lambda table: table.lazy(), TABLE)
    assert "collect" in str(caught.value.hint)


@pytest.mark.parametrize(
    "features",
    [
        lambda table: table.with_columns(mean=pl.col("z").mean()),
        lambda table: table.with_columns(future=pl.col("z").shift(-1)),
        lambda table: table.with_columns(past=pl.col("z").rolling_mean(3)),
        lambda table: table.sort("z"),
    ],
    ids=["mean", "future", "past", "order"],
)
def test_looking_at_other_rows_is_refused(features):
    with pytest.raises(DataError, match="looks at other rows"):
        checked(features)


def test_columns_that_depend_on_the_rows_are_refused():
    with pytest.raises(DataError, match="columns for 1 rows"):
        checked(
            lambda table: table.with_columns(pl.lit(1.0).alias(f"c{i}") for i in range(table["carrier"].n_unique()))
        )


def test_an_honest_function_passes():
    made = checked(lambda table: table.select(hour=pl.col("at").dt.hour(), twice=pl.col("x") * 2, carrier="carrier"))
    assert made.columns == ["hour", "twice", "carrier"]
