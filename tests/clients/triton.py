"""tritonclient[http], as it is: every call, binary (its default) and JSON, plain and compressed."""

from __future__ import annotations

import numpy as np
import tritonclient.http as triton
from asked import ADDRESS, DATATYPES, LOOP, NUMPY, ROWS, SCORES, VALUES, refusal


def inputs(*, binary, shape=None):
    shape = shape or (len(ROWS),)
    tensors = []
    for name, datatype in DATATYPES.items():
        tensor = triton.InferInput(name, list(shape), datatype)
        values = np.array([row[name] for row in ROWS], dtype=NUMPY[datatype]).reshape(shape)
        tensor.set_data_from_numpy(values, binary_data=binary)
        tensors.append(tensor)
    return tensors


def outputs(*, binary):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "probability")]


def same(result):
    np.testing.assert_array_equal(result.as_numpy("label"), VALUES)
    np.testing.assert_allclose(result.as_numpy("probability")[:, 1], SCORES, rtol=1e-6)


def ask(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(LOOP)
    assert client.is_model_ready(LOOP, "1")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    told = client.get_model_metadata(LOOP)
    assert {tensor["name"]: tensor["datatype"] for tensor in told["inputs"]} == DATATYPES
    assert client.get_model_config(LOOP)["name"] == LOOP
    for binary_in in (True, False):
        for binary_out in (True, False):
            same(client.infer(LOOP, inputs(binary=binary_in), outputs=outputs(binary=binary_out)))
        same(client.infer(LOOP, inputs(binary=binary_in)))
        same(client.infer(LOOP, inputs(binary=binary_in, shape=(len(ROWS), 1)), model_version="1"))
    only = client.infer(LOOP, inputs(binary=True), outputs=[triton.InferRequestedOutput("label")], request_id="mine")
    assert only.as_numpy("probability") is None
    assert only.get_response()["id"] == "mine"
    for packing in ("gzip", "deflate"):
        same(
            client.infer(
                LOOP,
                inputs(binary=True) if packing == "gzip" else inputs(binary=False),
                request_compression_algorithm=packing,
                response_compression_algorithm=packing,
            )
        )
    same(client.async_infer(LOOP, inputs(binary=True)).get_result())


def repository(client):
    (line,) = client.get_model_repository_index()
    assert (line["name"], line["version"], line["state"]) == (LOOP, "1", "READY"), line
    client.unload_model(LOOP)
    assert not client.is_model_ready(LOOP)
    assert "unloaded" in refusal(lambda: client.infer(LOOP, inputs(binary=True)))
    client.load_model(LOOP)
    assert client.is_model_ready(LOOP)
    same(client.infer(LOOP, inputs(binary=True)))
    assert "'other'" in refusal(lambda: client.load_model("other"))
    assert "'other'" in refusal(lambda: client.unload_model("other"))


def what_is_not_there(client):
    assert "'other'" in refusal(lambda: client.infer("other", inputs(binary=True)))
    assert "'wind'" in refusal(lambda: client.infer(LOOP, inputs(binary=True)[1:-1]))
    assert "'x'" in refusal(lambda: client.infer(LOOP, inputs(binary=True), outputs=[triton.InferRequestedOutput("x")]))
    assert "stats" in refusal(lambda: client.get_inference_statistics(LOOP))
    assert "trace" in refusal(client.get_trace_settings)
    assert "logging" in refusal(client.get_log_settings)
    assert "systemsharedmemory" in refusal(client.get_system_shared_memory_status)


with triton.InferenceServerClient(ADDRESS) as one:
    ask(one)
    repository(one)
    what_is_not_there(one)
