"""M5: the version in charge is scored again, on the same new test rows as the candidate."""

from __future__ import annotations

import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from homeostat.ci.evaluate import evaluate
from tests.core.model_rows import rows, trained

OLD, NEW, TEST = rows(700), rows(700, seed=1, start=700), rows(500, seed=2, start=1_400)
CHAMPION = trained(OLD, model=LogisticRegression())
CANDIDATE = trained(pl.concat([OLD, NEW]), model=LogisticRegression()).model()


@pytest.mark.parametrize("champion", [CHAMPION, CHAMPION.model()], ids=["bundle", "model"])
def test_both_are_scored_on_the_new_test_rows(champion):
    stored = CHAMPION.with_facts(test_metrics={"roc_auc": 0.123})
    found = evaluate(CANDIDATE, NEW, TEST, champion=champion, champion_version=7).champion
    truth = TEST["y"].to_numpy()
    assert found.rows == TEST.height
    assert found.value == pytest.approx(roc_auc_score(truth, CANDIDATE.predict(TEST).positive))
    assert found.other == pytest.approx(roc_auc_score(truth, CHAMPION.model().predict(TEST).positive))
    assert found.other != stored.manifest.test_metrics["roc_auc"]


def test_rows_that_either_has_seen_are_left_out_of_the_comparison():
    found = evaluate(CANDIDATE, NEW, pl.concat([OLD.tail(200), TEST]), champion=CHAMPION).champion
    assert found.rows == TEST.height
