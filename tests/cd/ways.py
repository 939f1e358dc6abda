"""The same rows asked of one model in every way in which it is served: labels, and scores where the way gives any."""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl

import homeostat
from homeostat.cd.infer import infer
from homeostat.cd.log import PredictionRecord, ShadowRecord
from homeostat.cd.serve.protocols import binary
from homeostat.cd.serve.protocols.tensors import DATATYPES
from homeostat.cd.stream import Champions, stream
from homeostat.connect import JsonLinesSink, TailSource
from homeostat.core.clock import VirtualClock
from tests.cd.serving import LOOP, NOON, Client, divide, log_of, promote, register, serving, until


class Said(NamedTuple):
    """Labels or values of shape (n,), and scores of shape (n, classes) or None."""

    values: list
    scores: np.ndarray | None = None


def records(rows):
    """Rows as JSON holds them."""
    return [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        for row in rows.to_dicts()
    ]


def by_requests(store, model, rows, trusted=()):
    """`/predict`, v2 as JSON and with binary tensors, MLflow, and `/predict` row by row."""
    signature, sent = model.signature, records(rows)
    with serving(store, trusted=trusted) as app:
        client = Client(app)
        found = {"REST": _predicted(client.predict(sent), signature)}
        alone = client.ask(
            *(("POST", "/predict", {"records": [row], "id": f"one{n}"}) for n, row in enumerate(sent[:8]))
        )
        found["REST, row by row"] = _predicted([reply.json()["predictions"][0] for reply in alone], signature)
        found["v2"] = _tensors(client, signature, sent)
        found["binary"] = _binary(client, signature, sent)
        reply = client.post("/invocations", {"dataframe_records": sent})
        assert reply.status_code == 200, reply.text
        found["MLflow"] = Said(reply.json()["predictions"])
    return found


def without_requests(store, model, rows, folder, trusted=()):
    """Batch, and embedded as a table and as records."""
    infer(model, rows, folder / "out.parquet")
    found = {"batch": _written(pl.read_parquet(folder / "out.parquet"), model.signature)}
    embedded = homeostat.load(f"{LOOP}@1", store.path, trusted=trusted)
    for name, table in (("embedded", rows), ("embedded, records", records(rows))):
        said = embedded.predict(table)
        found[name] = Said(said.value.tolist(), said.score)
    return found


def by_stream(store, model, rows, folder, trusted=()):
    """A file of JSON lines, read to its end."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in records(rows)))
    champions = Champions(store, LOOP, None, trusted=trusted)
    sink = JsonLinesSink(folder / "out.jsonl")
    stream(champions, TailSource(folder / "rows.jsonl"), sink, clock=VirtualClock(NOON), once=True)
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    return {"stream": _predicted(lines, model.signature)}


def by_shadow(store, rows, trusted=()):
    """The second version scores the rows that the first one answers; what the log holds of both, in their order."""
    divide(store, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    with serving(store, trusted=trusted) as app:
        Client(app).predict(records(rows), id="shadowed")
        until(lambda: sum(len(one.ids) for one in log_of(store) if isinstance(one, ShadowRecord)) == rows.height)
    log = log_of(store)
    answered = [row.predictions[1] for one in log if isinstance(one, PredictionRecord) for row in one.rows]
    shadowed = [said for one in log if isinstance(one, ShadowRecord) for said in one.predictions]
    return {"log": _logged(answered[-rows.height :]), "shadow": _logged(shadowed)}


def asked_in_every_way(store, bundle, rows, folder, trusted=()):
    """All of these but the shadow: `bundle` becomes the champion of an empty store."""
    promote(store, register(store, bundle))
    model = bundle.model(trusted=trusted)
    return {
        **by_requests(store, model, rows, trusted),
        **without_requests(store, model, rows, folder, trusted),
        **by_stream(store, model, rows, folder, trusted),
    }


def _logged(lines):
    return Said([line[0] for line in lines], np.array([line[1:] for line in lines]) if len(lines[0]) > 1 else None)


def _predicted(lines, signature):
    values = [line["value"] for line in lines]
    if signature.classes is None:
        return Said(values)
    if len(signature.classes) == 2:
        return Said(values, np.array([[1 - line["score"], line["score"]] for line in lines]))
    return Said(values, np.array([[line["probabilities"][str(one)] for one in signature.classes] for line in lines]))


def _tensor(column, sent):
    values = [row[column.name] for row in sent]
    return {"name": column.name, "datatype": DATATYPES[column.kind], "shape": [len(sent)], "data": values}


def _tensors(client, signature, sent):
    body = {"inputs": [_tensor(column, sent) for column in signature.inputs]}
    reply = client.post(f"/v2/models/{LOOP}/infer", body)
    assert reply.status_code == 200, reply.text
    first, *more = (output["data"] for output in reply.json()["outputs"])
    return Said(first, np.array(more[0]).reshape(len(first), -1) if more else None)


def _binary(client, signature, sent):
    inputs, parts = [_tensor(column, sent) for column in signature.inputs], []
    for tensor in inputs:
        if None not in tensor["data"]:
            parts.append(binary.write(tensor["datatype"], tensor.pop("data")))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    reply = client.post(f"/v2/models/{LOOP}/infer", b"".join([head, *parts]), headers)
    assert reply.status_code == 200, reply.text
    answer, rest = binary.split(reply.content, int(reply.headers["inference-header-content-length"]))
    outputs = json.loads(bytes(answer))["outputs"]
    sizes = [(one["name"], one["parameters"]["binary_data_size"]) for one in outputs]
    first, *more = (
        np.asarray(binary.read(one["name"], one["datatype"], one["shape"], part)).reshape(one["shape"])
        for one, part in zip(outputs, binary.cut(rest, sizes), strict=True)
    )
    return Said(first.tolist(), more[0] if more else None)


def _written(table, signature):
    values = table["prediction"].to_list()
    if signature.classes is None:
        return Said(values)
    if len(signature.classes) == 2:
        return Said(values, np.column_stack([1 - table["score"].to_numpy(), table["score"].to_numpy()]))
    return Said(values, table.select(f"score_{one}" for one in signature.classes).to_numpy())
