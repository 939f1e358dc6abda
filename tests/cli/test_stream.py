"""`homeostat stream`: from a pipe, a file or a folder to another one, by the champion of the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from homeostat.core.store import Store
from tests.cd.serving import bundle, flights, promote, register
from tests.cd.streams import lines, logged, written

ROWS = flights(40, seed=3)
LOOP_FILE = """
from homeostat import FileSource, Loop

source = FileSource("rows.csv", time="scheduled", key="flight_id", target="late", label_time="landed")
loop = Loop(name="flights", source=source)
"""


@pytest.fixture
def store(tmp_path):
    """A store with a champion, its Loop's file, and some rows."""
    (tmp_path / "loop.py").write_text(LOOP_FILE)
    (tmp_path / "asked.jsonl").write_text("".join([*lines(ROWS), "{broken\n"]))
    kept = Store.open(tmp_path / ".homeostat")
    promote(kept, register(kept, bundle()))
    return kept


def test_a_file_is_answered_into_a_file(homeostat, store):
    done = homeostat("stream", "asked.jsonl", "--output", "said.jsonl", "--once")
    assert done.code == 0, done.err
    assert done.out == "version 1 answered 40 rows; 1 were set aside: said.jsonl\n"
    assert [one["id"] for one in written(Path("said.jsonl"))] == ROWS["flight_id"].to_list()
    assert "no JSON" in written(Path("said.dead.jsonl"))[0]["reason"]
    assert logged(store) == ROWS["flight_id"].to_list()
    again = homeostat("stream", "asked.jsonl", "--output", "said.jsonl", "--once", "--json")
    assert again.json == {"batches": 0, "dead": 0, "lost": [], "refused": None, "rows": 0, "version": 1}


def test_a_folder_is_answered_into_a_folder(homeostat, store):
    Path("arriving").mkdir()
    ROWS.write_parquet("arriving/a.parquet")
    done = homeostat("stream", "arriving", "-o", "said", "--dead", "bad/rows.jsonl", "--once", "--no-log")
    assert done.code == 0, done.err
    assert pl.read_parquet("said/*.parquet")["id"].to_list() == ROWS["flight_id"].to_list()
    assert Path("bad/rows.jsonl").read_text() == ""
    assert logged(store) == []


BAD = {
    "no such thing": (["asked.csv"], "is no stream"),
    "no folder": (["nowhere/asked.jsonl"], "no folder nowhere"),
    "odd output": (["asked.jsonl", "-o", "said.csv"], "said.csv is no place for a stream"),
    "its own input": (["asked.jsonl", "-o", "asked.jsonl.jsonl"], "would be read as a part of asked.jsonl"),
    "into its own folder": ([".", "-o", "said.jsonl"], "would be read as a part of ."),
    "dead letters nowhere": (["asked.jsonl", "--dead", "dead.jsonl"], "--dead goes with"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_streamed_is_one_clear_error(homeostat, store, case):
    words, said = BAD[case]
    done = homeostat("stream", *words)
    assert done.code == 2
    assert said in done.err
    assert "hint:" in done.err
    assert done.out == ""


def test_a_pipe_is_answered_as_it_comes_and_a_signal_ends_it(store, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "homeostat", "stream"]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipe) as process:
        for row in lines(ROWS[:3]):
            process.stdin.write(row)
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["id"] == json.loads(row)["flight_id"]
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        assert process.wait(deadline - time.monotonic()) == 0
        assert "answered 3 rows" in process.stderr.read()


def test_a_pipe_that_ends_ends_the_stream(store, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "homeostat", "stream"]
    given = {"input": "".join(lines(ROWS)) + "{broken", "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, cwd=tmp_path, env=environment, **given)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 40
    assert '"reason":"is no JSON' in done.stderr
