"""C4: zero-variance, 1e-300, 1e300 and all-missing columns give a finite result or a typed error, never NaN."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from homeostat.ci.evaluate import evaluate
from homeostat.ci.gates import judge
from homeostat.ci.train.online import train_online
from homeostat.core.errors import HomeostatError
from homeostat.ct.how import Online
from tests.core.model_rows import NOW, rows, schema_of, trained

COLUMNS = {
    "zero variance": pl.lit(3.0),
    "tiny": pl.col("z") * 1e-300,
    "huge": pl.col("z") * 1e300,
    "tiny and huge": pl.when(pl.col("z") > 0).then(pl.lit(1e300)).otherwise(pl.lit(1e-300)),
    "all missing": pl.lit(None, dtype=pl.Float64),
    "one value and missing": pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(1.0)),
    "NaN": pl.lit(float("nan")),
    "infinite": pl.lit(float("inf")),
}
MODELS = {
    "binary": [None, LogisticRegression(), RandomForestClassifier(5)],
    "number": [None, Ridge(), LinearRegression()],
}
CASES = [
    pytest.param(column, target, model, id=f"{name}-{target}-{type(model).__name__}")
    for name, column in COLUMNS.items()
    for target, models in MODELS.items()
    for model in models
]


def or_typed_error(make):
    """What is made, or None when it is refused with an error that names the column."""
    try:
        return make()
    except HomeostatError as error:
        refusal = str(error)
    assert "extreme" in refusal
    return None


def finite(report) -> bool:
    values = [*report.train.values(), *report.test.values()]
    return all(value is None or np.isfinite(value) for value in values)


@pytest.mark.parametrize(("column", "target", "model"), CASES)
def test_an_extreme_feature_gives_finite_predictions_or_a_typed_error(column: pl.Expr, target: str, model):
    table = rows(400, target=target).with_columns(extreme=column)
    train, test = table.head(300), table.tail(100)
    loaded = or_typed_error(lambda: trained(train, test, model=model).model())
    if loaded is None:
        return
    said = loaded.predict(test)
    assert np.isfinite(said.value if said.score is None else said.score).all()
    report = evaluate(loaded, train, test, slices=("carrier",))
    assert finite(report)
    judge(report, ())


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
@pytest.mark.parametrize("target", ["binary", "number"])
def test_an_online_learner_stays_finite(column: pl.Expr, target: str):
    table = rows(300, target=target).with_columns(extreme=column)
    how = Online(learning_rate=0.5)
    learned = or_typed_error(lambda: train_online(table, table, schema=schema_of(table), now=NOW, how=how))
    if learned is None:
        return
    assert np.isfinite(learned.report.value)
    assert learned.report.rows == 300


@pytest.mark.parametrize("scale", [1e-300, 1e150, 1e300])
def test_an_extreme_target_gives_finite_metrics_or_a_typed_error(scale: float):
    table = rows(400, target="number").with_columns(y=pl.col("y") * scale / 100)
    for model in MODELS["number"]:
        try:
            loaded = trained(table.head(300), table.tail(100), model=model).model()
            assert finite(evaluate(loaded, table.head(300), table.tail(100)))
        except HomeostatError:
            continue
