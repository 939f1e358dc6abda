"""Requests that cannot be answered get the right status and a body that names row and field; the server stays ready."""

from __future__ import annotations

import json

import pytest

from tests.cd.serving import Client, bundle, flights, log_of, promote, raw, register, serving

ROW = raw(flights(1, seed=9))[0]


@pytest.fixture
def client(store):
    promote(store, register(store, bundle()))
    with serving(store, most_bytes=20_000, most_rows=50) as app:
        yield Client(app)


def without(name):
    return {column: value for column, value in ROW.items() if column != name}


def text(**changes):
    return json.dumps({**ROW, **changes}).encode()


MISSHAPEN = {
    "missing column": ([ROW, without("carrier")], 400, ["row 1", "'carrier'", "missing"]),
    "renamed column": ([{**without("carrier"), "carier": "UA"}], 400, ["'carier'", "did you mean 'carrier'"]),
    "extra column": ([{**ROW, "late": True}], 400, ["row 0", "'late'", "unexpected"]),
    "text for a number": ([{**ROW, "wind": "strong"}], 400, ["row 0", "'wind'", "a number", "'strong'"]),
    "truth for a number": ([{**ROW, "wind": True}], 400, ["'wind'", "true"]),
    "fraction for a whole number": ([{**ROW, "distance": 1.5}], 400, ["'distance'", "a whole number", "1.5"]),
    "beyond 64 bits": ([{**ROW, "distance": 2**63}], 400, ["'distance'"]),
    "number for a text": ([{**ROW, "carrier": 7}], 400, ["'carrier'", "a text"]),
    "no time": ([{**ROW, "scheduled": "noon"}], 400, ["'scheduled'", "a time", "'noon'"]),
    "null where none was": ([{**ROW, "carrier": None}], 400, ["'carrier'", "null"]),
    "NaN": (text(wind=float("nan")), 400, ["row 0", "'wind'", "nan", "null"]),
    "infinity": (text(wind=float("inf")), 400, ["'wind'", "inf"]),
    "1e400": (text(wind=1).replace(b'"wind": 1', b'"wind": 1e400'), 400, ["row 0", "'wind'", "inf"]),
    "a row that is no object": ([ROW, 3], 400, ["row 1", "not an object"]),
    "no rows": ([], 400, ["no rows"]),
    "a number": (b"3", 400, ["not rows"]),
    "empty body": (b"", 400, ["no JSON"]),
    "half a body": (b'[{"carrier": ', 400, ["no JSON"]),
    "not UTF-8": (b'{"carrier": "\xff"}', 400, ["no JSON"]),
    "deeply nested": (b"[" * 10_000, 400, ["no JSON"]),
    "too many rows": ([{"a": 1}] * 51, 400, ["row 0"]),
    "too many good rows": ([ROW] * 51, 413, ["51 rows", "50"]),
    "too long": (b" " * 20_001, 413, ["20,000 bytes"]),
    "wrong number of ids": ({"records": [ROW], "ids": ["a", "b"]}, 400, ["2 ids for 1"]),
    "ids that are no texts": ({"records": [ROW], "ids": [1]}, 400, ["ids"]),
    "a request id that is no text": ({"records": [ROW], "id": 1}, 400, ["id"]),
    "an endless id": ({"records": [ROW], "ids": ["x" * 1_000]}, 400, ["row 0", "1,000 characters"]),
    "an unknown field beside records": ({"records": [ROW], "model": "x"}, 400, ["'model'"]),
}


@pytest.mark.parametrize("case", MISSHAPEN)
def test_a_request_that_does_not_fit_is_refused_by_name(client, case):
    body, status, words = MISSHAPEN[case]
    reply = client.post("/predict", body)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    for word in words:
        assert word in reply.json()["error"] + reply.json().get("hint", "")
    assert client.post("/predict", ROW).status_code == 200


def test_every_problem_is_listed_at_once_and_bounded(client):
    reply = client.post("/predict", [{**ROW, "wind": "x", "distance": "y"}] * 30)
    problems = reply.json()["problems"]
    assert {(problem["row"], problem["column"]) for problem in problems[:2]} == {(0, "wind"), (0, "distance")}
    assert len(problems) == 20
    assert len(reply.content) < 10_000


def test_nothing_refused_is_in_the_log(store, client):
    client.post("/predict", [ROW, without("carrier")])
    assert log_of(store) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/predict", 405),
        ("POST", "/health", 405),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/flights/versions/9", 404),
        ("GET", "/v2/models/flights/versions/one", 404),
        ("GET", "/v2/models/flights/infer", 405),
        ("GET", "/v2/models/flights/nothing", 404),
        ("GET", "/v2/models/../../etc/passwd", 404),
    ],
)
def test_routes_that_are_not_there(client, method, path, status):
    reply = client.ask((method, path))[0]
    assert reply.status_code == status
    assert reply.json()["error"]


def test_a_compressed_body_is_refused(client):
    reply = client.post("/predict", ROW, {"content-encoding": "gzip"})
    assert reply.status_code == 400
    assert "gzip" in reply.json()["error"]


def raising(rows):
    if rows["distance"][0] == 777:
        raise ZeroDivisionError("division by zero in features")
    return rows


def test_features_that_raise_are_our_fault_and_named(store):
    promote(store, register(store, bundle(features=raising)))
    with serving(store, raising) as app:
        client = Client(app)
        reply = client.post("/predict", {**ROW, "distance": 777})
        assert reply.status_code == 500
        assert "division by zero" in reply.json()["error"]
        assert client.post("/predict", ROW).status_code == 200


def test_one_bad_request_spoils_no_other_in_its_batch(store):
    promote(store, register(store, bundle(features=raising)))
    rows = [{**ROW, "distance": 777 if place == 0 else 100 + place} for place in range(30)]
    with serving(store, raising) as app:
        replies = Client(app).ask(*(("POST", "/predict", row) for row in rows))
    assert [reply.status_code for reply in replies] == [500] + [200] * 29
