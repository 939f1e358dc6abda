"""`POST /labels`: typed before anything else, and in the log before they are acknowledged."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from homeostat.cd.log import LabelItem, LabelRecord
from tests.cd.serving import NOON, Client, bundle, flights, linear, log_of, promote, register, serving


def test_labels_are_in_the_log_when_they_are_acknowledged(store, client):
    sent = [{"id": "f1", "label": True, "time": "2013-03-01T14:00:00+01:00"}, {"id": "f2", "label": False}]
    assert client.post("/labels", sent).json() == {"accepted": 2}
    landed = datetime(2013, 3, 1, 13, tzinfo=UTC)
    expected = LabelRecord(NOON, [LabelItem("f1", True, landed), LabelItem("f2", False, NOON)])
    assert log_of(store) == [expected]


def test_one_label_may_stand_alone(client):
    assert client.post("/labels", {"id": "f1", "label": True}).json() == {"accepted": 1}


def test_no_labels_are_fine(store, client):
    assert client.post("/labels", []).json() == {"accepted": 0}
    assert log_of(store) == []


def test_one_and_zero_stand_for_true_and_false(store, client):
    client.post("/labels", [{"id": "f1", "label": 1}, {"id": "f2", "label": 0}])
    assert [item.label for item in log_of(store)[0].labels] == [True, False]


def test_a_regression_takes_numbers(store):
    rows = flights(300).with_columns(late=pl.col("distance") * 0.01)
    promote(store, register(store, bundle(rows, model=linear())))
    with serving(store) as app:
        assert Client(app).post("/labels", [{"id": "f1", "label": 3}]).status_code == 200
        assert Client(app).post("/labels", [{"id": "f1", "label": True}]).status_code == 400
    assert log_of(store)[0].labels[0].label == 3.0


BROKEN = {
    "another class": ([{"id": "a", "label": True}, {"id": "b", "label": "yes"}], ["row 1", "label", "'yes'", "True"]),
    "a third number": ([{"id": "a", "label": 2}], ["label", "2"]),
    "no label": ([{"id": "a"}], ["row 0", "label"]),
    "null": ([{"id": "a", "label": None}], ["label"]),
    "no id": ([{"label": True}], ["id"]),
    "a number for an id": ([{"id": 7, "label": True}], ["id"]),
    "an endless id": ([{"id": "x" * 500, "label": True}], ["id", "200"]),
    "a bad time": ([{"id": "a", "label": True, "time": "noon"}], ["row 0", "time"]),
    "a field too many": ([{"id": "a", "label": True, "weight": 1}], ["weight"]),
    "no JSON": (b"{", ["no JSON"]),
    "a number": (b"3", ["row 0"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_labels_that_do_not_fit_are_refused_whole(store, client, case):
    body, words = BROKEN[case]
    reply = client.post("/labels", body)
    assert reply.status_code == 400
    assert all(word in reply.json()["error"] for word in words), reply.text
    assert log_of(store) == []
