"""Training: any estimator, fixed seeds, clear refusals, and the given estimator stays as it was."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from homeostat.core.errors import DataError, ModelError
from tests.core.model_rows import rows, trained

TABLE, NEW = rows(900), rows(300, seed=9, start=900)


def hit(bundle, **settings) -> float:
    return float((bundle.model(**settings).predict(NEW).value == NEW["y"].to_numpy()).mean())


@pytest.mark.parametrize(
    "model",
    [
        None,
        LogisticRegression(),
        RandomForestClassifier(20),
        SGDClassifier(loss="log_loss"),
        make_pipeline(
            ColumnTransformer(
                [
                    ("number", make_pipeline(SimpleImputer(), StandardScaler()), ["x", "z"]),
                    ("category", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
                ]
            ),
            LogisticRegression(),
        ),
    ],
    ids=["default", "logistic", "forest", "sgd", "columns"],
)
def test_estimators_learn(model):
    assert hit(trained(TABLE, model=model)) > 0.68


def test_the_default_for_numbers_is_a_regressor():
    bundle = trained(rows(300, target="number"))
    assert bundle.manifest.estimator.kind.endswith("HistGradientBoostingRegressor")
    assert bundle.manifest.estimator.params["early_stopping"] == "False"


def test_the_given_estimator_is_neither_fitted_nor_changed():
    model = SGDClassifier()
    trained(TABLE, model=model)
    assert model.random_state is None
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


@pytest.mark.parametrize("model", [None, RandomForestClassifier(5), SGDClassifier()], ids=["default", "forest", "sgd"])
def test_the_same_seed_gives_the_same_bytes(model):
    first, second = (trained(TABLE, model=model, seed=4) for _ in range(2))
    assert first.data == second.data
    assert first.manifest.to_json() == second.manifest.to_json()


def test_another_seed_is_another_model():
    first, second = (trained(TABLE, model=RandomForestClassifier(5), seed=seed) for seed in (0, 1))
    assert first.data != second.data


def test_weights_are_used():
    weights = np.where(TABLE["y"].to_numpy(), 50.0, 1.0)
    for model in (None, LogisticRegression()):
        plain, heavy = trained(TABLE, model=model), trained(TABLE, model=model, weights=weights)
        assert heavy.model().predict(NEW).positive.mean() > plain.model().predict(NEW).positive.mean() + 0.1


def test_features_make_the_inputs_and_are_named():
    def features(table: pl.DataFrame) -> pl.DataFrame:
        return table.select("x", minute=pl.col("at").dt.minute())

    manifest = trained(TABLE, features=features).manifest
    assert [code.label for code in manifest.encoder.codes] == ["x", "minute"]
    assert any(name.endswith("features") for name in manifest.features.functions)


def test_keys_are_no_features():
    assert "id" not in {code.name for code in trained(TABLE).manifest.encoder.codes}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": pl.lit(value=True)}, "one class only: True in all 900 rows"),
        ({"y": pl.lit(None, dtype=pl.Boolean)}, "null in every row"),
        ({"y": pl.when(pl.col("z") > 0).then("y")}, "null in"),
        ({"y": pl.when(pl.col("z") > 0).then(pl.col("z"))}, "null in"),
        ({"y": pl.lit(float("nan"))}, "'y' holds nan"),
        ({"z": pl.lit(float("inf"))}, "'z' holds inf"),
    ],
)
def test_broken_rows_are_refused_by_column(change, words: str):
    with pytest.raises(DataError, match=words):
        trained(TABLE.with_columns(**change))


class Refuses(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise ValueError("no thanks")

    def predict(self, X):
        return X


def test_an_estimator_that_fails_is_named_with_its_words():
    with pytest.raises(ModelError, match="Refuses could not be fitted on 900 rows: no thanks"):
        trained(TABLE, model=Refuses())


def test_weights_for_an_estimator_that_takes_none_are_refused():
    from sklearn.neighbors import KNeighborsClassifier

    with pytest.raises(ModelError, match="sample_weight"):
        trained(TABLE, model=KNeighborsClassifier(), weights=np.ones(900))


def test_an_estimator_without_predict_once_it_is_fitted_is_refused():
    class OnlyFit(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            return self

    with pytest.raises(ModelError, match="OnlyFit, has no predict after it was fitted"):
        trained(TABLE, model=OnlyFit())


def test_an_estimator_that_has_predict_only_once_it_is_fitted_is_trained():
    model = StackingClassifier([("linear", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=2))])
    assert not hasattr(model, "predict")
    assert trained(TABLE, model=model).model().predict(TABLE).value.dtype == bool


def test_a_column_that_is_never_known_does_not_stop_training():
    empty = TABLE.with_columns(z=pl.lit(None, dtype=pl.Float64))
    for model in (None, LogisticRegression()):
        bundle = trained(empty, model=model)
        assert bundle.manifest.encoder.ignored == ("z",)
        assert np.isfinite(bundle.model().predict(TABLE).score).all()


def test_settings_are_tried_and_the_best_is_taken():
    settings = [{"max_iter": 1, "learning_rate": 0.001}, {"max_depth": 3}]
    bundle = trained(TABLE, model=HistGradientBoostingClassifier(max_iter=30), candidates=settings)
    trials = bundle.manifest.candidates
    assert [trial.params for trial in trials] == [{}, *settings]
    assert sum(trial.chosen for trial in trials) == 1
    assert max(trials, key=lambda trial: trial.score).chosen


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(ModelError, match="does not exist"):
        trained(TABLE, model=LogisticRegression(), candidates=[{"depth": 3}])
