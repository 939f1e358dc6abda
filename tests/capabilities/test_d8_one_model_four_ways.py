"""D8: a thousand rows get the same answers from the server, in a table, in a stream and embedded."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import homeostat
from homeostat.cd.infer import infer
from homeostat.connect import FolderSource, JsonLinesSink, TailSource
from tests.cd.serving import LOOP, Client, bundle, flights, promote, raw, register, serving
from tests.cd.streams import lines, run, written

TOLERANCE = 1e-6
"""Of a score in 0..1; ONNX Runtime sums in another order for another number of rows."""

ROWS = flights(1_000, seed=11)
KNOWN = ROWS["wind"].is_not_null().arg_true().to_list()
"""Rows without a null, which bytes of numbers cannot say."""


def with_speed(rows):
    return rows.with_columns(speed=pl.col("distance") / (pl.col("wind").abs() + 1), hour=pl.col("scheduled").dt.hour())


FEATURES = {"columns as they are": None, "with features()": with_speed}


@pytest.fixture(params=FEATURES)
def features(request):
    return FEATURES[request.param]


@pytest.fixture
def model(store, features):
    made = bundle(features=features) if features else bundle()
    promote(store, register(store, made))
    return made.model(features)


def test_rest_batch_stream_and_embedded_agree(store, features, model, tmp_path):
    answers = {}
    with serving(store, features) as app:
        client = Client(app)
        answers["REST /predict"] = [(one["value"], one["score"]) for one in client.predict(raw(ROWS))]
        answers["REST, row by row"] = [
            (one["value"], one["score"]) for row in raw(ROWS)[:100] for one in client.predict([row])
        ]
        answers["REST v2, JSON"] = v2(client, model)
        answers["REST v2, binary"] = binary(client, model)

    infer(model, ROWS, tmp_path / "table")
    infer(model, csv(tmp_path / "rows.csv"), tmp_path / "csv", chunk_rows=70)
    for name in ("table", "csv"):
        answers[f"batch, {name}"] = list(pl.read_parquet(tmp_path / name).select("prediction", "score").iter_rows())

    (tmp_path / "rows.jsonl").write_text("".join(lines(ROWS)))
    (tmp_path / "in").mkdir()
    csv(tmp_path / "in" / "rows.csv")
    sources = {
        "lines": TailSource(tmp_path / "rows.jsonl"),
        "files": FolderSource(tmp_path / "in", model.manifest.schema),
    }
    for name, source in sources.items():
        run(store, source, JsonLinesSink(tmp_path / f"{name}.out.jsonl"), features, batch_rows=130)
        out = written(tmp_path / f"{name}.out.jsonl")
        answers[f"stream, {name}"] = [(one["value"], one["score"]) for one in out]

    embedded = homeostat.load(f"{LOOP}@champion", store.path, features=features)
    for name, table in (("table", ROWS), ("records", raw(ROWS))):
        found = embedded.predict(table)
        answers[f"embedded, {name}"] = list(zip(found.value.tolist(), found.positive.tolist(), strict=True))

    expected = model.predict(ROWS)
    assert len(answers) == 10
    for mode, found in answers.items():
        places = {"REST, row by row": range(100), "REST v2, binary": KNOWN}.get(mode, range(1_000))
        assert [value for value, _ in found] == expected.value[places].tolist(), mode
        assert np.abs(np.array([score for _, score in found]) - expected.positive[places]).max() < TOLERANCE, mode


def csv(path):
    ROWS.drop("late", "landed").write_csv(path)
    return path


def v2(client, model):
    """The same by the Open Inference Protocol, one JSON tensor per column."""
    kinds = {"number": "FP64", "integer": "INT64"}
    rows = raw(ROWS)
    tensors = [
        {
            "name": column.name,
            "shape": [len(rows)],
            "datatype": kinds.get(column.kind, "BYTES"),
            "data": [row[column.name] for row in rows],
        }
        for column in model.signature.inputs
    ]
    response = client.post(f"/v2/models/{LOOP}/infer", {"inputs": tensors})
    assert response.status_code == 200, response.text
    outputs = {one["name"]: one["data"] for one in response.json()["outputs"]}
    scores = np.array(outputs["probability"]).reshape(len(rows), -1)[:, -1]
    return list(zip(outputs["label"], scores.tolist(), strict=True))


def binary(client, model):
    """The same as bytes behind a JSON header, in both directions."""
    kinds = {"number": ("FP64", "<f8"), "integer": ("INT64", "<i8")}
    rows, tensors, parts = raw(ROWS[KNOWN]), [], []
    for column in model.signature.inputs:
        values = [row[column.name] for row in rows]
        datatype, dtype = kinds.get(column.kind, ("BYTES", None))
        if dtype is None:
            texts = [value.encode() for value in values]
            parts.append(b"".join(len(text).to_bytes(4, "little") + text for text in texts))
        else:
            parts.append(np.array(values, dtype).tobytes())
        told = {"binary_data_size": len(parts[-1])}
        tensors.append({"name": column.name, "shape": [len(rows)], "datatype": datatype, "parameters": told})
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    length = "Inference-Header-Content-Length"
    headers = {length: str(len(head)), "Content-Type": "application/octet-stream"}
    response = client.post(f"/v2/models/{LOOP}/infer", head + b"".join(parts), headers)
    assert response.status_code == 200, response.text
    at = int(response.headers[length])
    outputs = {}
    for one in json.loads(response.content[:at])["outputs"]:
        size = one["parameters"]["binary_data_size"]
        dtype = {"BOOL": "|b1", "FP32": "<f4", "FP64": "<f8"}[one["datatype"]]
        outputs[one["name"]] = np.frombuffer(response.content[at : at + size], dtype).reshape(one["shape"])
        at += size
    scores = outputs["probability"].reshape(len(rows), -1)[:, -1]
    return list(zip(outputs["label"].ravel().tolist(), scores.tolist(), strict=True))
