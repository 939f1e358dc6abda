"""All that is known of one request: from the log, from the tables when that is gone, and of ids that nobody gave."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from homeostat.cd.log import LabelItem, LabelRecord, LogReader, LogWriter, ShadowRecord, retire
from homeostat.cd.log.archive import Archive
from homeostat.core.errors import NotFoundError
from homeostat.engine.views.request import explain
from tests.cd.serving import LOOP, NOON, Client, bundle, divide, flights, promote, raw, register, serving

FRAME = flights(30, seed=9)
ROWS = raw(FRAME)
TYPES = {"scheduled": pl.Datetime("us", "UTC"), "carrier": pl.String(), "distance": pl.Int64(), "wind": pl.Float64()}
TYPES |= {"flight_id": pl.String()}


def features(rows):
    return rows.with_columns(far=pl.col("distance") > 1000)


@pytest.fixture(scope="module")
def model():
    return bundle(flights(), features=features)


@pytest.fixture
def answered(store, model):
    """The answer of version 1 to a request of three rows, with version 2 in its shadow; and the second row's labels."""
    promote(store, register(store, model))
    other = register(store, model)
    divide(store, {1: ("champion", 1.0), other: ("shadow", 0.0)})
    with serving(store, features) as app:
        client = Client(app)
        reply = client.post("/predict", {"records": ROWS[:3]}).json()
        client.post("/labels", {"id": ROWS[1]["flight_id"], "label": True})
        client.post("/labels", {"id": ROWS[1]["flight_id"], "label": False})
    return reply


def test_a_row_is_explained_from_the_log(store, answered):
    found = explain(store, LOOP, ROWS[1]["flight_id"], features)
    (row,) = found.rows
    said = answered["predictions"][1]
    assert (found.source, found.more, row.request, row.arm, row.propensity) == ("log", 0, answered["request"], 1, 1.0)
    assert {**row.input, "scheduled": row.input["scheduled"].isoformat()} == ROWS[1]
    assert row.features["far"] is (ROWS[1]["distance"] > 1000)
    answer, beside = row.predictions
    assert (answer.version, answer.answered, answer.value) == (1, True, said["value"])
    assert answer.scores["True"] == pytest.approx(said["score"])
    assert (beside.version, beside.answered, beside.scores) == (2, False, answer.scores)
    assert [(label.label, label.counts) for label in row.labels] == [(True, True), (False, False)]
    assert [(origin.version, origin.run, origin.trigger.key) for origin in found.versions] == [
        (1, "run1", "t1"),
        (2, "run2", "t2"),
    ]


def test_a_request_is_explained_with_all_its_rows(store, answered):
    found = explain(store, LOOP, answered["request"], features)
    assert [row.id for row in found.rows] == [row["flight_id"] for row in ROWS[:3]]
    assert [len(row.labels) for row in found.rows] == [0, 2, 0]
    assert all(len(row.predictions) == 2 for row in found.rows)


def test_rows_that_are_called_by_their_place_are_found(store, answered):
    with serving(store, features) as app:
        nameless = [{name: value for name, value in row.items() if name != "flight_id"} for row in ROWS]
        reply = Client(app).post("/predict", {"records": nameless, "id": "mine"}).json()
    found = explain(store, LOOP, "mine", features)
    assert (len(found.rows), found.more) == (20, 10)
    (row,) = explain(store, LOOP, "mine/29", features).rows
    assert row.predictions[0].value == reply["predictions"][29]["value"]


def test_what_left_the_log_is_explained_from_the_tables(store, answered):
    one, folder = ROWS[1]["flight_id"], store.log_folder(LOOP)
    before = explain(store, LOOP, one, features)
    position = Archive(store, LOOP).fill(TYPES, pl.Boolean())
    with LogWriter(folder) as log:
        retire(folder, position)
        log.append(LabelRecord(NOON, [LabelItem(one, True, NOON + timedelta(hours=9))]))
    assert all(isinstance(record, LabelRecord) for record in LogReader(folder).read().records)
    found = explain(store, LOOP, one, features)
    (row,), (was,) = found.rows, before.rows
    assert found.source == "tables"
    assert (row.request, row.time, row.arm, row.input) == (was.request, was.time, was.arm, was.input)
    assert (row.features, row.predictions) == (was.features, was.predictions[:1])
    assert sorted(label.label for label in row.labels) == [False, True, True]


def test_a_version_that_failed_is_shown_with_its_error(store, answered):
    one = ROWS[0]["flight_id"]
    with LogWriter(store.log_folder(LOOP)) as log:
        log.append(ShadowRecord(NOON, 2, [answered["request"]], [one], [], "dropped"))
    (row,) = explain(store, LOOP, one).rows
    assert row.predictions[-1].error == "dropped"


def test_why_there_are_no_features_is_said(store, answered):
    (row,) = explain(store, LOOP, ROWS[0]["flight_id"]).rows
    assert (row.features, "was not found" in row.note) == (None, True)
    (row,) = explain(store, LOOP, ROWS[0]["flight_id"], lambda rows: rows).rows
    assert (row.features, "not the one that this model was trained with" in row.note) == (None, True)


def test_an_id_that_nobody_gave_is_a_clear_error(store, answered):
    with pytest.raises(NotFoundError, match="has answered nothing under the id 'f9-99'"):
        explain(store, LOOP, "f9-99")
    with LogWriter(store.log_folder(LOOP)) as log:
        log.append(LabelRecord(NOON, [LabelItem("f9-99", True, NOON)]))
    with pytest.raises(NotFoundError, match="a label came for 'f9-99', and no prediction"):
        explain(store, LOOP, "f9-99")
