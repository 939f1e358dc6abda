"""A drainer that is killed between its steps: the tables hold every row and every label of all servers exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import polars as pl
import pytest

from homeostat.cd.log import BlockRecord, LogWriter, Packed
from homeostat.cd.log.archive import Archive
from homeostat.core.store import Store
from tests.cd.log_records import NOON, asked, told

pytestmark = [pytest.mark.crash, pytest.mark.slow]

INPUTS = {"wind": pl.Float64(), "carrier": pl.String()}
SERVERS = 3
DRAINER = """
import os, signal, sys
import polars as pl
from homeostat.cd.log import archive
from homeostat.core.store import Store
from homeostat.core.table.table import Table

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def last(append, calls):
    def one(*arguments, **more):
        calls.append(1)
        found = append(*arguments, **more)
        return die() if len(calls) == wanted else found
    return one

place = sys.argv[2]
wanted = {"after the predictions": 1, "after the labels": 2}.get(place, 0)
Table.append = last(Table.append, [])
if place == "before the note":
    archive.write_whole = die
archive.Archive(Store.open(sys.argv[1]), "world").fill({"wind": pl.Float64(), "carrier": pl.String()}, pl.Boolean())
"""


def block(name, count):
    wind = Packed("<f8", np.arange(count, dtype="<f8").tobytes())
    columns = {"wind": wind, "carrier": ["UA"] * count}
    return BlockRecord(name, NOON, count, None, 1, 1.0, columns, [True] * count, [[0.25, 0.75]] * count)


@pytest.mark.parametrize("place", ["after the predictions", "after the labels", "before the note"])
def test_what_a_killed_drainer_left_undone_is_done_once(tmp_path, place):
    store = Store.open(tmp_path / "store")
    rows, labels = set(), set()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", DRAINER, str(store.path), place]
    with ExitStack() as stack:
        logs = [stack.enter_context(LogWriter(store.log_folder("world"))) for _ in range(SERVERS)]
        for life in range(2):
            for number, log in enumerate(logs):
                name = f"{life}-{number}"
                log.append(asked(name))
                log.append(block(f"b{name}", 3))
                log.append(told(name))
                rows |= {name, *(f"b{name}/{place}" for place in range(3))}
                labels.add(name)
            killed = subprocess.run(command, env=environment, check=False)
            assert killed.returncode == -signal.SIGKILL
        archive = Archive(store, "world")
        archive.fill(INPUTS, pl.Boolean())
    assert sorted(archive.predictions.read()["id"]) == sorted(rows)
    assert sorted(archive.labels.read()["id"]) == sorted(labels)
    found = archive.predictions.read().filter(pl.col("id") == "b1-2/2").row(0, named=True)
    assert (found["input_wind"], found["input_carrier"], found["scores"]) == (2.0, "UA", "[0.25,0.75]")
