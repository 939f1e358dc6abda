"""Where a request ends is never in doubt: for every trick one answer a request, or 400 and the line is closed."""

from __future__ import annotations

import json
import re
import socket
import subprocess

import httpx
import pytest

from homeostat.core.store import Store
from tests.cd.serving import LOOP, ServerProcess, bundle, flights, promote, raw, register

ROW = json.dumps(raw(flights(1, seed=9))[0]).encode()
LABEL = b'{"id":"smuggled","label":true}'
HOST = b"Host: 127.0.0.1"
SMUGGLED = b"POST /labels HTTP/1.1\r\n" + HOST + b"\r\nContent-Length: %d\r\n\r\n" % len(LABEL) + LABEL
"""A request that hides in the body of another one: a label that nobody sent would be recorded."""

LENGTH = b"Content-Length: %d" % len(ROW)
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n" % len(ROW) + ROW + b"\r\n0\r\n\r\n"
H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")


def post(*headers, body=b"", path=b"/predict", version=b"1.1", host=HOST):
    lines = [b"POST %s HTTP/%s" % (path, version), *([host] if host else []), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(path=b"/v2/health/live", method=b"GET", version=b"1.1", *headers):
    return b"\r\n".join([b"%s %s HTTP/%s" % (method, path, version), HOST, *headers]) + b"\r\n\r\n"


GOOD = post(LENGTH, body=ROW)

ANSWERED = {
    "a length": (GOOD, [200]),
    "chunks": (post(CHUNKED, body=CHUNKS), [200]),
    "chunks in capitals": (post(b"Transfer-Encoding: Chunked", body=CHUNKS), [200]),
    "a chunk with an extension": (post(CHUNKED, body=CHUNKS.replace(b"\r\n", b";name=value\r\n", 1)), [200]),
    "Java's client": (post(H2C[0], LENGTH, H2C[2], H2C[1], b"User-Agent: Java-http-client/21", body=ROW), [200]),
    "h2c with chunks": (post(*H2C, CHUNKED, body=CHUNKS), [200]),
    "h2c to a route of uvicorn's way": (post(*H2C, b"Content-Length: 2", path=b"/labels", body=b"[]"), [200]),
    "h2c without a body": (get(b"/v2/health/live", b"GET", b"1.1", *H2C), [200]),
    "h2c, and the last request": (post(b"Connection: close, Upgrade", H2C[1], LENGTH, body=ROW) + GOOD, [200]),
    "two that would like h2c, and one that would not": (2 * post(*H2C, LENGTH, body=ROW) + GOOD, [200, 200, 200]),
    "a websocket": (
        post(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x", LENGTH, body=ROW),
        [200],
    ),
    "a request in the body behind an upgrade": (
        post(*H2C, b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED) + GOOD,
        [400, 200],
    ),
    "a request in a chunk behind an upgrade": (
        post(*H2C, CHUNKED, body=b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n") + GOOD,
        [400, 200],
    ),
    "a request in the body of a GET": (
        get(b"/v2/health/live", b"GET", b"1.1", b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED + GOOD,
        [200, 200],
    ),
    "a request in the body of a HEAD": (
        get(b"/v2/health/live", b"HEAD", b"1.1", b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED + GOOD,
        [200, 200],
    ),
    "three at once": (3 * GOOD, [200, 200, 200]),
    "short, long, short": (GOOD + get() + GOOD, [200, 200, 200]),
    "HTTP/1.0": (post(LENGTH, version=b"1.0", body=ROW) + GOOD, [200]),
    "HTTP/1.0 without a host": (post(LENGTH, version=b"1.0", host=None, body=ROW), [200]),
    "HTTP/1.0 that would like to stay": (post(LENGTH, b"Connection: keep-alive", version=b"1.0", body=ROW), [200]),
    "what comes behind the last request": (post(LENGTH, b"Connection: close", body=ROW) + SMUGGLED, [200]),
    "what comes behind a bad last request": (
        post(b"Content-Length: 1", b"Connection: close", body=b"x") + SMUGGLED,
        [400],
    ),
    "an absolute target": (post(LENGTH, path=b"http://127.0.0.1/predict", body=ROW), [200]),
    "a length with zeros in front": (post(LENGTH.replace(b": ", b": 000"), body=ROW), [200]),
    "no body": (post(), [400]),
    "a name that looks like a length": (post(b"Content_Length: 1", LENGTH, body=ROW), [200]),
    "two hosts": (post(HOST, LENGTH, body=ROW) + GOOD, [400, 200]),
    "two hosts that differ": (post(b"Host: other", LENGTH, body=ROW) + GOOD, [400, 200]),
    "no host": (post(LENGTH, host=None, body=ROW) + GOOD, [400, 200]),
    "two tokens": (post(b"Authorization: Bearer a", b"Authorization: Bearer b", LENGTH, body=ROW) + GOOD, [400, 200]),
    "two types": (post(b"Content-Type: text/csv", b"Content-Type: application/json", LENGTH, body=ROW), [400]),
    "two deadlines": (post(b"Homeostat-Deadline: 1", b"Homeostat-Deadline: 9000", LENGTH, body=ROW), [400]),
    "garbage behind whole requests": (GOOD + GOOD + b"\x00\x01\r\n\r\n", [200, 200]),
}

REFUSED = {
    "a length and chunks": post(b"Content-Length: 4", CHUNKED, body=b"0\r\n\r\n" + SMUGGLED),
    "chunks and a length": post(CHUNKED, b"Content-Length: 4", body=b"0\r\n\r\n" + SMUGGLED),
    "a length behind chunks, as a trailer": post(CHUNKED, body=b"0\r\nContent-Length: 5\r\n\r\n"),
    "two lengths": post(LENGTH, b"Content-Length: 1", body=ROW),
    "a length twice": post(LENGTH, LENGTH, body=ROW),
    "lengths in a list": post(b"Content-Length: 1, 1", body=b"x"),
    "a length with a sign": post(b"Content-Length: +1", body=b"x"),
    "a negative length": post(b"Content-Length: -1", body=b"x"),
    "a length with a space": post(b"Content-Length: 1 1", body=b"x"),
    "a length in hexadecimal": post(b"Content-Length: 0x1", body=b"x"),
    "a length with a dash below": post(b"Content-Length: 1_0", body=b"x" * 10),
    "a length beyond 64 bits": post(b"Content-Length: 18446744073709551617", body=b"x"),
    "a length of nothing": post(b"Content-Length:", body=b"x"),
    "a space before the colon of a length": post(b"Content-Length : 1", body=b"x"),
    "a space before the colon of chunks": post(b"Transfer-Encoding : chunked", LENGTH, body=ROW),
    "a coding that is not chunked": post(b"Transfer-Encoding: xchunked", body=CHUNKS),
    "a coding that is the identity": post(b"Transfer-Encoding: identity", LENGTH, body=ROW),
    "a coding behind chunked": post(b"Transfer-Encoding: chunked, identity", body=CHUNKS),
    "a coding before chunked": post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
    "chunked twice": post(CHUNKED, CHUNKED, body=CHUNKS),
    "chunked twice in a list": post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS),
    "chunked, then not": post(CHUNKED, b"Transfer-Encoding: identity", body=CHUNKS),
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked", body=CHUNKS),
    "a folded header": post(b"X: a\r\n b", LENGTH, body=ROW),
    "a coding behind a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS),
    "a coding in quotes": post(b'Transfer-Encoding: "chunked"', body=CHUNKS),
    "chunks in HTTP/1.0": post(CHUNKED, version=b"1.0", body=CHUNKS),
    "lines that end in LF": post(LENGTH, body=ROW).replace(b"\r\n", b"\n"),
    "lines that end in CR": post(LENGTH).replace(b"\r\n", b"\r") + ROW,
    "a CR in a header": post(b"X: a\rContent-Length: 5", LENGTH, body=ROW),
    "a LF in a header": post(b"X: a\nContent-Length: 5", LENGTH, body=ROW),
    "a NUL in a header": post(b"X: a\x00b", LENGTH, body=ROW),
    "a header without a colon": post(b"Xab", LENGTH, body=ROW),
    "a header without a name": post(b": a", LENGTH, body=ROW),
    "a space before the first header": post(LENGTH, host=b" " + HOST, body=ROW),
    "a chunk of negative size": post(CHUNKED, body=b"-1\r\n" + ROW),
    "a chunk in 0x": post(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk with a sign": post(CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": post(CHUNKED, body=b"f" * 20 + b"\r\nhello"),
    "a chunk of no size": post(CHUNKED, body=b"\r\nhello\r\n0\r\n\r\n"),
    "a chunk with a space": post(CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"),
    "a chunk that ends in LF": post(CHUNKED, body=b"5\nhello\n0\n\n"),
    "a LF in a chunk's extension": post(CHUNKED, body=b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than its size": post(CHUNKED, body=b"5\r\nhello there\r\n0\r\n\r\n"),
    "a chunk without its end": post(CHUNKED, body=b"5\r\nhello0\r\n\r\n"),
    "a tunnel": post(LENGTH, body=SMUGGLED).replace(b"POST", b"CONNECT", 1),
    "a tunnel to a name": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n\r\n" + SMUGGLED,
    "HTTP/2 with knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 by name": post(LENGTH, version=b"2.0", body=ROW),
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/0.9 by name": post(LENGTH, version=b"0.9", body=ROW),
    "HTTP/1.2": post(LENGTH, version=b"1.2", body=ROW),
    "a tab in the first line": GOOD.replace(b" ", b"\t", 2),
    "a space in the target": post(LENGTH, path=b"/predict /labels", body=ROW),
    "a target that is no ASCII": post(LENGTH, path=b"/pr\xc3\xa9dict", body=ROW),
}

TORN = {
    "a head": GOOD[:40],
    "a body": GOOD[:-5],
    "a chunk": post(CHUNKED, body=CHUNKS[:-12]),
    "a body behind an upgrade": post(*H2C, LENGTH, body=ROW[:-5]),
    "nothing": b"",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    store = Store.open(tmp_path_factory.mktemp("framing") / "store")
    promote(store, register(store, bundle()))
    with ServerProcess(store) as running:
        yield running
    store.close()


def statuses(server, sent, *more):
    """What a caller that sends this and no more is answered, until the server hangs up."""
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        try:
            line.sendall(sent)
            for part in more:
                line.sendall(part)
            line.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it hung up already
        said = b""
        try:
            while part := line.recv(1 << 16):
                said += part
        except ConnectionError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", said)]


def labels(server):
    (line,) = re.findall(r"^homeostat_labels_total{.*", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("case", ANSWERED)
def test_a_request_whose_end_is_certain_has_one_answer(server, case):
    sent, expected = ANSWERED[case]
    assert statuses(server, sent) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_whose_end_could_be_read_in_two_ways_is_refused_and_the_line_is_closed(server, case):
    assert statuses(server, REFUSED[case] + SMUGGLED) == [400]
    assert statuses(server, GOOD + REFUSED[case] + SMUGGLED) in ([200], [200, 400])


@pytest.mark.parametrize("case", TORN)
def test_a_request_that_does_not_come_to_its_end_is_none(server, case):
    assert statuses(server, TORN[case]) in ([], [400])
    assert statuses(server, GOOD + get() + TORN[case]) == [200, 200]


def test_no_part_of_a_body_was_ever_taken_for_a_request(server):
    for sent, _ in ANSWERED.values():
        for place in (len(sent) // 3, len(sent) - 7):
            statuses(server, sent[:place], sent[place:])
    assert labels(server) == 0
    assert httpx.post(f"{server.url}/predict", content=ROW).status_code == 200


def test_a_request_that_comes_byte_by_byte_is_the_same_request(server):
    sent = post(*H2C, LENGTH, body=ROW) + GOOD
    assert statuses(server, sent[:1], *(sent[place : place + 1] for place in range(1, len(sent)))) == [200, 200]


def test_a_caller_that_asks_before_it_sends_is_told_to_go_on(server):
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(post(b"Expect: 100-continue", LENGTH))
        assert line.recv(1 << 10).startswith(b"HTTP/1.1 100 ")
        line.sendall(ROW)
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


PAGES = ["/health", "/v2/health/live", "/v2/health/ready", f"/v2/models/{LOOP}/ready", "/metrics"]


@pytest.mark.parametrize("path", PAGES)
def test_a_head_of_what_can_be_had_is_answered_without_a_body(server, path):
    reply = httpx.head(f"{server.url}{path}")
    assert (reply.status_code, reply.content) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


def test_curl_that_would_like_http_2_is_answered(server):
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--http2", f"{server.url}/predict", "-d", ROW]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        pytest.skip("there is no curl")
    assert done.stdout == "200"
