"""What is stored: ONNX when proved, else skops with listed types; never what was not proved or not trusted."""

from __future__ import annotations

import os

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from homeostat.core.errors import ModelError
from homeostat.core.model import Output, trusted_types
from homeostat.core.model.convert import TOLERANCE, prove, store_estimator
from homeostat.core.model.runtimes import dump_estimator, load_estimator
from tests.core.model_rows import rows, trained

TABLE, NUMBERS = rows(800), rows(800, target="number")
WHOLE = TABLE.with_columns(x=TABLE["x"].fill_null(0), carrier=TABLE["carrier"].fill_null("AA"))
"""Nothing is missing in training; a category that is new in serving will be."""


@pytest.mark.parametrize(
    ("model", "table"),
    [
        (HistGradientBoostingClassifier(max_iter=30), TABLE),
        (HistGradientBoostingClassifier(max_iter=10), rows(800, target="three")),
        (HistGradientBoostingRegressor(max_iter=30), NUMBERS),
        (LogisticRegression(), TABLE),
        (LogisticRegression(), rows(800, target="three")),
        (make_pipeline(StandardScaler(), LogisticRegression()), TABLE),
        (Ridge(), NUMBERS),
        (GaussianNB(), TABLE),
        (KNeighborsClassifier(), TABLE),
        (MLPClassifier((6,), max_iter=500, tol=0.01), TABLE),
        (
            RandomForestClassifier(10),
            TABLE.with_columns(x=TABLE["x"].fill_null(0)).drop("carrier"),
        ),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_proved_conversions_are_stored_as_onnx(model, table):
    blob = trained(table, model=model).manifest.blob
    assert blob.runtime == "onnx", blob.reason
    assert blob.proof is not None
    assert blob.proof.max_error <= TOLERANCE
    assert blob.proof.rows >= table.height


@pytest.mark.parametrize(
    ("model", "table", "reason"),
    [
        (RandomForestClassifier(10), TABLE, "does not say the same"),
        (RandomForestClassifier(10), WHOLE, "does not say the same"),
        (LinearSVC(), TABLE, "no predict_proba"),
        (
            make_pipeline(
                ColumnTransformer(
                    [("n", StandardScaler(), ["z"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["carrier"])]
                ),
                LogisticRegression(),
            ),
            TABLE,
            "fitted on a table",
        ),
    ],
    ids=["missing values lost in conversion", "new categories lost in conversion", "no probabilities", "table"],
)
def test_what_is_not_proved_is_stored_by_skops_with_the_reason(model, table, reason: str):
    bundle = trained(table, model=model)
    assert bundle.manifest.blob.runtime == "skops"
    assert reason in str(bundle.manifest.blob.reason)
    bundle.model().check_golden()


def test_scores_without_predict_proba_keep_the_order_and_say_that_they_are_no_probabilities():
    bundle = trained(TABLE, model=RidgeClassifier())
    assert bundle.manifest.signature.outputs == ("label", "score")
    found = bundle.model().predict(TABLE)
    assert ((found.positive > 0.5) == found.value).all()


def test_native_categories_that_would_convert_wrongly_are_never_used():
    codes = np.column_stack([np.arange(900) % 9, np.random.default_rng(0).normal(size=900)]).astype(np.float32)
    model = HistGradientBoostingClassifier(categorical_features=[0], max_iter=20).fit(codes, codes[:, 0] % 2 == 0)
    stored = store_estimator(model, codes, (False, True))
    assert stored.runtime == "skops"


def output(scores: np.ndarray, places: object = None) -> Output:
    return Output(scores, scores.argmax(axis=1) if places is None else np.asarray(places))


def test_a_single_wrong_label_fails_the_proof():
    scores = np.tile([0.2, 0.8], (1000, 1))
    wrong = scores.copy()
    wrong[500] = [0.8, 0.2]
    assert prove(output(scores), output(scores)).holds
    assert not prove(output(scores), output(wrong)).holds


def test_equal_scores_with_another_label_fail_the_proof():
    scores = np.tile([0.2, 0.8], (1000, 1))
    found = prove(output(scores), output(scores, np.arange(1000) != 500))
    assert found.max_error == 0
    assert not found.holds


def test_nan_fails_the_proof():
    assert not prove(Output(np.ones(5)), Output(np.array([1, 1, np.nan, 1, 1.0]))).holds


def test_rows_between_two_classes_need_the_same_label_too():
    near, other = np.array([[0.5 + 1e-7, 0.5 - 1e-7]]), np.array([[0.5 - 1e-7, 0.5 + 1e-7]])
    assert not prove(output(near), output(other)).holds


class Stranger(ClassifierMixin, BaseEstimator):
    """An estimator of the user's own."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))

    def predict_proba(self, X):
        return np.tile([0.9, 0.1], (len(X), 1))


def test_types_of_ones_own_are_loaded_only_when_vouched_for():
    bundle = trained(TABLE, model=Stranger())
    with pytest.raises(ModelError, match=r"nobody vouched for.*Stranger"):
        bundle.model()
    bundle.model(trusted=trusted_types(Stranger())).check_golden()


def test_functions_inside_an_estimator_are_not_loaded():
    data, _ = dump_estimator(FunctionTransformer(os.getcwd))
    with pytest.raises(ModelError, match=r"nobody vouched for: posix\.getcwd"):
        load_estimator(data)
    with pytest.raises(ModelError, match=r"nobody vouched for: posix\.getcwd"):
        load_estimator(data, ["posix.getcwd"])


def test_a_type_that_is_not_listed_is_not_loaded():
    data, listed = dump_estimator(Stranger().fit([[0.0]], [1]))
    with pytest.raises(ModelError, match="nobody vouched for"):
        load_estimator(data)
    load_estimator(data, listed)


def test_equal_estimators_give_equal_skops_bytes():
    first, second = (RandomForestClassifier(4, random_state=1).fit([[0.0], [1], [2]], [0, 1, 0]) for _ in range(2))
    assert dump_estimator(first)[0] == dump_estimator(second)[0]


def test_no_pickle_is_inside_any_stored_model():
    for model in (None, RandomForestClassifier(3)):
        data = trained(TABLE, model=model).data
        assert not data.startswith(b"\x80")
        assert b".pkl" not in data
        assert b"joblib" not in data
