"""kill -9 under load: every answered prediction is in the log, and torn tails are repaired at the next start."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from homeostat.cd.log import LogReader, LogWriter, Position, PredictionRecord
from homeostat.cd.log.segments import is_sealed, segments
from tests.cd.serving import ServerProcess, bundle, flights, log_of, promote, raw, register

KILLS_OF_A_WRITER = 60
KILLS_OF_A_SERVER = 4
RECORDS_BESIDE = 20_000
CONNECTIONS = 4
ROW = raw(flights(1, seed=9))[0]

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from homeostat.cd.log import LogWriter, PredictionRecord, RowRecord

when = datetime(2013, 3, 1, tzinfo=UTC)
log = LogWriter(Path(sys.argv[1]), segment_bytes=200_000)
answer = sys.stdout.buffer
name, number = sys.argv[2], 0
while True:
    request = f"{name}-{number}"
    log.append(PredictionRecord(request, when, [RowRecord(request, 1, 1.0, {"wind": 1.5}, {1: [True]})]))
    answer.write(request.encode() + b"\\n")
    answer.flush()
    number += 1
"""


def acknowledged(process, seconds):
    """What a writer acknowledged before it was killed after so many seconds; a torn last line is no acknowledgement."""
    process.stdout.readline()
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    lines = process.stdout.read().split(b"\n")
    process.wait()
    timer.cancel()
    return {line.decode() for line in lines[:-1]}


@pytest.mark.crash
@pytest.mark.slow
def test_every_acknowledged_record_survives_sixty_kills(tmp_path):
    draw = random.Random(7)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    promised = set()
    for life in range(KILLS_OF_A_WRITER):
        command = [sys.executable, "-c", WRITER, str(tmp_path), f"life{life}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        promised |= acknowledged(process, draw.uniform(0.0, 0.05))
        process.stdout.close()
    with LogWriter(tmp_path):
        repaired = segments(tmp_path)[:-1]
        assert all(is_sealed(path) for path in repaired)
    batch = LogReader(tmp_path).read()
    found = [record.request for record in batch.records]
    assert len(promised) > KILLS_OF_A_WRITER
    assert promised - set(found) == set()
    assert len(found) == len(set(found))
    assert batch.damaged == 0


@pytest.mark.crash
@pytest.mark.slow
def test_a_reader_beside_a_writing_process_misses_nothing(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(tmp_path), "life"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    reader, position, found, damaged = LogReader(tmp_path), Position(), [], 0
    while len(found) < RECORDS_BESIDE:
        batch = reader.read(position, limit=100)
        position, damaged = batch.position, damaged + batch.damaged
        found += [record.request for record in batch.records]
        assert process.poll() is None
    process.kill()
    process.wait()
    assert damaged == 0
    assert found == [f"life-{number}" for number in range(len(found))]


def ask_until_it_dies(port, answered, wanted, enough):
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps(ROW)
    try:
        while True:
            connection.request("POST", "/predict", body)
            reply = connection.getresponse()
            content = reply.read()
            if reply.status == 200:
                answered.append(json.loads(content)["request"])
            if len(answered) >= wanted:
                enough.set()
    except (OSError, HTTPException, json.JSONDecodeError):
        connection.close()


@pytest.mark.crash
@pytest.mark.slow
def test_every_answer_of_a_killed_server_is_in_the_log(store):
    promote(store, register(store, bundle()))
    answered = []
    for _ in range(KILLS_OF_A_SERVER):
        enough, wanted = threading.Event(), len(answered) + 100
        with ServerProcess(store) as server:
            port = int(server.url.rpartition(":")[2])
            told = (port, answered, wanted, enough)
            askers = [threading.Thread(target=ask_until_it_dies, args=told) for _ in range(CONNECTIONS)]
            for asker in askers:
                asker.start()
            assert enough.wait(60)
            server.kill()
            for asker in askers:
                asker.join()
    with ServerProcess(store) as server:
        assert server.stop() == 0
    logged = {record.request for record in log_of(store) if isinstance(record, PredictionRecord)}
    assert len(answered) >= 100 * KILLS_OF_A_SERVER
    assert set(answered) - logged == set()
    assert all(is_sealed(path) for path in segments(Path(store.log_folder("flights"))))
