"""Arms that do not answer score the same rows after the reply: bounded, counted, and never in the way."""

from __future__ import annotations

import polars as pl
import pytest

from homeostat.cd.log import PredictionRecord, ShadowRecord
from tests.cd.serving import (
    LOOP,
    Client,
    as_tensors,
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

ROWS = raw(flights(20, seed=9))


def shadows(store):
    return [record for record in log_of(store) if isinstance(record, ShadowRecord)]


@pytest.fixture
def pair(store):
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    divide(store, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    return store


def test_the_shadow_scores_what_the_champion_answered(pair):
    with serving(pair) as app:
        client = Client(app)
        client.predict(ROWS)
        shadow = client.post(f"/v2/models/{LOOP}/versions/2/infer", {"inputs": as_tensors(ROWS)}).json()
    answered = next(record for record in log_of(pair) if isinstance(record, PredictionRecord))
    scored = [record for record in shadows(pair) if record.version == 2]
    assert answered.awaits == (2,)
    assert [name for record in scored for name in record.ids] == [row["flight_id"] for row in ROWS]
    assert {name for record in scored for name in record.requests} == {answered.request}
    probabilities = [value for record in scored for one in record.predictions for value in one[1:]]
    assert probabilities == pytest.approx(shadow["outputs"][1]["data"])


def test_in_a_canary_each_arm_scores_what_the_other_answered(store):
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    divide(store, {1: ("champion", 0.5), 2: ("canary", 0.5)})
    with serving(store) as app:
        answered = {one["id"]: one["version"] for one in Client(app).predict(ROWS)}
    beside = {name: record.version for record in shadows(store) for name in record.ids}
    assert beside == {name: 3 - version for name, version in answered.items()}


def test_a_canary_that_fails_is_answered_for_by_the_champion(store):
    """The canary's answer to a far-off row is beyond float32: the caller gets the champion's all the same."""
    promote(store, register(store, bundle(flights().with_columns(late=pl.col("distance") * 0.01), model=linear())))
    register(store, bundle(flights().with_columns(late=pl.col("distance") * 1e26), model=linear()))
    divide(store, {1: ("champion", 0.1), 2: ("canary", 0.9)})
    far = [{**row, "distance": 9 * 10**18} for row in ROWS]
    with serving(store) as app:
        client = Client(app)
        usual = {one["version"] for one in client.predict(ROWS)}
        versions = {one["version"] for one in client.predict(far)}
        metrics = client.get("/metrics").text
    assert usual == {1, 2}
    assert versions == {1}
    assert 'homeostat_fallbacks_total{model="flights",version="2"}' in metrics
    last = [record for record in log_of(store) if isinstance(record, PredictionRecord)][-1]
    assert {row.arm for row in last.rows} == {1}
    assert 1.0 in {row.propensity for row in last.rows}
