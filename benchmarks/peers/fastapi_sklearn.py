"""FastAPI with scikit-learn, as one writes it by hand; run by uvicorn in the environment of fastapi.txt.

The estimator comes from the very bytes that ours comes from. `async def`, because on one core a thread per request is
slower.
"""

import os

import numpy as np
import skops.io
from fastapi import FastAPI
from pydantic import BaseModel


class Rows(BaseModel):
    """Rows of the numbers that the model takes."""

    rows: list[list[float]]


class Answer(BaseModel):
    """A label and a probability for each."""

    labels: list[bool]
    scores: list[float]


path = os.environ["BENCH_MODEL"]
estimator = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/predict")
async def predict(asked: Rows) -> Answer:
    scores = estimator.predict_proba(np.array(asked.rows, np.float32))
    return Answer(labels=(scores[:, 1] > scores[:, 0]).tolist(), scores=scores[:, 1].tolist())
