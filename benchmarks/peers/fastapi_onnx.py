"""FastAPI with ONNX Runtime, sent the coded numbers alone: the least that such a service can do.

`async def`, because the model takes microseconds: a thread per request would cost more than the model.
"""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel


class Rows(BaseModel):
    """Rows of the numbers that the model takes."""

    rows: list[list[float]]


class Answer(BaseModel):
    """A label and a probability for each."""

    labels: list[bool]
    scores: list[float]


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/predict")
async def predict(asked: Rows) -> Answer:
    labels, scores = session.run(None, {"x": np.array(asked.rows, np.float32)})
    return Answer(labels=labels.astype(bool).tolist(), scores=scores[:, 1].tolist())
