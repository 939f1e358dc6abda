"""Estimators are checked, cloned, seeded and prepared; targets are checked."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from homeostat.core.errors import DataError, ModelError
from homeostat.core.model.estimator import seeded_clone, takes_missing, target_of, task_of, wants_table


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([True, False], "classification"),
        (["a", "b"], "classification"),
        ([0, 1], "classification"),
        ([0, 1, 2], "regression"),
        ([0.5, 1.5], "regression"),
    ],
)
def test_the_target_makes_the_task(values: list[object], task: str):
    assert target_of(pl.DataFrame({"y": values}), "y")[1] == task


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, float("nan")], "holds NaN or infinity in 1 of 2"),
        ([1.0, float("inf")], "holds NaN or infinity"),
        ([1.0, None], "null in 1 of 2"),
        ([None, None], "null in every row"),
        ([True, True], "one class only"),
        (["a", "a"], "one class only"),
        ([[1], [2]], "which is no label"),
    ],
)
def test_a_broken_target_is_refused_by_name(values: list[object], words: str):
    with pytest.raises(DataError, match=f"target 'y' .*{words}"):
        target_of(pl.DataFrame({"y": values}, strict=False), "y")


def test_fractions_are_no_classes():
    with pytest.raises(DataError, match="holds fractions"):
        target_of(pl.DataFrame({"y": [0.5, 1.0]}), "y", "classification")


def test_a_missing_target_is_refused():
    with pytest.raises(DataError, match="'y' is missing"):
        target_of(pl.DataFrame({"x": [1]}), "y")


class Nothing:
    """No estimator at all."""


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Nothing(), "has no fit and no get_params"),
        (LogisticRegression, "is the class LogisticRegression"),
        (KMeans(), "neither a classifier nor a regressor"),
    ],
)
def test_what_cannot_be_trained_is_refused(model: object, words: str):
    with pytest.raises(ModelError, match=words):
        task_of(model)


def test_every_open_random_state_is_seeded_and_the_original_stays():
    model = VotingClassifier([("a", SGDClassifier()), ("b", RandomForestClassifier(random_state=3))])
    copy = seeded_clone(model, 7)
    params = copy.get_params()
    assert (params["a__random_state"], params["b__random_state"]) == (7, 3)
    assert model.get_params()["a__random_state"] is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (HistGradientBoostingClassifier(), True),
        (LogisticRegression(), False),
        (make_pipeline(StandardScaler(), LogisticRegression()), False),
        (make_pipeline(SimpleImputer(), LogisticRegression()), True),
    ],
)
def test_who_takes_missing_values(model: object, expected: bool):
    assert takes_missing(model) is expected


def test_who_takes_the_table():
    columns = ColumnTransformer([("scale", StandardScaler(), ["x"])])
    assert wants_table(make_pipeline(columns, LogisticRegression()))
    assert not wants_table(make_pipeline(StandardScaler(), LogisticRegression()))


def test_labels_come_as_numpy_in_their_own_type():
    assert target_of(pl.DataFrame({"y": [True, False]}), "y")[0].dtype == np.bool_
    assert target_of(pl.DataFrame({"y": ["a", "b"]}), "y")[0].tolist() == ["a", "b"]
