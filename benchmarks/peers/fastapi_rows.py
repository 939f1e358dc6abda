"""FastAPI with ONNX Runtime, as one writes it by hand; run by uvicorn in the environment of fastapi.txt.

It is sent the same rows as ours: checked by pydantic, coded by hand. `async def`, because the model takes microseconds:
a thread per request would cost more than the model.
"""

import os
from datetime import datetime

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel


class Row(BaseModel):
    """One row of the table."""

    id: str
    at: datetime
    carrier: str
    x0: float
    x1: float
    x2: float
    x3: float
    x4: float
    x5: float
    x6: float
    x7: float


class Prediction(BaseModel):
    """What is said about it."""

    id: str
    value: bool
    score: float


class Answer(BaseModel):
    """About all of them."""

    predictions: list[Prediction]


CARRIERS = {"AA": 0.0, "B6": 1.0, "DL": 2.0, "UA": 3.0}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
app = FastAPI()


def coded(row: Row) -> list[float]:
    hour, weekday = row.at.hour + row.at.minute / 60, row.at.isoweekday()
    carrier = CARRIERS.get(row.carrier, np.nan)
    return [hour, weekday, carrier, row.x0, row.x1, row.x2, row.x3, row.x4, row.x5, row.x6, row.x7]


def answer(rows: list[Row]) -> Answer:
    labels, scores = session.run(None, {"x": np.array([coded(row) for row in rows], np.float32)})
    said = zip(rows, labels.astype(bool).tolist(), scores[:, 1].tolist(), strict=True)
    return Answer(predictions=[Prediction(id=row.id, value=value, score=score) for row, value, score in said])


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/one")
async def one(row: Row) -> Answer:
    return answer([row])


@app.post("/many")
async def many(rows: list[Row]) -> Answer:
    return answer(rows)
