"""`POST /predict`: records in, predictions out, and every answer in the log before it is sent."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from homeostat.cd.log import PredictionRecord
from homeostat.core.model import Bundle
from tests.cd.serving import (
    LOOP,
    NOON,
    Client,
    bundle,
    divide,
    flights,
    linear,
    log_of,
    promote,
    raw,
    register,
    serving,
)

ROWS = raw(flights(5, seed=9))


def without_key(row):
    return {name: value for name, value in row.items() if name != "flight_id"}


def test_answers_are_those_of_the_model(store, client):
    frame = flights(5, seed=9)
    manifest = store.ledger.version(LOOP, 1).manifest
    expected = Bundle.load(store.artifacts, manifest).predict(frame)
    found = client.predict(ROWS)
    assert [one["value"] for one in found] == expected.value.tolist()
    assert np.allclose([one["score"] for one in found], expected.positive, atol=1e-6)


@pytest.mark.parametrize("body", [ROWS[0], [ROWS[0]], {"records": [ROWS[0]]}])
def test_one_object_a_list_and_records_say_the_same(client, body):
    reply = client.post("/predict", body).json()
    assert reply["model"] == LOOP
    assert [one["id"] for one in reply["predictions"]] == ["f9-0"]


def test_every_answer_names_request_row_and_version(client):
    reply = client.post("/predict", ROWS).json()
    assert reply["request"]
    assert [(one["id"], one["version"]) for one in reply["predictions"]] == [(f"f9-{row}", 1) for row in range(5)]


def test_a_row_without_its_key_is_called_by_the_request(client):
    one = client.post("/predict", without_key(ROWS[0])).json()
    two = client.post("/predict", {"records": list(map(without_key, ROWS[:2])), "id": "mine"}).json()
    assert one["predictions"][0]["id"] == one["request"]
    assert [row["id"] for row in two["predictions"]] == ["mine/0", "mine/1"]


def test_callers_may_name_rows(client):
    assert [one["id"] for one in client.predict(ROWS[:2], ids=["a", "b"])] == ["a", "b"]


def test_the_order_of_columns_does_not_matter(client):
    backwards = dict(reversed(ROWS[0].items()))
    assert client.predict([backwards]) == client.predict([ROWS[0]])


def test_null_is_an_answerable_value_where_training_had_nulls(client):
    assert client.predict([{**ROWS[0], "wind": None}])[0]["value"] in {True, False}


def test_a_category_that_was_never_seen_is_answered(client):
    assert client.predict([{**ROWS[0], "carrier": "ZZ"}])[0]["value"] in {True, False}


def test_whole_numbers_widen_and_integral_numbers_narrow(client):
    assert client.predict([{**ROWS[0], "wind": 10, "distance": 500.0}]) == client.predict(
        [{**ROWS[0], "wind": 10.0, "distance": 500}]
    )


def test_a_time_without_zone_is_utc(client):
    assert client.predict([{**ROWS[0], "scheduled": "2013-03-01T12:00:00"}]) == client.predict(
        [{**ROWS[0], "scheduled": "2013-03-01T13:00:00+01:00"}]
    )


def test_the_log_holds_what_was_answered(store, client):
    reply = client.post("/predict", ROWS[:2]).json()
    record = next(record for record in log_of(store) if isinstance(record, PredictionRecord))
    assert record.request == reply["request"]
    for row, sent, said in zip(record.rows, ROWS, reply["predictions"], strict=False):
        assert (row.id, row.arm, row.propensity) == (said["id"], 1, 1.0)
        assert {**row.features, "scheduled": row.features["scheduled"].isoformat()} == sent
        assert row.predictions[1][0] == said["value"]
        assert row.predictions[1][2] == said["score"]


def test_many_requests_at_once_each_get_their_own_answer(client):
    rows = raw(flights(60, seed=4))
    alone = {row["flight_id"]: client.predict([row])[0]["score"] for row in rows}
    replies = client.ask(*(("POST", "/predict", row) for row in rows))
    together = {one["id"]: one["score"] for reply in replies for one in reply.json()["predictions"]}
    assert together == pytest.approx(alone, abs=1e-6)


def test_a_large_request_is_answered_in_order(client):
    rows = raw(flights(1_000, seed=4))
    found = client.predict(rows)
    assert [one["id"] for one in found] == [row["flight_id"] for row in rows]
    assert found[999] == client.predict([rows[999]])[0]


def test_a_regression_answers_numbers(store):
    frame = flights(300).with_columns(late=pl.col("distance") * 0.01)
    promote(store, register(store, bundle(frame, model=linear())))
    with serving(store) as app:
        found = Client(app).predict(raw(frame[:2]))
    assert found[0].keys() == {"id", "value", "version"}
    assert found[0]["value"] == pytest.approx(frame["late"][0], abs=1e-3)


def test_three_classes_answer_probabilities(store):
    frame = flights(300).with_columns(late=pl.col("carrier").replace({"UA": "early", "AA": "on time", "B6": "late"}))
    promote(store, register(store, bundle(frame)))
    with serving(store) as app:
        found = Client(app).predict(raw(frame[:3]))
    assert [one["value"] for one in found] == frame["late"][:3].to_list()
    assert found[0]["probabilities"].keys() == {"early", "on time", "late"}
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)


def with_ratio(rows):
    return rows.with_columns(ratio=pl.col("wind") / pl.col("distance"))


def test_features_are_computed_from_raw_rows(store):
    made = bundle(features=with_ratio)
    promote(store, register(store, made))
    with serving(store, with_ratio) as app:
        found = Client(app).predict(ROWS)
    expected = made.model(with_ratio).predict(flights(5, seed=9))
    assert np.allclose([one["score"] for one in found], expected.positive, atol=1e-6)


def test_canary_units_stay_on_their_arm_and_carry_its_propensity(store):
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    divide(store, {1: ("champion", 0.7), 2: ("canary", 0.3)})
    rows = raw(flights(300, seed=5))
    with serving(store) as app:
        client = Client(app)
        first = {one["id"]: one["version"] for one in client.predict(rows)}
        again = {one["id"]: one["version"] for row in rows[:40] for one in client.predict([row])}
    assert again == {name: first[name] for name in again}
    assert 0.2 < list(first.values()).count(2) / 300 < 0.4
    answered = [row for record in log_of(store) if isinstance(record, PredictionRecord) for row in record.rows]
    assert {(row.arm, row.propensity) for row in answered} == {(1, 0.7), (2, 0.3)}


def test_without_a_champion_nothing_is_answered(store):
    with serving(store) as app:
        reply = Client(app).post("/predict", ROWS[0])
    assert reply.status_code == 503
    assert "no version has been promoted" in reply.json()["error"]


def test_a_caller_does_not_choose_the_time_of_a_server_whose_clock_is_its_own(store):
    promote(store, register(store, bundle()))
    with serving(store) as app:
        Client(app).post("/predict", {"records": ROWS[:1]}, {"homeostat-time": "2001-01-01T00:00:00Z"})
    assert [record.time for record in log_of(store)] == [NOON]


def test_rows_await_the_versions_that_did_not_answer_them(store):
    for seed in range(3):
        register(store, bundle(seed=seed))
    promote(store, 1)
    divide(store, {1: ("champion", 0.5), 2: ("canary", 0.5), 3: ("shadow", 0.0)})
    with serving(store) as app:
        client = Client(app)
        for row in raw(flights(20, seed=9)):
            client.predict([row])
        client.predict(raw(flights(20, seed=8)))
    *single, many = [record for record in log_of(store) if isinstance(record, PredictionRecord)]
    assert {(record.rows[0].arm, record.awaits) for record in single} == {(1, (2, 3)), (2, (1, 3))}
    assert ({row.arm for row in many.rows}, many.awaits) == ({1, 2}, (1, 2, 3))


def test_each_row_of_a_divided_request_has_the_score_of_its_own_version(store):
    frame, models = flights(20, seed=8), [bundle(), bundle(seed=1)]
    for made in models:
        register(store, made)
    promote(store, 1)
    divide(store, {1: ("champion", 0.5), 2: ("canary", 0.5)})
    with serving(store) as app:
        said = Client(app).predict(raw(frame))
    scores = [made.model().predict(frame).positive for made in models]
    assert {one["version"] for one in said} == {1, 2}
    expected = [scores[one["version"] - 1][row] for row, one in enumerate(said)]
    assert [one["score"] for one in said] == pytest.approx(expected, abs=1e-6)
