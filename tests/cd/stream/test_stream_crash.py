"""A stream that is killed at any point goes on: no row is missing from its output, and none is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import polars as pl
import pytest

from tests.cd.serving import bundle, flights, promote, register
from tests.cd.streams import lines, logged, written

ROWS = flights(100, seed=3)
BROKEN = ["{broken\n"] * 3

CHILD = textwrap.dedent("""
    import json, os, signal, sys
    from homeostat.cd.log import LogWriter
    from homeostat.cd.stream import Champions, stream
    from homeostat.connect import JsonLinesSink, ParquetSink, TailSource
    from homeostat.core.clock import SystemClock
    from homeostat.core.store import Store

    told = json.loads(sys.argv[1])
    kind = JsonLinesSink if told["out"].endswith(".jsonl") else ParquetSink

    class Dying(kind):
        commits = 0

        def _commit(self, *given, **more):
            self.commits += 1
            dies = self.commits == told["dies_at"]
            if dies and told["where"] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            super()._commit(*given, **more)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)

    store = Store.open(told["store"])
    with LogWriter(store.log_folder("flights")) as log:
        source = TailSource(told["source"])
        sink, settings = Dying(told["out"]), {"clock": SystemClock(), "log": log, "once": True, "batch_rows": 15}
        stream(Champions(store, "flights"), source, sink, **settings)
""")


def killed(store, source, out, **told):
    told = {"store": str(store.path), "source": str(source), "out": str(out), **told}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CHILD, json.dumps(told)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.crash
@pytest.mark.parametrize("where", [pytest.param("before", marks=pytest.mark.long), "after"])
@pytest.mark.parametrize("output", ["out.jsonl", "out"])
def test_nothing_is_lost_and_nothing_said_twice(store, tmp_path, output, where):
    promote(store, register(store, bundle()))
    source, out = tmp_path / "rows.jsonl", tmp_path / output
    source.write_text("".join([*lines(ROWS[:40]), *BROKEN, *lines(ROWS[40:])]))
    for dies_at in (1, 3, 2, 4):  # the first commit keeps the first position, before any answer
        done = killed(store, source, out, dies_at=dies_at, where=where)
        assert done.returncode == -9, done.stderr
    done = killed(store, source, out, dies_at=0, where=where)
    assert done.returncode == 0, done.stderr
    ids = written(out) if output == "out.jsonl" else pl.read_parquet(out / "*.parquet").to_dicts()
    assert [one["id"] for one in ids] == ROWS["flight_id"].to_list()
    assert len(written(tmp_path / "out.dead.jsonl")) == len(BROKEN)
    assert set(logged(store)) == set(ROWS["flight_id"])
