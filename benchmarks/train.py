"""Seconds to train, convert, prove and store a model, and to evaluate it: each beside the bare fit of scikit-learn.

Run with `make bench-train`: 200,000 rows with 15 columns, gradient boosting of 60 rounds, as the demo retrains.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from homeostat.ci.evaluate import evaluate
from homeostat.ci.train import train
from homeostat.ci.train.fitting import limited_threads
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.clock import stopwatch
from homeostat.core.model import Bundle
from homeostat.core.model.encoder import Coder
from homeostat.core.schema import infer_schema
from homeostat.core.table.spec import TableSpec

TRAIN, TEST, NUMBERS = 200_000, 60_000, 12
SPEC = TableSpec(time="at", key=("id",), target="y")
START = datetime(2024, 1, 1, tzinfo=UTC)


def world() -> pl.DataFrame:
    """Rows with numbers, categories and a time."""
    rng = np.random.default_rng(0)
    rows = TRAIN + TEST
    numbers = {f"x{place}": rng.normal(size=rows) for place in range(NUMBERS)}
    carrier, dest = rng.integers(0, 16, rows), rng.integers(0, 100, rows)
    y = numbers["x0"] + numbers["x1"] ** 2 + 0.1 * carrier + rng.normal(size=rows) > 1.5
    at = [START + timedelta(minutes=minute) for minute in range(rows)]
    text = {"carrier": [f"c{code}" for code in carrier], "dest": [f"d{code}" for code in dest]}
    return pl.DataFrame({"id": np.arange(rows).astype(str), "at": at, **numbers, **text, "y": y})


def main() -> None:
    """Measure and print one line each."""
    table = world()
    rows, test = table.head(TRAIN), table.tail(TEST)
    schema = infer_schema(rows, SPEC)
    model = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0)
    took = {}
    begin = stopwatch()
    bundle = train(rows, test, schema=schema, now=START, model=model)
    took["train, convert, prove"] = stopwatch() - begin
    with tempfile.TemporaryDirectory() as folder:
        begin = stopwatch()
        key = bundle.save(ArtifactStore(folder))
        took["save"] = stopwatch() - begin
        begin = stopwatch()
        loaded = Bundle.load(ArtifactStore(folder), key)
        took["load"] = stopwatch() - begin
    begin = stopwatch()
    evaluate(loaded, rows, test, champion=loaded, slices=("carrier",))
    took["evaluate on 60,000 rows"] = stopwatch() - begin
    assert bundle.manifest.encoder is not None
    codes = Coder(bundle.manifest.encoder).frame(rows)
    begin = stopwatch()
    with limited_threads():
        model.fit(codes, rows["y"].to_numpy())
    floor = stopwatch() - begin
    print(f"{'scikit-learn fit alone':<26} {floor:6.2f} s   1.00")
    for name, seconds in took.items():
        print(f"{name:<26} {seconds:6.2f} s {seconds / floor:6.2f}")
    one = table.head(1).drop("y").to_dicts()
    begin = stopwatch()
    for _ in range(1_000):
        loaded.predict_records(one)
    print(f"one record: {(stopwatch() - begin) * 1e3:.0f} us; proof: {bundle.manifest.blob.proof}")


if __name__ == "__main__":
    main()
