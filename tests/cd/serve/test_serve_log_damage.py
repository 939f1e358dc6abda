"""Somebody lays hands on the log of a running server: it says so, answers on, and every answer is in the log."""

from __future__ import annotations

import json
import os
import shutil
import threading

import httpx
import pytest

from homeostat.cd.log.segments import segments
from tests.cd.serving import LOOP, ServerProcess, bundle, flights, log_of, promote, raw, register, until

ROW = raw(flights(1, seed=9))[0]
WHILE = 30
"""Answers of each caller between two hurts."""

HURTS = {
    "deleted": lambda path: path.unlink(),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "deleted with its folder": lambda path: shutil.rmtree(path.parent),
    "replaced": lambda path: (path.with_name("x").write_bytes(b""), path.with_name("x").replace(path)),
}


class Callers:
    """Ask without a pause, and note the ids of the answers."""

    def __init__(self, url):
        self.url, self.answered, self.refused, self.enough = url, [], [], False
        self.threads = [threading.Thread(target=self._ask, args=(place,)) for place in range(2)]
        for thread in self.threads:
            thread.start()

    def _ask(self, place):
        with httpx.Client(trust_env=False, timeout=30) as client:
            number = 0
            while not self.enough:
                body = json.dumps({"records": [ROW], "id": f"{place}-{number}"})
                reply = client.post(f"{self.url}/predict", content=body)
                (self.answered if reply.status_code == 200 else self.refused).append(f"{place}-{number}")
                number += 1

    def go_on(self):
        goal = len(self.answered) + WHILE
        until(lambda: len(self.answered) >= goal)

    def end(self):
        self.enough = True
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("hurt", HURTS)
def test_answers_go_on_and_all_of_them_are_in_the_log(store, hurt):
    promote(store, register(store, bundle()))
    folder = store.log_folder(LOOP)
    with ServerProcess(store) as server:
        callers = Callers(server.url)
        callers.go_on()
        HURTS[hurt](segments(folder)[-1])
        callers.go_on()
        unready = until(lambda: (found := httpx.get(f"{server.url}/v2/health/ready")).status_code == 503 and found)
        metrics = httpx.get(f"{server.url}/metrics").text
        live = httpx.get(f"{server.url}/v2/health/live")
        callers.go_on()
        callers.end()
        assert server.stop() == 0
    assert (callers.refused, live.status_code) == ([], 200)
    assert "while it was written" in unready.json()["problems"][0]
    assert 'homeostat_log_damages_total{model="flights"} 1.0' in metrics
    assert sorted(record.request for record in log_of(store)) == sorted(callers.answered)
