"""X5: whatever kills the server, every answer that a caller got is in the log, and every label it took joins it."""

from __future__ import annotations

import json
import random
import socket
import threading
from http.client import HTTPConnection, HTTPException

import pytest

from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LabelRecord, LogReader, LogWriter, PredictionRecord
from homeostat.cd.log.segments import is_sealed, segments
from homeostat.core.clock import stopwatch
from tests.cd.forking import Forker
from tests.cd.serving import LOOP, bundle, flights, promote, raw, register

CONNECTIONS = 4
ANSWERS_OF_A_LIFE = 40
SEVERAL = 5
ROWS = [{name: value for name, value in row.items() if name != "flight_id"} for row in raw(flights(50, seed=9))]


class Caller:
    """Asks, labels what was answered, and remembers of both only what the server said; goes on when it is back."""

    def __init__(self, port, seed):
        self.port, self.draw = port, random.Random(seed)
        self.answered, self.labelled, self.requests = [], set(), set()
        self.ended = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.ended.is_set():
                self._converse()
        except Exception as error:  # noqa: BLE001 - shown by the test, which would else wait for ever
            self.failure = error

    def _converse(self):
        """One connection, until the server dies."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            while not self.ended.is_set():
                rows = [self.draw.choice(ROWS) for _ in range(self.draw.choice([1, 1, 1, SEVERAL]))]
                said = self._ask(connection, "/predict", rows)
                self.requests.add(said["request"])
                ids = [one["id"] for one in said["predictions"]]
                self.answered += ids
                if self.draw.random() < 0.5:
                    self._ask(connection, "/labels", [{"id": one, "label": True} for one in ids])
                    self.labelled.update(ids)
        except (OSError, HTTPException):
            self.ended.wait(0.01)  # it was killed, or is not there yet
        finally:
            connection.close()

    @staticmethod
    def _ask(connection, path, body):
        connection.request("POST", path, json.dumps(body))
        reply = connection.getresponse()
        content = reply.read()
        assert reply.status == 200, content
        return json.loads(content)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def die_again_and_again(store, kills):
    """Kill the server under load so many times; gives the callers."""
    port, draw = free_port(), random.Random(5)
    callers = [Caller(port, seed) for seed in range(CONNECTIONS)]
    threads = [threading.Thread(target=caller.run) for caller in callers]
    with Forker(store, LOOP, port) as forker:
        for thread in threads:
            thread.start()
        for _ in range(kills):
            wanted = answers(callers) + draw.randint(1, ANSWERS_OF_A_LIFE)
            forker.start()
            deadline = stopwatch() + 60
            while answers(callers) < wanted:
                assert [caller.failure for caller in callers] == [None] * CONNECTIONS
                assert stopwatch() < deadline, "the server does not answer"
                threading.Event().wait(draw.random() * 0.004)  # not always just after an answer
            forker.kill()
        for caller in callers:
            caller.ended.set()
        for thread in threads:
            thread.join()
    return callers


def answers(callers):
    return sum(len(caller.answered) for caller in callers)


@pytest.mark.crash
@pytest.mark.parametrize("kills", [20, pytest.param(1_000, marks=pytest.mark.long)])
def test_every_answer_survives_the_death_of_the_server_and_labels_join_it(store, kills):
    promote(store, register(store, bundle()))
    folder = store.log_folder(LOOP)
    callers = die_again_and_again(store, kills)
    answered = {one for caller in callers for one in caller.answered}
    labelled = set().union(*(caller.labelled for caller in callers))
    assert len(answered) > kills
    with LogWriter(folder):  # the next start repairs what the last death left
        assert all(is_sealed(path) for path in segments(folder)[:-1])
    batch = LogReader(folder).read(limit=10_000_000)
    assert batch.damaged == 0
    predicted = [row.id for record in batch.records if isinstance(record, PredictionRecord) for row in record.rows]
    told = [item.id for record in batch.records if isinstance(record, LabelRecord) for item in record.labels]
    assert answered - set(predicted) == set()
    assert labelled - set(told) == set()
    assert len(predicted) == len(set(predicted))
    traffic = Traffic(folder, keep=10_000_000)
    while traffic.take().more:
        pass
    counts = traffic.counts
    assert counts.joined == len(set(told))
    assert (counts.unknown_labels, counts.conflicting_labels, counts.repeated_labels) == (0, 0, 0)
