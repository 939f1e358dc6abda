"""H6: the training-window policy is recorded with the model, and a backtest compares at least three."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sklearn.linear_model import LogisticRegression

from homeostat.ci.backtest import backtest
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.model import Bundle, Lineage
from homeostat.ct.how import Refit
from tests.core.model_rows import SPEC, START, rows, trained

TABLE = rows(1_000)
METHODS = {"expanding": Refit(), "sliding": Refit(window="10d"), "weighted": Refit(half_life="5d")}


@pytest.mark.parametrize("name", METHODS)
def test_the_policy_and_its_window_are_in_the_manifest(tmp_path, name: str):
    how, now = METHODS[name], TABLE["at"].max()
    chosen = how.select(TABLE, "at", now)
    bundle = trained(
        chosen, model=LogisticRegression(), weights=how.weights(chosen, "at", now), lineage=Lineage(how=how.describe())
    )
    blobs = ArtifactStore(tmp_path)
    lineage = Bundle.read(blobs, bundle.save(blobs)).manifest.lineage
    assert lineage.how == how.describe()
    assert (lineage.window_start, lineage.window_end) == (chosen["at"].min(), chosen["at"].max())
    assert (lineage.window_end - lineage.window_start <= timedelta(days=10)) == (name == "sliding")


def test_a_backtest_compares_three_policies_on_the_same_rows():
    found = backtest(TABLE, SPEC, METHODS, start=START + timedelta(days=15), every="7d", model=LogisticRegression())
    assert set(found.reports) == set(METHODS)
    assert {report.rows for report in found.reports.values()} == {640}
    assert len({report.value for report in found.reports.values()}) > 1
    assert all(report.persistence is not None and report.kappa_per is not None for report in found.reports.values())


def test_a_loops_own_pipeline_records_the_policy():
    from homeostat.loop.steps import model as model_step

    class Split:
        schema = None

    from homeostat.ci.preprocess import split
    from tests.core.model_rows import schema_of

    parts = split(TABLE, SPEC)
    Split.schema = schema_of(TABLE)
    pieces = {"train": parts.train, "test": parts.test, "info": parts.info}
    bundle = model_step(pieces, Split, None, loop="l", estimator=LogisticRegression(), how=METHODS["weighted"])
    assert bundle.manifest.lineage.how["half_life"] == "5d"
