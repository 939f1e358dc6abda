"""Binary requests to the whole server: the answers of JSON, in bytes if wanted, and no failure whatever the bytes."""

from __future__ import annotations

import json
import random

import numpy as np
import polars as pl
import pytest

from homeostat.cd.serve.protocols.binary import read, write
from homeostat.core.table.spec import table_spec
from tests.cd.serving import (
    LOOP,
    NOON,
    Client,
    bundle,
    flights,
    linear,
    promote,
    raw,
    register,
    serving,
)

ROWS = [row for row in raw(flights(40, seed=9)) if row["wind"] is not None][:20]
TYPES = {"flight_id": "BYTES", "scheduled": "BYTES", "carrier": "BYTES", "distance": "INT64", "wind": "FP64"}
INFER = f"/v2/models/{LOOP}/infer"


def packed(rows, *, plain=(), parameters=None, outputs=None, **types):
    """Body and headers of a request whose tensors, but the plain ones, are binary."""
    inputs, buffers = [], []
    for name, datatype in {**TYPES, **types}.items():
        values = [row[name] for row in rows]
        tensor = {"name": name, "shape": [len(rows)], "datatype": datatype}
        if name in plain:
            inputs.append(tensor | {"data": values})
            continue
        buffers.append(write(datatype, values))
        inputs.append(tensor | {"parameters": {"binary_data_size": len(buffers[-1])}})
    head = json.dumps({"inputs": inputs, "parameters": parameters or {}, "outputs": outputs or []}).encode()
    return head + b"".join(buffers), {"inference-header-content-length": str(len(head))}


def scores(client, rows=ROWS):
    return [line["score"] for line in client.predict(rows)]


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("plain", [(), ("wind", "carrier")])
def test_binary_tensors_give_the_answers_of_json(client, count, plain):
    reply = client.post(INFER, *packed(ROWS[:count], plain=plain))
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["outputs"][1]["data"][1::2] == pytest.approx(scores(client, ROWS[:count]), rel=1e-6)


@pytest.mark.parametrize(("name", "datatype"), [("wind", "FP32"), ("distance", "INT16"), ("distance", "FP64")])
def test_narrower_numbers_are_widened(client, name, datatype):
    reply = client.post(INFER, *packed(ROWS, **{name: datatype}))
    assert reply.json()["outputs"][1]["data"][1::2] == pytest.approx(scores(client), rel=1e-4)


def test_nulls_come_in_json_beside_binary_tensors(client):
    rows = [{**row, "wind": None} for row in ROWS]
    reply = client.post(INFER, *packed(rows, plain=("wind",)))
    assert reply.json()["outputs"][1]["data"][1::2] == pytest.approx(scores(client, rows), rel=1e-6)


def test_outputs_come_back_in_bytes(client):
    reply = client.post(INFER, *packed(ROWS, parameters={"binary_data_output": True}))
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    label, probability = json.loads(reply.content[:length])["outputs"]
    assert "data" not in label
    first = label["parameters"]["binary_data_size"]
    rest = memoryview(reply.content[length:])
    assert read("label", "BOOL", [20], rest[:first]).tolist() == [line["value"] for line in client.predict(ROWS)]
    found = read("probability", "FP64", [20, 2], rest[first:])
    assert probability["parameters"]["binary_data_size"] == len(rest) - first
    assert found[1::2].tolist() == pytest.approx(scores(client), rel=1e-6)


def test_one_output_in_bytes_and_one_in_json(client):
    outputs = [{"name": "probability", "parameters": {"binary_data": True}}, {"name": "label"}]
    reply = client.post(INFER, *packed(ROWS, outputs=outputs))
    length = int(reply.headers["inference-header-content-length"])
    probability, label = json.loads(reply.content[:length])["outputs"]
    assert len(label["data"]) == 20
    assert len(reply.content) - length == probability["parameters"]["binary_data_size"] == 320


def test_a_raw_body_is_the_only_input_that_is_needed(store):
    hours = pl.datetime_range(NOON, pl.lit(NOON).dt.offset_by("399h"), "1h", eager=True).dt.cast_time_unit("us")
    frame = pl.DataFrame({"hour": hours, "wind": np.linspace(0, 40, 400)}).with_columns(rides=100 - pl.col("wind") * 2)
    spec = table_spec("hour", "hour", target="rides")
    promote(store, register(store, bundle(frame, model=linear(), spec=spec)))
    with serving(store) as app:
        reply = Client(app).post(INFER, write("FP64", [10, 20.0]), {"inference-header-content-length": "0"})
    assert reply.status_code == 200, reply.text
    values = np.frombuffer(reply.content[int(reply.headers["inference-header-content-length"]) :], "<f8")
    assert values.tolist() == pytest.approx([80, 60], rel=1e-3)


def test_a_raw_body_is_refused_where_more_is_needed(client):
    reply = client.post(INFER, write("FP64", [10]), {"inference-header-content-length": "0"})
    assert reply.status_code == 400
    assert "needs 4" in reply.json()["error"]


def broken(change):
    body, headers = packed(ROWS)
    return change(body, headers)


BROKEN = {
    "a byte too few": (lambda body, told: (body[:-1], told), "bytes are left"),
    "a byte too many": (lambda body, told: (body + b"x", told), "1 bytes behind"),
    "a header beyond the body": (lambda _, told: (b"{}", told), "the body has 2 bytes"),
    "a header that is no number": (lambda body, _: (body, {"inference-header-content-length": "x"}), "'x'"),
    "a header that cuts the object": (lambda body, _: (body, {"inference-header-content-length": "9"}), "no JSON"),
    "no header at all": (lambda body, _: (body, {}), "no JSON"),
    "a size that lies": (
        lambda body, told: (body.replace(b'"binary_data_size": 160', b'"binary_data_size": 168'), told),
        "binary_data_size",
    ),
    "a shape that lies": (lambda body, told: (body.replace(b"[20]", b"[21]", 1), told), "21"),
    "a shape that wraps": (
        lambda body, told: (
            body.replace(b'"shape": [20]', b'"shape": [18446744073709551636]', 1),
            {"inference-header-content-length": str(int(told["inference-header-content-length"]) + 18)},
        ),
        "18",
    ),
    "NaN": (lambda body, told: (body[:-8] + write("FP64", [float("nan")]), told), "row 19, column 'wind': holds nan"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bytes_that_lie_are_refused_by_name(client, case):
    change, words = BROKEN[case]
    reply = client.post(INFER, *broken(change))
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["error"]


def test_no_mutation_of_a_request_is_a_failure_of_ours(client):
    draw = random.Random(5)
    body, headers = packed(ROWS[:3])
    calls = []
    for _ in range(400):
        sent = bytearray(body)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(sent))
            sent[at : at + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
        calls.append(("POST", INFER, bytes(sent), headers))
    replies = client.ask(*calls)
    assert {reply.status_code for reply in replies} <= {200, 400}
    assert any(reply.status_code == 200 for reply in replies)


def test_a_row_of_a_great_many_names_is_refused_at_once(client):
    row = {f"wind{place}": 1 for place in range(40_000)}
    long = {"w" * 1_000_000: 1}
    for body in (row, [row], long, {"dataframe_records": [row]}, {"inputs": [{"name": "w" * 1_000_000}]}):
        for path in ("/predict", "/invocations", INFER, "/labels"):
            reply = client.post(path, body)
            assert reply.status_code == 400
            assert len(reply.content) < 20_000
