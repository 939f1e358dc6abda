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
REFUSED = ("NaN", "infinite")
"""What no column of a table may hold: refused at the door by the column's name; a model is made of every other one."""

MODELS = {
    "binary": [None, LogisticRegression(), RandomForestClassifier(5)],
    "number": [None, Ridge(), LinearRegression()],
}
CASES = [
    pytest.param(name, target, model, id=f"{name}-{target}-{type(model).__name__}")
    for name in COLUMNS
    for target, models in MODELS.items()
    for model in models
]


def finite(report) -> bool:
    values = [*report.train.values(), *report.test.values()]
    return all(value is None or np.isfinite(value) for value in values)


@pytest.mark.parametrize(("name", "target", "model"), CASES)
def test_an_extreme_feature_gives_finite_predictions_or_a_typed_error(name: str, target: str, model):
    table = rows(400, target=target).with_columns(extreme=COLUMNS[name])
    train, test = table.head(300), table.tail(100)
    if name in REFUSED:
        with pytest.raises(HomeostatError, match="column 'extreme' holds"):
            trained(train, test, model=model)
        return
    loaded = trained(train, test, model=model).model()
    said = loaded.predict(test)
    assert np.isfinite(said.value if said.score is None else said.score).all()
    report = evaluate(loaded, train, test, slices=("carrier",))
    assert report.test
    assert finite(report)
    assert {result.gate: result.passed for result in judge(report, ())}["complete"]


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("target", ["binary", "number"])
def test_an_online_learner_stays_finite(name: str, target: str):
    table = rows(300, target=target).with_columns(extreme=COLUMNS[name])
    how = Online(learning_rate=0.5)
    if name in REFUSED:
        with pytest.raises(HomeostatError, match="column 'extreme' holds"):
            train_online(table, table, schema=schema_of(table), now=NOW, how=how)
        return
    report = train_online(table, table, schema=schema_of(table), now=NOW, how=how).report
    assert np.isfinite(report.value)
    assert report.rows == 300


@pytest.mark.parametrize("model", MODELS["number"], ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("scale", [1e-300, 1e28, 1e31, 1e150, 1e300])
def test_an_extreme_target_gives_finite_metrics_or_a_typed_error(scale: float, model):
    table = rows(400, target="number").with_columns(y=pl.col("y") * scale / 100)
    train, test = table.head(300), table.tail(100)
    if scale > 1e30:
        with pytest.raises(HomeostatError, match="target 'y' reaches"):
            trained(train, test, model=model)
        return
    report = evaluate(trained(train, test, model=model).model(), train, test)
    assert finite(report)
    assert report.test["mae"] > 0
