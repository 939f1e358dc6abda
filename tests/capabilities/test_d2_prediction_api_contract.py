"""D2: golden requests match the recorded answers, and a model with changed inputs is refused."""

from __future__ import annotations

import msgspec
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier

from homeostat.cd.rehearse.golden import ask_golden, expected
from homeostat.ci.gates.rehearsed import contract
from homeostat.core.model import Bundle
from homeostat.engine.training.rehearse import check_contract
from tests.cd.serving import LOOP, Client, bundle, flights, promote, raw, register, serving


def test_golden_requests_are_answered_as_recorded_when_the_model_was_trained(store):
    made = bundle()
    promote(store, register(store, made))
    golden = made.manifest.golden
    with serving(store) as app:
        client = Client(app)
        records = client.predict(list(golden.rows))
        inputs = [
            {
                "name": tensor["name"],
                "datatype": tensor["datatype"],
                "shape": [len(golden.rows)],
                "data": [row[tensor["name"]] for row in golden.rows],
            }
            for tensor in client.get(f"/v2/models/{LOOP}").json()["inputs"]
        ]
        tensors = client.post(f"/v2/models/{LOOP}/infer", {"inputs": inputs}).json()["outputs"]
    positive = [scores[1] for scores in golden.scores]
    assert len(golden.rows) == 5
    assert [one["score"] for one in records] == pytest.approx(positive, abs=1e-6)
    assert tensors[1]["data"][1::2] == pytest.approx(positive, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.rename({"wind": "wind_speed"}), ["'wind' is gone", "'wind_speed' is new"]),
        (lambda rows: rows.drop("wind"), ["'wind' is gone"]),
        (lambda rows: rows.with_columns(rows["distance"].cast(str)), ["'distance' was integer"]),
    ],
)
def test_a_model_with_changed_inputs_is_refused_and_its_callers_notice_nothing(store, change, said):
    promote(store, register(store, bundle()))
    changed = register(store, bundle(change(flights(seed=2))))
    row = {"records": raw(flights(1, seed=9)), "id": "same"}
    with serving(store) as app:
        client = Client(app)
        before = client.post("/predict", row).content
        promote(store, changed)
        app.model.router.poll()
        after = client.post("/predict", row).content
        routing = client.get("/routing").json()
    assert after == before
    assert routing["seq"] != routing["wanted"]
    assert all(words in routing["error"] for words in said)


@pytest.mark.parametrize("model", [None, LinearRegression()], ids=["classes", "numbers"])
def test_the_gate_asks_the_golden_requests_of_the_real_application(model):
    verdict = check_contract(LOOP, bundle(model=model), None, None)
    assert verdict.passed, verdict.reason
    assert verdict.numbers["rows"] == 5
    for protocol in ("records", "v2"):
        assert verdict.numbers[protocol] < 1e-6


def test_the_gate_refuses_a_model_that_answers_otherwise_than_recorded():
    """Another model under the manifest of the first: everything fits, and the answers are others."""
    first, second = bundle(), bundle(seed=1)
    mixed = Bundle(msgspec.structs.replace(first.manifest, blob=second.manifest.blob), second.data)
    verdict = check_contract(LOOP, mixed, None, None)
    assert not verdict.passed
    assert verdict.binding
    assert "does not answer its golden rows" in verdict.reason


@pytest.mark.parametrize("model", [FixedThresholdClassifier(LogisticRegression(), threshold=0.2), None])
def test_every_protocol_is_asked_for_labels_too(store, model):
    made = bundle(model=model)
    signature, golden = made.manifest.signature, made.manifest.golden
    promote(store, register(store, made))
    with serving(store) as app:
        answers = ask_golden(app, LOOP, golden, signature)
    assert answers.keys() >= {"records", "v2", "binary"}
    assert contract(expected(golden, signature), answers).passed
    forged = msgspec.structs.replace(golden, labels=tuple(not label for label in golden.labels))
    assert [line.split(":")[0] for line in contract(expected(forged, signature), answers).reason.split("; ")] == [
        *answers
    ]


def test_the_gate_refuses_a_model_with_changed_inputs_and_names_them():
    changed = bundle(flights(seed=2).rename({"wind": "wind_speed"}))
    verdict = check_contract(LOOP, changed, bundle(), None)
    assert not verdict.passed
    assert "input 'wind' is gone; input 'wind_speed' is new" in verdict.reason


def test_the_gate_refuses_a_model_that_cannot_be_served():
    verdict = check_contract(LOOP, bundle(features=lambda rows: rows.select("wind")), None, None)
    assert not verdict.passed
    assert "features() is not the one" in verdict.reason
