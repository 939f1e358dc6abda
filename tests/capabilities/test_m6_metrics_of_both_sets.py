"""M6: a candidate has metrics on training and on test rows; without either it is refused."""

from __future__ import annotations

import msgspec
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat.ci.evaluate import evaluate
from homeostat.ci.gates import judge
from tests.core.model_rows import rows, trained

TRAIN, TEST = rows(900), rows(400, seed=1, start=900)
MODEL = trained(TRAIN, model=LogisticRegression()).model()


def refused(report) -> dict[str, str]:
    return {verdict.gate: verdict.reason for verdict in judge(report, ()) if not verdict.passed}


def test_both_are_measured_and_accepted():
    report = evaluate(MODEL, TRAIN, TEST)
    assert report.train["roc_auc"] is not None
    assert report.test["roc_auc"] is not None
    assert refused(report) == {}


@pytest.mark.parametrize("part", ["train", "test"])
def test_without_rows_of_one_part_it_is_refused(part: str):
    parts = {"train": TRAIN, "test": TEST} | {part: TEST.head(0)}
    assert "complete" in refused(evaluate(MODEL, parts["train"], parts["test"]))


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("value", [{}, {"roc_auc": None}, {"roc_auc": float("nan")}])
def test_without_metrics_of_one_part_it_is_refused(part: str, value: dict):
    report = msgspec.structs.replace(evaluate(MODEL, TRAIN, TEST), **{part: value})
    assert f"roc_auc on {part} rows" in refused(report)["complete"]
