"""The REST client of KServe's SDK, as it is: health, JSON and binary."""

from __future__ import annotations

import asyncio

import numpy as np
from asked import DATATYPES, LOOP, NUMPY, ROWS, SCORES, URL, VALUES, refusal
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(*, binary, outputs=None):
    tensors = []
    for name, datatype in DATATYPES.items():
        tensor = InferInput(name, [len(ROWS)], datatype)
        tensor.set_data_from_numpy(np.array([row[name] for row in ROWS], dtype=NUMPY[datatype]), binary_data=binary)
        tensors.append(tensor)
    return InferRequest(
        LOOP, tensors, request_id="mine", parameters={"binary_data_output": binary}, request_outputs=outputs
    )


async def ask():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await client.is_server_live(URL)
    assert await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, LOOP)
    assert not await client.is_model_ready(URL, "other")
    for binary in (True, False):
        answer = await client.infer(URL, request(binary=binary), model_name=LOOP)
        assert (answer.model_name, answer.id) == (LOOP, "mine")
        label, probability = (output.as_numpy() for output in answer.outputs)
        np.testing.assert_array_equal(label, VALUES)
        np.testing.assert_allclose(probability[:, 1], SCORES, rtol=1e-6)
    wanted = [RequestedOutput("label", {"binary_data": True})]
    answer = await client.infer(URL, request(binary=False, outputs=wanted), model_name=LOOP)
    assert [output.name for output in answer.outputs] == ["label"]
    await client.close()


async def ask_wrongly():
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        await client.infer(URL, {"inputs": []}, model_name=LOOP)


asyncio.run(ask())
assert "no inputs" in refusal(asyncio.run, ask_wrongly())
