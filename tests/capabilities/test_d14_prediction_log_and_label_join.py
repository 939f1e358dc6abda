"""D14: every response has its request id, model version and features on record; late and repeated labels join once."""

from __future__ import annotations

from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import PredictionRecord
from tests.cd.serving import LOOP, Client, bundle, flights, log_of, promote, raw, register, serving

FRAME = flights(50, seed=9)
ROWS = raw(FRAME)
LABELS = [{"id": row["flight_id"], "label": late} for row, late in zip(ROWS, FRAME["late"].to_list(), strict=True)]


def test_every_response_is_on_record_with_request_version_and_features(store):
    promote(store, register(store, bundle()))
    with serving(store) as app:
        replies = [reply.json() for reply in Client(app).ask(*(("POST", "/predict", row) for row in ROWS))]
    records = {record.request: record for record in log_of(store) if isinstance(record, PredictionRecord)}
    assert len(records) == len(replies)
    for reply in replies:
        (said,) = reply["predictions"]
        (row,) = records[reply["request"]].rows
        sent = next(one for one in ROWS if one["flight_id"] == said["id"])
        assert (row.id, row.arm) == (said["id"], said["version"])
        assert {**row.features, "scheduled": row.features["scheduled"].isoformat()} == sent
        assert row.predictions[row.arm][0] == said["value"]


def test_labels_that_come_late_early_twice_contradicting_or_for_nobody_join_once(store):
    promote(store, register(store, bundle()))
    traffic = Traffic(store.log_folder(LOOP))
    joined = []
    with serving(store) as app:
        client = Client(app)
        client.predict(ROWS[:25])
        joined += traffic.take().labelled
        client.post("/labels", LABELS[:20])
        joined += traffic.take().labelled
        client.post("/labels", LABELS[:20] + LABELS[45:])
        client.predict(ROWS[25:])
        joined += traffic.take().labelled
        client.post("/labels", [{**LABELS[0], "label": not LABELS[0]["label"]}, {"id": "nobody", "label": True}])
        client.post("/labels", LABELS[10:])
        client.post("/labels", LABELS)
        joined += traffic.take().labelled
    assert len(joined) == len(LABELS)
    assert {features["flight_id"]: label for features, label, _ in joined} == {
        one["id"]: one["label"] for one in LABELS
    }
    counts = traffic.counts
    assert (counts.predictions, counts.labels) == (50, 20 + 25 + 2 + 40 + 50)
    assert (counts.joined, counts.conflicting_labels, counts.unknown_labels) == (50, 1, 1)
    assert counts.repeated_labels == 20 + 10 + 5 + 50
    assert traffic.waiting == 0


def test_what_the_monitor_and_the_judge_see_are_these_rows_with_these_labels(store):
    promote(store, register(store, bundle()))
    with serving(store) as app:
        client = Client(app)
        said = {one["id"]: one for one in client.predict(ROWS)}
        client.post("/labels", LABELS[:30])
    traffic = Traffic(store.log_folder(LOOP))
    ids = [one.features["flight_id"] for one in traffic.take().answered]
    outcomes = traffic.outcomes()
    truth = {one["id"]: one["label"] for one in LABELS[:30]}
    assert outcomes.labels.tolist() == [truth.get(one) for one in ids]
    assert outcomes.predictions[1].argmax(axis=1).tolist() == [int(said[one]["value"]) for one in ids]
