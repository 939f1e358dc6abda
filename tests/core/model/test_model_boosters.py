"""XGBoost and LightGBM: trained in a Loop, kept in their own text formats, answering as the estimator does."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest

from homeostat.core.errors import ModelError
from homeostat.core.model import Bundle
from homeostat.core.model.boosters import BoosterRuntime, dump_booster
from tests.cd.serving import bundle, flights

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")

FEW = {"n_estimators": 15, "n_jobs": 1}
CLASSIFIERS = {"xgboost": xgboost.XGBClassifier(**FEW), "lightgbm": lightgbm.LGBMClassifier(**FEW)}
REGRESSORS = {"xgboost": xgboost.XGBRegressor(**FEW), "lightgbm": lightgbm.LGBMRegressor(**FEW)}
ROWS = flights(400)
TARGETS = {
    "true and false": pl.col("late"),
    "text": pl.when("late").then(pl.lit("late")).otherwise(pl.lit("on time")),
    "three classes": pl.col("distance") // 1_000 + 5,
}


def trained(model, late=TARGETS["true and false"], rows=ROWS):
    return bundle(rows.with_columns(late=late), model=model)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("library", CLASSIFIERS)
def test_a_classifier_is_kept_in_its_own_format_and_proved(library, target):
    made = trained(CLASSIFIERS[library], TARGETS[target])
    assert made.manifest.blob.runtime == library
    assert made.manifest.blob.proof.holds
    found = made.model().predict(ROWS)
    labels = ROWS.select(TARGETS[target].alias("late"))["late"]
    assert found.score.shape == (400, labels.n_unique())
    assert np.allclose(found.score.sum(axis=1), 1)
    assert (found.value == labels.to_numpy()).mean() > 0.8
    assert made.manifest.signature.classes == tuple(sorted(labels.unique().to_list()))


@pytest.mark.parametrize("library", REGRESSORS)
def test_a_regressor_gives_numbers(library):
    made = trained(REGRESSORS[library], pl.col("distance") * 0.01)
    found = made.model().predict(ROWS)
    assert found.score is None
    assert np.abs(found.value - ROWS["distance"].to_numpy() * 0.01).mean() < 3


@pytest.mark.parametrize("library", CLASSIFIERS)
def test_missing_values_and_categories_never_seen_are_answered(library):
    made = trained(CLASSIFIERS[library]).model()
    carrier, wind = pl.Series(["UA", "??", "AA"]), pl.Series([None, 1.0, None], dtype=pl.Float64)
    odd = ROWS[:3].with_columns(carrier=carrier, wind=wind)
    assert np.isfinite(made.predict(odd).score).all()
    none = made.predict(ROWS.with_columns(wind=pl.lit(None, pl.Float64))).score
    assert np.abs(none - made.predict(ROWS).score).max() > 0.1


@pytest.mark.parametrize("library", CLASSIFIERS)
def test_the_same_rows_give_the_same_bytes(library):
    first, second = (trained(CLASSIFIERS[library]) for _ in range(2))
    assert first.data == second.data
    assert first.manifest.to_json() == second.manifest.to_json()


@pytest.mark.parametrize("library", CLASSIFIERS)
def test_the_estimators_own_answers_are_given_by_one_thread_and_several(library):
    made = trained(CLASSIFIERS[library])
    one, two = made.model().predict(ROWS), made.model(threads=2).predict(ROWS)
    assert one.score.tolist() == two.score.tolist()
    assert one.score[:1].tolist() == made.model().predict(ROWS[:1]).score.tolist()


@pytest.mark.parametrize("library", CLASSIFIERS)
def test_bytes_that_are_cut_off_or_forged_are_refused_before_the_library_reads_them(library):
    data = trained(CLASSIFIERS[library]).data
    middle = len(data) // 2
    shorter = data[:middle] + data[middle + 1 :] if library == "lightgbm" else data[:-1]
    for bad in (b"", b"{}", b"tree\nversion=v4\n", data[:middle], data[: -len(data) // 4], b"x" + data, shorter):
        with pytest.raises(ModelError, match=f"no whole {library} model"):
            BoosterRuntime(library, bad, regression=False)


@pytest.mark.parametrize("library", CLASSIFIERS)
def test_without_the_library_the_error_says_what_to_install(library, monkeypatch):
    made = trained(CLASSIFIERS[library])
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModelError, match=f"needs {library}, which is not installed") as told:
        Bundle(made.manifest, made.data).model()
    assert told.value.hint == f"pip install 'homeostat[{library}]'"


def test_an_objective_that_gives_no_probabilities_is_refused():
    with pytest.raises(ModelError, match="scores outside of 0 to 1"):
        trained(xgboost.XGBClassifier(objective="binary:logitraw", **FEW))


def test_an_estimator_that_was_not_fitted_has_nothing_to_store():
    for unfitted in (xgboost.XGBClassifier(), lightgbm.LGBMClassifier()):
        with pytest.raises(ModelError, match="cannot be stored"):
            dump_booster(unfitted)


def test_a_parameter_that_the_library_refuses_is_one_clear_error():
    with pytest.raises(ModelError, match="LGBMClassifier could not be fitted"):
        trained(lightgbm.LGBMClassifier(objective="nonsense", **FEW))
    with pytest.raises(ModelError, match="XGBClassifier could not be fitted"):
        trained(xgboost.XGBClassifier(objective="nonsense", **FEW))


def test_training_prints_nothing(capfd):
    trained(lightgbm.LGBMClassifier(n_estimators=3))
    trained(xgboost.XGBClassifier(n_estimators=3))
    assert capfd.readouterr().out == ""
