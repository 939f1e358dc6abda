"""C10: training before testing, ids disjoint, transforms fitted on training rows only, a planted leak is flagged."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from homeostat.ci.evaluate import evaluate
from homeostat.ci.gates import not_leaking
from homeostat.ci.preprocess import split
from homeostat.ci.train.fitting import inputs_of
from homeostat.core.model.encoder import fit_encoder
from homeostat.core.model.runtimes import load_estimator
from tests.core.model_rows import SPEC, rows, schema_of, trained

# The last fifth has another scale, so that statistics of all rows would differ from those of the training rows.
TABLE = rows(1_000).with_columns(z=pl.when(pl.int_range(pl.len()) >= 800).then(pl.col("z") * 50).otherwise("z"))
PARTS = split(TABLE, SPEC, test=0.2)


def test_every_training_row_is_before_every_test_row_and_no_id_is_in_both():
    assert PARTS.train["at"].max() < PARTS.test["at"].min()
    assert not set(PARTS.train["id"]) & set(PARTS.test["id"])
    assert PARTS.train["known"].max() <= PARTS.test["at"].min()


def test_scaler_statistics_are_those_of_the_training_rows():
    # SGD-free and stored by skops (it has no predict_proba), so that the fitted scaler can be looked at.
    from sklearn.linear_model import RidgeClassifier

    bundle = trained(PARTS.train, PARTS.test, model=RidgeClassifier())
    pipeline = load_estimator(bundle.data)
    front = pipeline.named_steps["prepare"]
    scaler = front.named_transformers_["number"].named_steps["scale"]
    encoder = bundle.manifest.encoder
    numbers = [place for place in range(len(encoder.codes)) if place not in encoder.categorical]
    train_only = inputs_of(PARTS.train, encoder, schema_of(PARTS.train))[:, numbers].astype(float)
    filled = np.where(np.isnan(train_only), np.nanmedian(train_only, axis=0), train_only)
    expected = StandardScaler().fit(filled)
    np.testing.assert_allclose(scaler.mean_, expected.mean_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scaler.scale_, expected.scale_, rtol=1e-5)
    everything = inputs_of(TABLE, encoder, schema_of(TABLE))[:, numbers].astype(float)
    assert not np.allclose(scaler.scale_, np.nanstd(everything, axis=0), rtol=0.1)


def test_the_vocabulary_is_that_of_the_training_rows():
    late = TABLE.with_columns(carrier=pl.when(pl.int_range(pl.len()) >= 850).then(pl.lit("NEW")).otherwise("carrier"))
    parts = split(late, SPEC, test=0.2)
    encoder = trained(parts.train, parts.test).manifest.encoder
    assert encoder == fit_encoder(parts.train.drop("y", "known"), exclude=("id",))
    assert "NEW" not in encoder.codes[encoder.categorical[0]].vocabulary


@pytest.mark.parametrize(
    "planted",
    [
        pl.col("y").cast(pl.Float64),
        pl.col("y").cast(pl.Float64) * -3 + pl.col("x").fill_null(0) * 0.001,
        pl.when("y").then(pl.lit("arrived late")).otherwise(pl.lit("arrived in time")),
    ],
    ids=["copy", "noisy copy", "text"],
)
def test_a_planted_leak_is_flagged_by_name(planted: pl.Expr):
    table = TABLE.with_columns(planted=planted)
    parts = split(table, SPEC, test=0.2)
    report = evaluate(trained(parts.train, parts.test).model(), parts.train, parts.test)
    assert [leak.feature for leak in report.leaks] == ["planted"]
    verdict = not_leaking().check(report)
    assert not verdict.passed
    assert "planted" in verdict.reason


def test_honest_features_are_not_flagged():
    report = evaluate(trained(PARTS.train, PARTS.test, model=LogisticRegression()).model(), PARTS.train, PARTS.test)
    assert report.leaks == ()
    assert not_leaking().check(report).passed
