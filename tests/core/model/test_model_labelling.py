"""Labels are the estimator's own: thresholds, rules, any order of classes, no scores at all; proved or asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier

from homeostat.cd.serve.scoring.scores import Labels
from homeostat.core.errors import ModelError
from homeostat.core.model.convert import store_estimator
from homeostat.core.model.labelling import TIE, Labelling, Output, places_of, without_threshold
from homeostat.core.model.runtimes import EstimatorRuntime, OnnxRuntime
from tests.core.own_words import Backwards, Rule, Unsure, Votes

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(600, 4)).astype(np.float32)
SIGNAL = CODES[:, 0] + 0.5 * CODES[:, 1] ** 2 + 0.5 * RNG.normal(size=600)
TARGETS = {
    "truths": SIGNAL > 0.9,
    "texts": np.where(SIGNAL > 0.9, "fraud", "fine"),
    "three": np.where(SIGNAL > 1, "high", np.where(SIGNAL < 0, "low", "mid")),
}
UNSEEN = (1.5 * RNG.normal(size=(3_000, 4))).astype(np.float32)
LINEAR = LogisticRegression()

# estimator, target, the runtime that answers, and how its labels come about
CASES = {
    "highest": (LINEAR, "three", "onnx", "highest"),
    "fixed": (FixedThresholdClassifier(LINEAR, threshold=0.1), "truths", "onnx", "threshold"),
    "fixed on texts": (FixedThresholdClassifier(LINEAR, threshold=0.1), "texts", "onnx", "threshold"),
    "fixed, other class": (
        FixedThresholdClassifier(LINEAR, threshold=0.9, pos_label="fine"),
        "texts",
        "onnx",
        "threshold",
    ),
    "never reached": (FixedThresholdClassifier(LINEAR, threshold=0.99999), "truths", "onnx", "threshold"),
    "auto": (FixedThresholdClassifier(LINEAR), "truths", "onnx", "threshold"),
    "tuned": (TunedThresholdClassifierCV(LINEAR, scoring="recall", cv=3), "truths", "onnx", "threshold"),
    "tuned trees": (
        TunedThresholdClassifierCV(DecisionTreeClassifier(max_depth=4), cv=3),
        "texts",
        "onnx",
        "threshold",
    ),
    "in a pipeline": (
        make_pipeline(StandardScaler(), FixedThresholdClassifier(LINEAR, threshold=0.1)),
        "truths",
        "onnx",
        "threshold",
    ),
    "around a pipeline": (
        FixedThresholdClassifier(make_pipeline(StandardScaler(), LINEAR), threshold=0.1),
        "truths",
        "onnx",
        "threshold",
    ),
    "searched": (
        GridSearchCV(FixedThresholdClassifier(LINEAR), {"threshold": [0.1, 0.2]}, cv=2),
        "truths",
        "onnx",
        "threshold",
    ),
    "searched in a pipeline": (
        GridSearchCV(make_pipeline(StandardScaler(), FixedThresholdClassifier(LINEAR, threshold=0.1)), {}, cv=2),
        "texts",
        "onnx",
        "threshold",
    ),
    "one on another": (
        FixedThresholdClassifier(FixedThresholdClassifier(LINEAR, threshold=0.9), threshold=0.1),
        "truths",
        "onnx",
        "threshold",
    ),
    "threshold on decisions": (
        FixedThresholdClassifier(LINEAR, threshold=0.3, response_method="decision_function"),
        "truths",
        "skops",
        "model",
    ),
    "threshold on a margin": (FixedThresholdClassifier(LinearSVC(), threshold=0.3), "truths", "skops", "model"),
    "own rule": (Rule(), "truths", "skops", "model"),
    "unsorted classes": (Backwards(), "texts", "skops", "model"),
    "unsorted behind a threshold": (
        FixedThresholdClassifier(Backwards(), threshold=0.3),
        "texts",
        "skops",
        "threshold",
    ),
    "no scores": (Votes(), "three", "skops", "model"),
    "SVC": (SVC(probability=True, class_weight="balanced"), "truths", "onnx", "model"),
    "NuSVC": (NuSVC(nu=0.2), "three", "skops", "model"),
    "SVC of pairs": (SVC(decision_function_shape="ovo"), "three", "skops", "model"),
    "modified huber": (SGDClassifier(loss="modified_huber", random_state=0), "three", None, "model"),
    "hard votes": (VotingClassifier([("l", LINEAR), ("n", GaussianNB())]), "three", "skops", "model"),
    "stacked SVC": (
        StackingClassifier([("l", LINEAR)], final_estimator=SVC(probability=True), cv=2),
        "truths",
        None,
        "model",
    ),
    "forest with ties": (RandomForestClassifier(20, random_state=0), "truths", "onnx", "highest"),
    "boosted": (HistGradientBoostingClassifier(max_iter=10), "three", "onnx", "highest"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_labels_are_those_of_the_estimators_own_predict_on_rows_that_no_proof_has_seen(name: str):
    model, target, runtime, by = CASES[name]
    labels = TARGETS[target]
    fitted = model.fit(CODES[:400], labels[:400])
    classes = tuple(np.unique(labels).tolist())
    stored = store_estimator(fitted, CODES[400:], classes)
    assert runtime in (None, stored.runtime), stored.reason
    assert stored.labels.by == by
    if stored.runtime == "onnx":
        answers = OnnxRuntime(stored.data, classes, labelled=by == "model").output(UNSEEN)
    else:
        answers = EstimatorRuntime(fitted, classes, stored.labels).output(UNSEEN)
    places = stored.labels.places(answers.scores) if answers.places is None else answers.places
    assert np.array(classes)[places].tolist() == fitted.predict(UNSEEN).tolist()
    if hasattr(fitted, "predict_proba"):
        columns = [list(fitted.classes_).index(label) for label in classes]
        assert np.abs(answers.scores - fitted.predict_proba(UNSEEN)[:, columns]).max() < 2e-5


def test_a_rule_that_agrees_on_every_row_of_the_proof_is_still_asked_for_its_labels():
    fitted = Rule().fit(CODES, SIGNAL > 0.9)
    certain = np.abs(fitted.predict_proba(UNSEEN)[:, 1] - 0.5) > 0.4
    assert store_estimator(fitted, UNSEEN[certain], (False, True)).labels.by == "model"


def test_a_threshold_that_is_the_score_of_a_leaf_keeps_the_rows_of_that_leaf():
    tree = DecisionTreeClassifier(max_depth=3).fit(CODES, SIGNAL > 0.5)
    leaves = np.unique(tree.predict_proba(CODES)[:, 1])
    assert len(leaves) > 2
    for leaf in leaves:
        fixed = FixedThresholdClassifier(tree, threshold=float(leaf)).fit(CODES, SIGNAL > 0.5)
        stored = store_estimator(fixed, CODES, (False, True))
        assert stored.runtime == "onnx", stored.reason
        assert abs(stored.labels.at - leaf) < 1e-5
        scores = OnnxRuntime(stored.data, (False, True)).output(UNSEEN).scores
        assert stored.labels.places(scores).tolist() == fixed.predict(UNSEEN).tolist()


def test_a_label_that_is_no_class_of_the_target_is_refused():
    fitted = Unsure().fit(CODES, TARGETS["texts"])
    with pytest.raises(ModelError, match="predict of Unsure gives 'unsure', which is none of the classes"):
        store_estimator(fitted, CODES, ("fine", "fraud"))


@pytest.mark.parametrize("labels", [[1, 2], ["a", None], [["a", "b"]], [np.nan, 0.5]])
def test_labels_of_other_kinds_and_shapes_are_refused(labels: list[object]):
    with pytest.raises(ModelError, match=r"predict of It gives"):
        places_of(labels, ("a", "b"), "It")


def test_an_estimator_that_is_no_threshold_is_left_as_it_is():
    fitted = LogisticRegression().fit(CODES, SIGNAL > 0)
    assert without_threshold(fitted, (False, True)) == (fitted, None)


def test_a_class_that_one_estimator_never_met_has_the_score_zero():
    fitted = LogisticRegression().fit(CODES, TARGETS["texts"])
    answers = EstimatorRuntime(fitted, ("else", "fine", "fraud")).output(CODES)
    assert answers.scores[:, 0].tolist() == [0.0] * 600
    assert np.array(["else", "fine", "fraud"])[answers.places].tolist() == fitted.predict(CODES).tolist()


rules = st.one_of(
    st.builds(Labelling, tie=st.sampled_from([0.0, TIE])),
    st.builds(Labelling, by=st.just("threshold"), place=st.integers(0, 1), at=st.sampled_from([0.0, 0.2, 0.5, 1.0])),
)
score = st.sampled_from([0.0, 0.2, 0.2 + TIE / 3, 0.2 + 2 * TIE, 0.5, 0.8, 1.0])


@given(rule=rules, rows=st.lists(st.tuples(score, score, score), min_size=1, max_size=8), width=st.integers(2, 3))
def test_few_rows_and_many_rows_get_the_same_labels(rule: Labelling, rows: list[tuple[float, ...]], width: int):
    width = 2 if rule.by == "threshold" else width
    array = np.array(rows)[:, :width]
    labels = Labels("abc"[:width], rule)
    assert labels.of_lists(array.tolist()) == labels.of(Output(array))


@pytest.mark.parametrize(
    ("rule", "classes"),
    [
        (Labelling(by="threshold", place=2), (False, True)),
        (Labelling(by="threshold"), ("a", "b", "c")),
        (Labelling(by="threshold"), None),
        (Labelling(by="threshold", at=float("nan")), (False, True)),
        (Labelling(tie=0.1), (False, True)),
    ],
)
def test_a_rule_that_no_model_of_these_classes_has_is_refused(rule: Labelling, classes: object):
    with pytest.raises(ModelError, match="cannot follow from"):
        rule.check(classes)


class TopTenth(Rule):
    """Its labels depend on who else is asked."""

    def predict(self, X):
        ranked = self.predict_proba(X)[:, 1]
        return self.classes_[(ranked >= np.quantile(ranked, 0.9)).astype(int)]


@pytest.mark.parametrize("model", [TopTenth(), DummyClassifier(strategy="uniform", random_state=0)])
def test_an_estimator_whose_answer_depends_on_the_other_rows_is_refused(model: object):
    with pytest.raises(ModelError, match=r"(TopTenth|DummyClassifier) answers row .* otherwise when it is asked alone"):
        store_estimator(model.fit(CODES, SIGNAL > 0), CODES, (False, True))


def test_a_conversion_that_sends_rows_with_something_missing_another_way_is_not_used():
    fitted = RandomForestClassifier(5, random_state=0).fit(CODES, SIGNAL > 0)
    assert store_estimator(fitted, CODES, (False, True)).runtime == "onnx"
    assert store_estimator(fitted, CODES, (False, True), holes=(1, 3)).runtime == "skops"
    boosted = HistGradientBoostingClassifier(max_iter=5).fit(CODES, SIGNAL > 0)
    assert store_estimator(boosted, CODES, (False, True), holes=(1, 3)).runtime == "onnx"
