"""U28: what the estimator says is what is served, whatever decides its labels, in every way of serving.

The estimators here are those that are misread by whoever takes the class of the highest probability: thresholds and
rules of their own, classes in an order of their own, probabilities apart from the decision, no probabilities at all.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, recall_score
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.svm import SVC

from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LabelItem, LabelRecord
from homeostat.cd.monitor.performance import Champion, measure
from homeostat.ci.evaluate import evaluate
from homeostat.ci.train import train
from homeostat.ci.train.fitting import fit, inputs_of
from homeostat.core.model.estimator import prepared, seeded_clone
from homeostat.core.schema import infer_schema
from tests.cd.serving import LOOP, NOON, SPEC, Client, bundle, flights, promote, register, serving
from tests.cd.ways import asked_in_every_way, by_shadow, records
from tests.core.own_words import OWN_TYPES, Backwards, Rule, Votes

LEARNED, ROWS = flights(300, seed=2), flights(120, seed=3)
ASKED = ROWS.drop("late", "landed")
LATER = NOON + timedelta(days=1)
LINEAR = LogisticRegression()
ESTIMATORS = {
    "fixed threshold": FixedThresholdClassifier(LINEAR, threshold=0.2),
    "tuned threshold": TunedThresholdClassifierCV(LINEAR, scoring="recall", cv=3),
    "threshold on decisions": FixedThresholdClassifier(LINEAR, threshold=-1.0, response_method="decision_function"),
    "own rule": Rule(),
    "unsorted classes": Backwards(),
    "no scores": Votes(),
    "SVC with probabilities": SVC(probability=True, class_weight="balanced", kernel="poly"),
}


@cache
def trained(name: str):
    """The bundle, and the same estimator fitted by hand with what it says about the rows."""
    made = bundle(LEARNED, model=ESTIMATORS[name])
    manifest = made.manifest
    own = prepared(seeded_clone(ESTIMATORS[name], 0), manifest.encoder)
    fit(own, inputs_of(LEARNED, manifest.encoder, manifest.schema), LEARNED["late"].to_numpy())
    return made, own.predict(inputs_of(ASKED, manifest.encoder, manifest.schema)).tolist()


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_labels_are_equal_in_every_way_of_serving(store, tmp_path, name: str):
    made, said = trained(name)
    answers = asked_in_every_way(store, made, ASKED, tmp_path, OWN_TYPES)
    assert {"REST", "v2", "binary", "MLflow", "batch", "embedded", "stream"} <= answers.keys()
    for way, found in answers.items():
        assert found.values == said[: len(found.values)], way


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_these_estimators_say_other_things_than_their_highest_probability():
    """Else the tests above would hold for a server that takes the class that scores highest."""
    for name in ("fixed threshold", "tuned threshold", "threshold on decisions", "own rule", "SVC with probabilities"):
        made, said = trained(name)
        highest = made.model(trusted=OWN_TYPES).predict(ASKED).score.argmax(axis=1).astype(bool)
        assert (highest != said).sum() > 0, name


@pytest.mark.parametrize("name", ["fixed threshold", "own rule", "unsorted classes"])
def test_a_shadow_s_labels_are_its_estimator_s_own(store, name: str):
    promote(store, register(store, bundle()))
    made, said = trained(name)
    register(store, made)
    answers = by_shadow(store, ASKED, OWN_TYPES)
    assert answers["shadow"].values == said


@pytest.mark.parametrize("name", ["fixed threshold", "own rule"])
def test_what_is_evaluated_and_monitored_is_what_is_served(store, name: str):
    made, said = trained(name)
    truth = ROWS["late"].to_numpy()
    report = evaluate(made.model(trusted=OWN_TYPES), LEARNED, ROWS)
    assert report.test["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert report.test["recall"] == pytest.approx(recall_score(truth, said))
    promote(store, register(store, made))
    with serving(store, trusted=OWN_TYPES) as app:
        Client(app).predict(records(ASKED))
    traffic = Traffic(store.log_folder(LOOP))
    traffic.take()
    names = ROWS["flight_id"].to_list()
    told = [LabelItem(one, label, LATER) for one, label in zip(names, truth.tolist(), strict=True)]
    traffic.fold([LabelRecord(LATER, told)])
    champion = Champion(version=1, task="classification", metric="accuracy", classes=(False, True))
    (found,) = measure(champion, traffic.outcomes(), LATER + timedelta(days=60))
    assert found.n == ROWS.height
    assert found.value == pytest.approx(accuracy_score(truth, said))


def test_settings_are_compared_by_the_estimator_s_own_labels():
    """The threshold alone is changed, so that no score differs: only labels can tell which setting is best."""
    settings = [{"threshold": 0.999}, {"threshold": 0.001}]
    model = FixedThresholdClassifier(LINEAR, threshold=0.5)
    schema = infer_schema(LEARNED, SPEC)
    made = train(LEARNED, ROWS, schema=schema, now=NOON, model=model, candidates=settings, metric="recall")
    assert [trial.score for trial in made.manifest.candidates][1:] == [0.0, 1.0]
    assert [trial.chosen for trial in made.manifest.candidates] == [False, False, True]
    assert set(made.model().predict(ASKED).value.tolist()) == {True}
