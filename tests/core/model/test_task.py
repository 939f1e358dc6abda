"""One rule says whether a target makes classification, for `init`, for runs and so for what is served."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from homeostat.core.errors import DataError
from homeostat.core.model.estimator import target_of
from homeostat.core.model.task import task_of_values
from homeostat.engine.scaffold.guess import guess
from homeostat.engine.scaffold.survey import survey

GRADES = [1, 2, 3] * 100
TARGETS = [
    ("truth values", pl.Series([True, False] * 150), "classification"),
    ("words", pl.Series(["low", "high", "none"] * 100), "classification"),
    ("a flag of 0 and 1", pl.Series([0, 1] * 150), "classification"),
    ("a flag of 0.0 and 1.0", pl.Series([0.0, 1.0] * 150), "classification"),
    ("whole grades", pl.Series(GRADES), "classification"),
    ("grades stored as fractions", pl.Series(GRADES, dtype=pl.Float64), "classification"),
    ("grades of 8 bits", pl.Series(GRADES, dtype=pl.Int8), "classification"),
    ("grades with rows still without one", pl.Series([*GRADES, None, None]), "classification"),
    ("counts up to 40", pl.Series(list(range(40)) * 8), "regression"),
    ("counts up to 40 stored as fractions", pl.Series([float(n) for n in range(40)] * 8), "regression"),
    ("fractions", pl.Series(np.linspace(0, 1, 300)), "regression"),
    ("three fractions", pl.Series([0.5, 1.0, 1.5] * 100), "regression"),
    ("a few rows of many counts", pl.Series([3, 1, 4, 1, 5, 9, 2, 6]), "regression"),
]


@pytest.mark.parametrize(("series", "task"), [pytest.param(s, t, id=name) for name, s, t in TARGETS])
def test_init_training_and_serving_take_a_target_for_the_same(series: pl.Series, task: str):
    rows = pl.DataFrame({"at": pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2027, 1, 1), "1h", eager=True)})
    rows = rows.head(series.len()).with_columns(series.alias("y"))
    said, why = task_of_values(rows["y"])
    assert said == task
    assert "'y'" in why
    assert target_of(rows.drop_nulls(), "y")[1] == task
    if rows.height >= 20:
        assert guess(survey([("rows", rows)]), "y").task == task


@pytest.mark.parametrize(
    ("metric", "task"), [("mae", "regression"), ("r2", "regression"), ("log_loss", "classification")]
)
def test_a_declared_metric_decides(metric: str, task: str):
    rows = pl.DataFrame({"y": GRADES})
    assert target_of(rows, "y", metric=metric)[1] == task


def test_an_estimator_decides_before_the_metric():
    assert target_of(pl.DataFrame({"y": GRADES}), "y", "regression", "accuracy")[1] == "regression"


def test_too_many_classes_are_refused_with_a_way_out():
    many = pl.DataFrame({"y": [f"c{n}" for n in range(300)] * 2})
    with pytest.raises(DataError, match="300 classes") as told:
        target_of(many, "y")
    assert "'other'" in str(told.value)
    days = pl.date_range(pl.date(2026, 1, 1), pl.date(2027, 8, 23), eager=True)
    seen = survey([("many", many.with_columns(days.alias("at")))])
    with pytest.raises(DataError, match="'other'"):
        guess(seen, "y")
