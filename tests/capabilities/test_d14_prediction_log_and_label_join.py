"""D14: every response has its request id, model version and features on record; late and repeated labels join once."""

from __future__ import annotations

from homeostat.cd.labels import Join
from homeostat.cd.log import LogReader, PredictionRecord
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


def test_labels_that_come_late_twice_contradicting_or_for_nobody_join_once(store):
    promote(store, register(store, bundle()))
    join, reader = Join(), LogReader(store.log_folder(LOOP))
    matured, position = [], None

    def look():
        nonlocal position
        batch = reader.read(position)
        position = batch.position
        matured.extend(join.take(batch.records))

    with serving(store) as app:
        client = Client(app)
        client.predict(ROWS[:25])
        look()
        client.post("/labels", LABELS[:20])
        look()
        client.post("/labels", LABELS[:20])
        client.predict(ROWS[25:])
        look()
        client.post("/labels", [{**LABELS[0], "label": not LABELS[0]["label"]}, {"id": "nobody", "label": True}])
        client.post("/labels", LABELS[10:])
        client.post("/labels", LABELS)
        look()
    assert {row.id: row.label for row in matured} == {one["id"]: one["label"] for one in LABELS}
    assert len(matured) == len(LABELS)
    assert {row.features["flight_id"] for row in matured} == {row["flight_id"] for row in ROWS}
    counts = join.counts
    assert (counts.joined, counts.conflicting_labels, counts.unknown_labels) == (50, 1, 1)
    assert counts.repeated_labels == 20 + 10 + 50
    assert join.waiting == 0
