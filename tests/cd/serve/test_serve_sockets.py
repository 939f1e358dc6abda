"""What comes over the socket and is no decent request: bounded memory, an answer or a closed line, and still ready."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import re
import socket
import time
import zlib
from pathlib import Path

import httpx
import pytest

from homeostat.core.store import Store
from tests.cd.serving import ServerProcess, bundle, flights, promote, raw, register, until

ROWS = raw(flights(3, seed=9))
ROW = json.dumps(ROWS[0]).encode()
MEGABYTE = 1 << 20
PATIENCE = 10.0


WEB = httpx.Client(trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    store = Store.open(tmp_path_factory.mktemp("sockets") / "store")
    promote(store, register(store, bundle()))
    with ServerProcess(store) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(autouse=True)
def still_ready(server):
    """After every test the server is there, ready, right, and no bigger than before."""
    assert WEB.post(f"{server.url}/predict", json=ROWS[0]).status_code == 200
    before = memory(server)
    yield
    assert server.process.poll() is None
    # A body that kept the event loop for a second was told of; that is over at the next look.
    until(lambda: WEB.get(f"{server.url}/v2/health/ready").json()["ready"], seconds=10)
    assert WEB.post(f"{server.url}/predict", json=ROWS[0]).status_code == 200
    assert memory(server) - before < 100 * MEGABYTE


def memory(server):
    """Resident memory in bytes."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def connect(server):
    host, port = server.url.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=PATIENCE)
    line.settimeout(PATIENCE)
    return line


def head(*lines, path="/predict", method="POST"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def statuses(line):
    """The statuses of all answers until the server closes the line, or until one answer when it does not."""
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while part := line.recv(MEGABYTE):
            data += part
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d\d\d) ", data)], data


def first_status(line):
    """The status of the first answer; 0 when the line is closed without one."""
    data = b""
    try:
        while b"\r\n" not in data and (part := line.recv(4_096)):
            data += part
    except ConnectionError:
        return 0
    return int(data[9:12]) if data else 0


def test_a_body_of_two_gigabytes_that_never_comes_is_refused_at_once(server):
    start = time.monotonic()
    with connect(server) as line:
        line.sendall(head("Content-Length: 2147483648", "Content-Type: application/json"))
        assert first_status(line) == 413
    assert time.monotonic() - start < 2


def test_a_chunked_body_is_cut_off_at_the_limit(server):
    chunk = b"%x\r\n" % MEGABYTE + b" " * MEGABYTE + b"\r\n"
    with connect(server) as line:
        line.sendall(head("Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                line.sendall(chunk)
        assert first_status(line) in {413, 0}


def test_a_chunked_body_within_the_limit_is_answered(server):
    parts = b"".join(b"%x\r\n%s\r\n" % (len(ROW[at : at + 7]), ROW[at : at + 7]) for at in range(0, len(ROW), 7))
    with connect(server) as line:
        line.sendall(head("Transfer-Encoding: chunked") + parts + b"0\r\n\r\n")
        assert first_status(line) == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused(server, encoding):
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(b" " * MEGABYTE) for _ in range(64)) + packer.flush()
    reply = WEB.post(f"{server.url}/predict", content=bomb, headers={"content-encoding": encoding})
    assert reply.status_code == 413, reply.text
    assert "unpacked" in reply.json()["error"]


def test_a_compressed_request_and_answer(server):
    body = gzip.compress(json.dumps(ROWS * 30).encode())
    plain = WEB.post(f"{server.url}/predict", json=ROWS * 30, headers={"accept-encoding": "identity"})
    for wanted in ("gzip", "deflate"):
        headers = {"content-encoding": "gzip", "accept-encoding": wanted}
        reply = WEB.post(f"{server.url}/predict", content=body, headers=headers)
        assert reply.headers["content-encoding"] == wanted
        assert reply.json()["predictions"][0]["value"] == plain.json()["predictions"][0]["value"]
    assert "content-encoding" not in plain.headers


def test_those_who_never_finish_keep_nobody_waiting(server):
    with contextlib.ExitStack() as lines:
        for place in range(60):
            line = lines.enter_context(connect(server))
            torn = head("Content-Length: 500")
            line.sendall([torn[:20], torn + ROW[:40], b""][place % 3])
        start = time.monotonic()
        for _ in range(20):
            assert WEB.post(f"{server.url}/predict", json=ROWS[0]).status_code == 200
        assert time.monotonic() - start < 5


def test_those_who_go_away_in_the_middle(server):
    for _ in range(50):
        with connect(server) as line:
            line.sendall(head("Content-Length: 5000") + ROW[:40])
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def test_garbage_behind_a_good_request_spoils_only_itself(server):
    with connect(server) as line:
        good = head(f"Content-Length: {len(ROW)}") + ROW
        line.sendall(good + good + b"\x00\x01garbage\r\n\r\n" + good)
        found, _ = statuses(line)
    assert found == [200, 200]


GARBAGE = {
    "nothing but newlines": b"\r\n" * 10_000,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a method of its own": b"BREW / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "an endless line": b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\n\r\n",
    "an endless header": head("X: " + "a" * MEGABYTE),
    "many headers": head(*(f"X{place}: y" for place in range(20_000))),
    "a NUL in a header": head("X: \x00"),
    "a negative length": head("Content-Length: -1"),
    "a length that is none": head("Content-Length: many"),
    "a length beyond 64 bits": head("Content-Length: " + "9" * 30),
    "two lengths": head("Content-Length: 4", "Content-Length: 5") + b"12345",
    "a length and chunks": head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "a chunk beyond 64 bits": head("Transfer-Encoding: chunked") + b"f" * 20 + b"\r\n" + b"x" * 100,
    "a chunk that is none": head("Transfer-Encoding: chunked") + b"zz\r\nxx\r\n",
    "a path that is no UTF-8": b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a path with escapes": b"GET /v2/models/%00%ff%2e%2e HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "an absolute path": b"GET http://other/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a host of another": b"GET / HTTP/1.1\r\nHost: other\r\n\r\n",
    "an upgrade": head("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", method="GET"),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_no_failure_of_ours(server, case):
    with connect(server) as line:
        with contextlib.suppress(OSError):
            line.sendall(GARBAGE[case])
            line.shutdown(socket.SHUT_WR)
        found, data = statuses(line)
    assert all(status < 500 for status in found), data[:500]


def test_random_bytes_are_no_failure_of_ours(server):
    draw = random.Random(7)
    good = head(f"Content-Length: {len(ROW)}") + ROW
    for _ in range(150):
        sent = bytearray(good)
        for _ in range(draw.randint(1, 6)):
            sent[draw.randrange(len(sent))] = draw.randrange(256)
        with connect(server) as line:
            with contextlib.suppress(OSError):
                line.sendall(bytes(sent))
                line.shutdown(socket.SHUT_WR)
            found, data = statuses(line)
        assert all(status < 500 for status in found), (bytes(sent), data[:500])
