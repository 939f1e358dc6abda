"""A bundle that cannot be used never reaches the routing table: the old one answers on, and the server says why."""

from __future__ import annotations

import pickle

import msgspec
import onnx
import pytest

from homeostat.core.model import Bundle
from homeostat.core.model.convert import Stored
from homeostat.core.model.manifest import Blob
from tests.cd.serving import LOOP, Client, bundle, flights, promote, raw, register, serving


def with_bytes(data):
    """A bundle around other bytes, with a manifest that names them."""
    made = bundle(seed=1)
    blob = Blob.of(Stored(runtime="onnx", data=data))
    return Bundle(msgspec.structs.replace(made.manifest, blob=blob), data)


def with_custom_operator():
    model = onnx.load_model_from_string(bundle(seed=1).data)
    model.graph.node[0].domain = "evil.ops"
    return with_bytes(model.SerializeToString())


def with_outside_data():
    model = onnx.load_model_from_string(bundle(seed=1).data)
    weights = model.graph.initializer.add(name="weights", data_type=1, dims=[1])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")
    return with_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: with_bytes(pickle.dumps({"a": 1})), "a pickle, which is never loaded"),
        (with_custom_operator, "operators that only their maker's library runs: evil.ops"),
        (with_outside_data, "data in files of its own: weights"),
        (lambda: with_bytes(bundle(seed=1).data[:-40]), "no onnx model"),
    ],
    ids=["pickle", "custom operator", "outside data", "cut off"],
)
def test_a_bad_bundle_is_refused_and_the_one_before_answers_on(store, make, said):
    promote(store, register(store, bundle()))
    bad = register(store, make())
    row = {"records": raw(flights(1, seed=9)), "id": "same"}
    with serving(store) as app:
        client = Client(app)
        before = client.post("/predict", row).content
        promote(store, bad)
        app.model.router.poll()
        assert client.post("/predict", row).content == before
        assert client.get("/v2/health/ready").status_code == 200
        routing = client.get("/routing").json()
    assert routing["seq"] != routing["wanted"]
    assert said in routing["error"]


def test_damaged_bytes_on_disk_are_refused_and_the_one_before_answers_on(store):
    promote(store, register(store, bundle()))
    second = bundle(seed=1)
    damaged = register(store, second)
    name = second.manifest.blob.sha256
    file = store.artifacts.blobs.folder / name[:2] / name[2:]
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with serving(store) as app:
        promote(store, damaged)
        app.model.router.poll()
        assert Client(app).predict(raw(flights(2, seed=9)))[0]["version"] == 1
        assert name[:12] in Client(app).get("/routing").json()["error"]
    assert store.ledger.version(LOOP, damaged).state == "champion"
