"""How long each arm takes: counted while units are divided, read by the engine, and held against the champion."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from homeostat.cd.deploy.guardrails import ArmCounts, check
from homeostat.cd.log import PredictionRecord
from homeostat.engine.live.server import answers_of
from tests.cd.serving import (
    LOOP,
    MOODY,
    Client,
    Moody,
    as_tensors,
    bundle,
    divide,
    flights,
    log_of,
    promote,
    raw,
    register,
    serving,
)

REQUESTS = [("POST", "/predict", {"records": [row], "id": f"r{n}"}) for n, row in enumerate(raw(flights(150, seed=9)))]
HALVES = {1: ("champion", 0.5), 2: ("split", 0.5)}


def answers(client):
    """By version, its answers by the bounds of their seconds, as the engine reads them."""
    families = {one.name: one for one in text_string_to_metric_families(client.get("/metrics").text)}
    return answers_of(families["homeostat_answer_seconds"].samples, LOOP)


def arms(replies):
    return [one["version"] for reply in replies for one in reply.json()["predictions"]]


@pytest.fixture
def divided(store):
    promote(store, register(store, bundle()))
    register(store, bundle(model=Moody()))
    divide(store, HALVES)
    return store


def test_every_answer_of_an_arm_is_in_a_bucket_and_none_that_was_asked_for_by_number(divided):
    with serving(divided, trusted=MOODY) as app:
        client = Client(app)
        said = arms(client.ask(*REQUESTS))
        found = answers(client)
        assert {version: sum(counts.values()) for version, counts in found.items()} == {
            version: said.count(version) for version in (1, 2)
        }
        divide(divided, {1: ("champion", 1.0)})
        app.model.router.poll()
        client.ask(*REQUESTS)
        assert answers(client) == found, "a sole champion is compared with nobody"


def test_an_arm_that_takes_long_is_seen_and_stopped(divided, monkeypatch):
    monkeypatch.setattr(Moody, "acts", staticmethod(lambda: threading.Event().wait(0.06)))
    with serving(divided, trusted=MOODY) as app:
        client = Client(app)
        said = [version for one in REQUESTS[:30] for version in arms(client.ask(one))]
        slow = answers(client)[2]
    assert sum(count for bound, count in slow.items() if bound > 0.05) == said.count(2)
    usual, steady = ArmCounts(answers={0.01: 1_000, 0.05: 0, 0.1: 0, math.inf: 0}), np.full(1_000, 0.3)
    signals = check(steady, steady, champion=usual, challenger=ArmCounts(answers=slow))
    assert [signal.subject for signal in signals if signal.alarmed] == ["challenger latency"]


def test_a_version_that_was_asked_for_by_number_is_no_draw(divided):
    rows = raw(flights(2, seed=8))
    with serving(divided, trusted=MOODY) as app:
        client = Client(app)
        for version in (1, 2):
            asked = client.post(f"/v2/models/{LOOP}/versions/{version}/infer", {"inputs": as_tensors(rows)})
            assert asked.status_code == 200
        assert sum(sum(counts.values()) for counts in answers(client).values()) == 0
    answered = [record for record in log_of(divided) if isinstance(record, PredictionRecord)]
    assert [{(row.arm, row.propensity) for row in record.rows} for record in answered] == [{(1, 1.0)}, {(2, 1.0)}]
