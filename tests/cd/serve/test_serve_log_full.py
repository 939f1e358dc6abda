"""A server whose log is full: it answers nothing that it cannot record, or it answers and counts, as it was told."""

from __future__ import annotations

import pytest

from homeostat.cd.log import LogReader, PredictionRecord, UnrecordedRecord, retire
from homeostat.core.clock import stopwatch
from tests.cd.serving import LOOP, Client, bundle, flights, log_of, promote, raw, register, serving

ROWS = raw(flights(50, seed=9))
SMALL = 6_000
LABELS = [{"id": f"{number:0200}", "label": True} for number in range(50)]


@pytest.fixture
def promoted(store):
    promote(store, register(store, bundle()))
    return store


def ask_until_full(client):
    """Ask row by row; gives the statuses, the last of them from when the log was full."""
    return [client.post("/predict", row).status_code for row in ROWS]


def until_ready(client):
    deadline = stopwatch() + 20
    while client.get("/v2/health/ready").status_code != 200:
        assert stopwatch() < deadline, "it does not become ready"


def test_what_cannot_be_recorded_is_not_answered_and_the_server_recovers_by_itself(promoted):
    folder = promoted.log_folder(LOOP)
    with serving(promoted) as app:
        Client(app).predict(ROWS[:1])  # a segment that can be deleted later
    with serving(promoted, log_bytes=SMALL) as app:
        client = Client(app)
        statuses = ask_until_full(client)
        refused = client.post("/predict", ROWS[0])
        label = client.post("/labels", LABELS)
        health, unready = client.get("/health"), client.get("/v2/health/ready")
        recorded = sum(len(record.rows) for record in log_of(promoted) if isinstance(record, PredictionRecord))
        assert retire(folder, LogReader(folder).read().position) > 0
        until_ready(client)
        client.predict(ROWS[:1])
    assert set(statuses) == {200, 503}
    assert recorded == statuses.count(200) + 1
    assert (refused.status_code, label.status_code, unready.status_code) == (503, 503, 503)
    assert "may hold 6,000" in refused.json()["error"]
    assert "may hold 6,000" in health.json()["problems"][0]


def test_a_server_may_be_told_to_answer_on_and_count(promoted):
    with serving(promoted, log_bytes=SMALL, when_full="drop") as app:
        client = Client(app)
        statuses = ask_until_full(client)
        ready, metrics = client.get("/v2/health/ready"), client.get("/metrics").text
        label = client.post("/labels", LABELS)
    recorded = [record for record in log_of(promoted) if isinstance(record, PredictionRecord)]
    dropped = len(ROWS) - len(recorded)
    assert set(statuses) == {200}
    assert (ready.status_code, label.status_code) == (200, 503)
    assert dropped > 0
    (counted,) = [line for line in metrics.splitlines() if line.startswith("homeostat_log_dropped_total")]
    assert float(counted.rpartition(" ")[2]) == dropped


def test_what_is_missing_is_said_in_the_log_when_there_is_room_again(promoted):
    folder = promoted.log_folder(LOOP)
    with serving(promoted) as app:
        Client(app).predict(ROWS)
    with serving(promoted, log_bytes=SMALL // 3, when_full="drop") as app:
        client = Client(app)
        client.post("/predict", ROWS[0])
        retire(folder, LogReader(folder).read().position)
    (gap,) = [record for record in log_of(promoted) if isinstance(record, UnrecordedRecord)]
    assert gap.records == 1
