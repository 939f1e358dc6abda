"""The server of a declaration has its shadows scored in a process that reads the same declaration."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

from homeostat.cd.log import LogReader, ShadowRecord
from homeostat.cd.serve import read_endpoint
from homeostat.cd.serve.scoring.loading import load_version
from homeostat.loop import load_loop
from tests.cd.serving import LOOP, bundle, divide, flights, promote, raw, register, until

ROWS = raw(flights(20, seed=9))
DECLARATION = """
from sklearn.linear_model import LogisticRegression
from homeostat import FileSource, Loop
import polars as pl

def features(rows):
    return rows.with_columns(fast=pl.col("distance") / (1 + pl.col("wind").abs()))

loop = Loop(
    name="flights",
    source=FileSource(
        "{folder}/flights.parquet", time="scheduled", key="flight_id", target="late", label_time="landed"
    ),
    features=features,
    model=LogisticRegression(),
)
"""
# Tests share their processors with other tests.
PROGRAM = """
from homeostat.cd.serve.shadow import supervisor
supervisor.SCHEDULING = None
from homeostat.engine.live.server_process import main
main()
"""


@pytest.fixture
def declared(store, tmp_path):
    flights().write_parquet(tmp_path / "flights.parquet")
    file = tmp_path / "loop.py"
    file.write_text(DECLARATION.format(folder=tmp_path))
    features = load_loop(file).features
    promote(store, register(store, bundle(features=features)))
    register(store, bundle(flights(seed=1), features=features, seed=1))
    divide(store, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    return file


def test_a_shadow_with_features_is_scored_in_a_process_as_it_would_answer(store, declared):
    def scored():
        records = LogReader(store.log_folder(LOOP)).read().records
        said = [record for record in records if isinstance(record, ShadowRecord)]
        found = {name: one for record in said for name, one in zip(record.ids, record.predictions, strict=True)}
        return found if len(found) == len(ROWS) else None

    command = [sys.executable, "-c", PROGRAM, "--store", str(store.path), "--loop-file", str(declared)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    try:
        url = until(lambda: read_endpoint(store.path, LOOP)).url
        assert httpx.post(f"{url}/predict", json=ROWS).status_code == 200
        found = until(scored)
    finally:
        server.terminate()
        server.communicate(timeout=30)
    version = load_version(store, LOOP, 2, load_loop(declared).features)
    expected = version.score(version.decoder.rows(ROWS))
    assert [found[row["flight_id"]] for row in ROWS] == expected
