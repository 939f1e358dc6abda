"""The Open Inference Protocol v2 in JSON."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from tests.cd.serving import LOOP, Client, bundle, divide, flights, linear, promote, raw, register, serving

ROWS = raw(flights(3, seed=9))
TYPES = {"flight_id": "BYTES", "scheduled": "BYTES", "carrier": "BYTES", "distance": "INT64", "wind": "FP64"}
INFER = f"/v2/models/{LOOP}/infer"


def tensors(rows, **changes):
    made = [
        {"name": name, "shape": [len(rows)], "datatype": kind, "data": [row[name] for row in rows]}
        for name, kind in TYPES.items()
    ]
    return [{**tensor, **changes.get(tensor["name"], {})} for tensor in made]


def test_infer_says_what_predict_says(client):
    expected = client.predict(ROWS)
    reply = client.post(INFER, {"inputs": tensors(ROWS), "id": "mine"}).json()
    label, probability = reply["outputs"]
    assert (reply["model_name"], reply["model_version"], reply["id"]) == (LOOP, "1", "mine")
    assert (label["name"], label["datatype"], label["shape"]) == ("label", "BOOL", [3])
    assert (probability["name"], probability["datatype"], probability["shape"]) == ("probability", "FP64", [3, 2])
    assert label["data"] == [one["value"] for one in expected]
    assert probability["data"][1::2] == [one["score"] for one in expected]


def test_nested_data_and_a_second_axis_of_one(client):
    nested = {"shape": [3, 1], "data": [[row["wind"]] for row in ROWS]}
    plain = client.post(INFER, {"inputs": tensors(ROWS), "id": "a"}).json()
    assert client.post(INFER, {"inputs": tensors(ROWS, wind=nested), "id": "a"}).json() == plain


def test_narrower_numbers_are_taken(client):
    reply = client.post(INFER, {"inputs": tensors(ROWS, wind={"datatype": "FP32"}, distance={"datatype": "UINT16"})})
    assert reply.status_code == 200


def test_only_wanted_outputs_come_back(client):
    reply = client.post(INFER, {"inputs": tensors(ROWS), "outputs": [{"name": "probability"}]}).json()
    assert [output["name"] for output in reply["outputs"]] == ["probability"]


def test_a_version_can_be_asked_by_number(store):
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    divide(store, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    with serving(store) as app:
        client = Client(app)
        body = {"inputs": tensors(ROWS)}
        first, second = (client.post(f"/v2/models/{LOOP}/versions/{n}/infer", body).json() for n in (1, 2))
    assert [first["model_version"], second["model_version"]] == ["1", "2"]
    assert not np.allclose(first["outputs"][1]["data"], second["outputs"][1]["data"])


def test_metadata_describes_inputs_and_outputs(client):
    told = client.get(f"/v2/models/{LOOP}").json()
    assert {tensor["name"]: tensor["datatype"] for tensor in told["inputs"]} == TYPES
    assert [(tensor["name"], tensor["shape"]) for tensor in told["outputs"]] == [
        ("label", [-1]),
        ("probability", [-1, 2]),
    ]
    assert (told["name"], told["versions"], told["platform"]) == (LOOP, ["1"], "homeostat_onnx")
    assert client.get(f"/v2/models/{LOOP}/versions/1").json() == told


def test_a_regression_has_one_output(store):
    frame = flights(200).with_columns(late=pl.col("distance") * 0.01)
    promote(store, register(store, bundle(frame, model=linear())))
    with serving(store) as app:
        reply = Client(app).post(INFER, {"inputs": tensors(ROWS)}).json()
    assert [(output["name"], output["datatype"], output["shape"]) for output in reply["outputs"]] == [
        ("value", "FP64", [3])
    ]


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", f"/v2/models/{LOOP}/ready", "/health"])
def test_health(client, path):
    assert client.get(path).status_code == 200


def test_live_but_not_ready_without_a_champion(store):
    with serving(store) as app:
        client = Client(app)
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/health/ready").json()["ready"] is False


BROKEN = {
    "no body": (b"", ["no JSON"]),
    "no inputs": ({}, ["inputs"]),
    "empty inputs": ({"inputs": []}, ["no inputs"]),
    "a lying shape": ({"inputs": tensors(ROWS, wind={"shape": [9]})}, ["'wind'", "[9]", "3 values"]),
    "a huge shape": ({"inputs": tensors(ROWS, wind={"shape": [2**62, 2**62]})}, ["'wind'"]),
    "a negative shape": ({"inputs": tensors(ROWS, wind={"shape": [-3]})}, ["'wind'", "-3"]),
    "two axes": ({"inputs": tensors(ROWS, wind={"shape": [3, 2]})}, ["'wind'", "[n, 1]"]),
    "ragged": ({"inputs": tensors(ROWS, wind={"data": [[1.0], [2.0, 3.0], [4.0]]})}, ["'wind'", "nested"]),
    "different lengths": ({"inputs": tensors(ROWS, wind={"shape": [1], "data": [1.0]})}, ["different numbers of rows"]),
    "an unknown datatype": ({"inputs": tensors(ROWS, wind={"datatype": "COMPLEX"})}, ["'wind'", "COMPLEX", "FP64"]),
    "text for a number": ({"inputs": tensors(ROWS, wind={"datatype": "BYTES"})}, ["'wind'", "BYTES"]),
    "a text in the data": ({"inputs": tensors(ROWS, wind={"data": [1.0, "x", 2.0]})}, ["row 1", "'wind'", "'x'"]),
    "NaN in the data": (
        json.dumps({"inputs": tensors(ROWS, wind={"data": [1.0, float("nan"), 2.0]})}).encode(),
        ["row 1", "'wind'", "nan"],
    ),
    "a column twice": ({"inputs": [*tensors(ROWS), tensors(ROWS)[0]]}, ["'flight_id'", "twice"]),
    "a missing column": ({"inputs": tensors(ROWS)[:-1]}, ["'wind'", "missing"]),
    "an unknown column": ({"inputs": [*tensors(ROWS), {**tensors(ROWS)[0], "name": "wnd"}]}, ["'wnd'", "'wind'"]),
    "an unknown output": ({"inputs": tensors(ROWS), "outputs": [{"name": "x"}]}, ["'x'"]),
    "no rows": ({"inputs": tensors([])}, ["no rows"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_request_is_refused_by_name(client, case):
    body, words = BROKEN[case]
    reply = client.post(INFER, body)
    assert reply.status_code == 400, reply.text
    for word in words:
        assert word in reply.json()["error"] + reply.json().get("hint", "")
