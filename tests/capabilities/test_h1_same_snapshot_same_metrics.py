"""H1: retraining twice from the same snapshot and seed gives the same metrics, and the same bytes."""

from __future__ import annotations

import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier

from homeostat.ci.evaluate import evaluate
from homeostat.ci.preprocess import split
from homeostat.core.table.table import Table, read
from tests.core.model_rows import SPEC, rows, trained

MODELS = [None, HistGradientBoostingClassifier(), RandomForestClassifier(10), LogisticRegression(), SGDClassifier()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_the_same_snapshot_and_seed_give_the_same_metrics_and_bytes(tmp_path, model):
    table = Table(tmp_path / "rows", SPEC)
    table.append(rows(900), source="first")
    snapshot = table.snapshot()
    results = []
    for _ in range(2):
        parts = split(read(snapshot), SPEC)
        bundle = trained(parts.train, parts.test, model=model, seed=3)
        results.append((bundle, evaluate(bundle.model(), parts.train, parts.test, slices=("carrier",))))
        table.append(rows(50, seed=8, start=900), source="later")
    (first, before), (second, after) = results
    assert before == after
    assert first.data == second.data
    assert first.manifest.to_json() == second.manifest.to_json()
