"""SIGTERM under load: unready at once, every request that was accepted is answered, the log is sealed, exit code 0."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest

from homeostat.cd.log import PredictionRecord
from homeostat.cd.log.segments import is_sealed, segments
from homeostat.cd.serve.listen import listen
from homeostat.cd.serve.operate.shutdown import refuse_new
from tests.cd.serving import ServerProcess, bundle, flights, log_of, promote, raw, register

ROW = json.dumps(raw(flights(1, seed=9))[0])
CALLERS = 8


@pytest.fixture
def served(store):
    promote(store, register(store, bundle()))
    return store


class Caller(threading.Thread):
    """Asks again and again on connections that it keeps, and makes new ones when it is told to, until none is taken."""

    def __init__(self, url):
        super().__init__()
        self.place = urlsplit(url)
        self.answered, self.lost, self.last = 0, [], 0

    def run(self):
        while True:
            connection = http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=20)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            except OSError as error:
                self.lost.append(error)
                return
            with contextlib.closing(connection):
                if not self.ask(connection):
                    return

    def ask(self, connection):
        """Whether to go on with a new connection."""
        while True:
            try:
                connection.request("POST", "/predict", ROW)
                reply = connection.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(error)
                return False
            self.answered += reply.status == 200
            if reply.status != 200:
                self.lost.append(reply.status)
            if reply.getheader("connection") == "close":
                self.last += 1
                return True


def test_no_request_that_was_accepted_is_lost_or_reset(served):
    with ServerProcess(served) as server:
        callers = [Caller(server.url) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        while any(caller.answered < 5 for caller in callers):
            assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join(30)
        assert server.process.wait(30) == 0
    assert [caller.lost for caller in callers if caller.lost] == []
    assert sum(caller.last for caller in callers) >= CALLERS, "each was told that its connection ends"
    answers = [record for record in log_of(served) if isinstance(record, PredictionRecord)]
    assert len(answers) == sum(caller.answered for caller in callers)
    assert all(is_sealed(path) for path in segments(served.log_folder("flights")))


def test_load_balancers_are_given_time_to_notice(served):
    with (
        ServerProcess(served, env={"HOMEOSTAT_DRAIN_SECONDS": "3"}) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert client.get("/v2/health/ready").json() == {"ready": True}
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{server.url}/v2/health/ready").status_code == 200:
            assert time.monotonic() - begin < 3
        assert httpx.get(f"{server.url}/v2/health/live").json() == {"live": True}
        assert httpx.post(f"{server.url}/predict", content=ROW).status_code == 200
        assert server.process.wait(30) == 0
        assert time.monotonic() - begin >= 3


def test_a_second_signal_ends_it_now(served):
    with ServerProcess(served, env={"HOMEOSTAT_DRAIN_SECONDS": "600"}) as server:
        server.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{server.url}/v2/health/ready").status_code == 200:
            assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    assert all(is_sealed(path) for path in segments(served.log_folder("flights")))


def test_a_closing_listener_lets_in_who_waits_and_nobody_else():
    with listen("127.0.0.1", 0) as listener:
        before = socket.create_connection(listener.getsockname(), timeout=5)
        refuse_new(listener)
        accepted, _ = listener.accept()
        with before, accepted:
            accepted.sendall(b"hello")
            assert before.recv(5) == b"hello"
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), timeout=0.3)


def test_systemd_is_told_what_happens(served, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(tmp_path / "notify"))
        inbox.settimeout(20)
        with ServerProcess(served, env={"NOTIFY_SOCKET": inbox.getsockname()}) as server:
            heard = [inbox.recv(1_000).decode() for _ in range(3)]
            assert server.stop() == 0
        while "STOPPING=1" not in heard:
            heard.append(inbox.recv(1_000).decode())
    assert f"READY=1\nSTATUS=serving at {server.url}" in heard
    assert "WATCHDOG=1" in heard
    assert os.environ.get("NOTIFY_SOCKET") is None
