"""Arms that do not answer score the same rows after the reply: bounded, counted, and never in the way."""

from __future__ import annotations

import threading

import polars as pl
import pytest

from homeostat.cd.log import LogReader, LogWriter, PredictionRecord, ShadowRecord
from homeostat.cd.serve.others import Others
from homeostat.cd.serve.served import Served
from tests.cd.serving import (
    LOOP,
    MOODY,
    NOON,
    Client,
    Moody,
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


def as_tensors(rows):
    kinds = {"flight_id": "BYTES", "scheduled": "BYTES", "carrier": "BYTES", "distance": "INT64", "wind": "FP64"}
    return [
        {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[name] for row in rows]}
        for name, kind in kinds.items()
    ]


def test_in_a_canary_each_arm_scores_what_the_other_answered(store):
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    divide(store, {1: ("champion", 0.5), 2: ("canary", 0.5)})
    with serving(store) as app:
        answered = {one["id"]: one["version"] for one in Client(app).predict(ROWS)}
    beside = {name: record.version for record in shadows(store) for name in record.ids}
    assert beside == {name: 3 - version for name, version in answered.items()}


@pytest.fixture
def hanging(monkeypatch):
    """A version whose answers wait until `release` is set."""
    served = Served(2, bundle(model=Moody()).model(trusted=MOODY))
    served.entered, served.release = threading.Event(), threading.Event()

    def wait():
        served.entered.set()
        assert served.release.wait(30)

    monkeypatch.setattr(Moody, "acts", staticmethod(wait))
    yield served
    served.release.set()


def test_what_does_not_fit_in_the_queue_is_dropped_counted_and_noted(tmp_path, hanging):
    rows = hanging.decoder.rows(ROWS)
    with LogWriter(tmp_path) as log:
        others = Others(log, queue_rows=4)
        others.offer(hanging, NOON, "r0", ["a"], rows[:1])
        assert hanging.entered.wait(30)
        for number in range(1, 8):
            others.offer(hanging, NOON, f"r{number}", ["a"], rows[:1])
        stats = others.stats[2]
        assert (stats.scored, stats.dropped) == (0, 3)
        others.keep({2})
        dropped = LogReader(tmp_path).read().records
        hanging.release.set()
        others.close()
    assert [(record.requests, record.error) for record in dropped] == [(["r5", "r6", "r7"], "dropped")]
    assert (stats.scored, stats.dropped) == (5, 3)


def test_a_shadow_that_hangs_keeps_no_other_shadow_waiting(tmp_path, hanging):
    healthy = Served(3, bundle(seed=1).model())
    with LogWriter(tmp_path) as log:
        others = Others(log)
        for number in range(5):
            for served in (hanging, healthy):
                others.offer(served, NOON, f"r{number}", ["a"], [served.decoder.rows(ROWS)[0]])
        while others.stats[3].scored < 5:
            pass
        assert others.stats[2].scored == 0
        hanging.release.set()
        others.close()


def crashing(rows):
    if rows["distance"].max() >= 5_000:
        raise RuntimeError("the shadow crashed")
    return rows.with_columns(pl.col("distance") * 2)


def test_a_shadow_that_raises_is_noted_and_harms_nobody(tmp_path):
    served = Served(2, bundle(features=crashing).model(crashing))
    rows = served.decoder.rows([{**ROWS[0], "distance": 6_000}])
    with LogWriter(tmp_path) as log:
        others = Others(log)
        others.offer(served, NOON, "r", ["a"], rows)
        others.close()
    (record,) = LogReader(tmp_path).read().records
    assert (record.requests, record.ids, record.predictions) == (["r"], ["a"], [])
    assert "the shadow crashed" in record.error
    assert others.stats[2].failed == 1


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
    assert 'homeostat_fallbacks_total{version="2"}' in metrics
    last = [record for record in log_of(store) if isinstance(record, PredictionRecord)][-1]
    assert {row.arm for row in last.rows} == {1}
    assert 1.0 in {row.propensity for row in last.rows}
