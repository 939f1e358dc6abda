"""C13: one report holds train and test metrics, slices, calibration, invariance and direction; random splits warn."""

from __future__ import annotations

import polars as pl

from homeostat.ci.evaluate import directional, evaluate, invariant
from homeostat.ci.preprocess import split
from tests.core.model_rows import SPEC, rows, trained

TABLE = rows(1_500)
BEHAVIOURS = (
    invariant("the id says nothing", lambda table: table.with_columns(id=pl.lit("r0"))),
    directional("more x, more y", lambda table: table.with_columns(x=pl.col("x") + 2), expect="up", allowed=0.1),
)


def report(**settings):
    parts = split(TABLE, SPEC, **settings)
    return evaluate(
        trained(parts.train, parts.test).model(),
        parts.train,
        parts.test,
        slices=("carrier", "rush"),
        behaviours=BEHAVIOURS,
        warnings=parts.info.warnings,
    )


def test_one_report_holds_everything():
    found = report()
    assert {"roc_auc", "log_loss", "accuracy"} <= set(found.train)
    assert {"roc_auc", "log_loss", "accuracy"} <= set(found.test)
    assert found.scored["roc_auc"].low < found.test["roc_auc"] < found.scored["roc_auc"].high
    assert {part.column for part in found.slices} == {"carrier", "rush"}
    assert found.calibration.error is not None
    assert [(check.kind, check.passed) for check in found.behaviours] == [("invariance", True), ("directional", True)]
    assert {baseline.name for baseline in found.baselines} == {"majority", "persistence", "simple"}
    assert found.warnings == ()


def test_a_random_split_of_rows_with_times_warns():
    warnings = report(seed=1).warnings
    assert any("the split is random" in warning for warning in warnings)
    assert any("seen the future" in warning for warning in warnings)
