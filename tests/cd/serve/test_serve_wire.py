"""The short way of predictions under uvicorn, byte by byte: it answers as the long way does, and keeps HTTP's rules."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import threading

import pytest
import uvicorn

from homeostat.cd.serve.fast_path import HEAD_BYTES, ShortWay
from tests.cd.serve.test_serve_openinference import tensors
from tests.cd.serving import LOOP, bundle, flights, log_of, promote, raw, register, serving

ROW = raw(flights(1, seed=9))[0]
MANY = raw(flights(200, seed=9))


@contextlib.contextmanager
def listening(app):
    """A real server in a thread of this process; gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app, http=ShortWay, ws="none", lifespan="off", log_config=None, date_header=False, server_header=False
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def port(store):
    promote(store, register(store, bundle()))
    with serving(store, most_seconds=0.3) as app, listening(app) as number:
        yield number


class Caller:
    """One connection, spoken to in bytes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        """Status, headers and body of the next answer."""
        status = self.file.readline().split(b" ", 2)
        headers = {}
        while (line := self.file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().strip().partition(": ")
            headers[name] = value
        return int(status[1]), headers, self.file.read(int(headers.get("content-length", 0)))

    def ended(self):
        """Whether the server hung up."""
        return self.file.read(1) == b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


def request(body, *, path="/predict", version="1.1", **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"host": "127.0.0.1", "content-length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
    return f"POST {path} HTTP/{version}\r\n{''.join(lines)}\r\n".encode() + body


def ask(port, data):
    with Caller(port) as caller:
        caller.send(data)
        return caller.reply()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", ROW),
        ("/predict", {"records": MANY, "id": "mine"}),
        ("/predict", {"records": [ROW | {"distance": "far"}]}),
        ("/predict", b"{"),
        (f"/v2/models/{LOOP}/infer", {"inputs": tensors([ROW]), "id": "mine"}),
        (f"/v2/models/{LOOP}/infer", {"inputs": tensors(MANY), "id": "mine"}),
        (f"/v2/models/{LOOP}/infer", {"inputs": []}),
    ],
    ids=["a row", "many rows", "a text for a number", "no JSON", "tensors", "long tensors", "no tensors"],
)
def test_both_ways_say_the_same(port, path, body):
    if isinstance(body, dict) and "records" not in body and "inputs" not in body:
        body = {"records": [body], "id": "mine"}
    short, long = (ask(port, request(body, path=path + query)) for query in ("", "?long"))
    assert short == long


def test_a_connection_answers_one_request_after_the_other(port):
    with Caller(port) as caller:
        for number in range(5):
            caller.send(request({"records": [ROW], "id": f"r{number}"}))
            status, _, body = caller.reply()
            assert (status, json.loads(body)["request"]) == (200, f"r{number}")


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"host": "evil.example"}, 403),
        ({"content_length": "9"}, 400),
        ({"path": "/invocations"}, 400),
    ],
    ids=["origin", "host", "length", "path"],
)
def test_a_head_is_checked_again_when_it_differs_from_the_last_one_in_anything(port, other, status):
    with Caller(port) as caller:
        for changes, wanted in ({}, 200), ({}, 200), (other, status), ({}, 200):
            body = b"[1, 2, 3]" if "content_length" in changes else ROW
            caller.send(request(body, **changes))
            assert caller.reply()[0] == wanted


def test_pipelined_requests_are_answered_in_order(port):
    asked = [("/predict", "a"), ("/predict?long", "b"), ("/predict", "c"), ("/predict", "d")]
    with Caller(port) as caller:
        caller.send(b"".join(request({"records": [ROW], "id": name}, path=path) for path, name in asked))
        answered = [json.loads(caller.reply()[2])["request"] for _ in asked]
    assert answered == [name for _, name in asked]


def test_a_request_may_come_byte_by_byte(port):
    with Caller(port) as caller:
        for byte in request({"records": [ROW], "id": "slow"}):
            caller.send(bytes([byte]))
        assert json.loads(caller.reply()[2])["request"] == "slow"


@pytest.mark.parametrize("headers", [{"connection": "close"}, {"version": "1.0"}], ids=["close", "HTTP/1.0"])
def test_the_connection_ends_when_the_caller_says_so(port, headers):
    with Caller(port) as caller:
        caller.send(request(ROW, **headers))
        assert caller.reply()[0] == 200
        assert caller.ended()


def test_chunked_compressed_and_expected_bodies_are_taken(port):
    body = json.dumps(ROW).encode()
    chunked = request(b"", content_length=None, transfer_encoding="chunked")
    chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    assert ask(port, chunked)[0] == 200
    assert ask(port, request(gzip.compress(body), content_encoding="gzip"))[0] == 200
    with Caller(port) as caller:
        whole = request(body, expect="100-continue")
        caller.send(whole[: -len(body)])
        assert caller.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        caller.file.readline()
        caller.send(body)
        assert caller.reply()[0] == 200


def test_a_long_answer_is_compressed_for_who_asks(port):
    status, headers, body = ask(port, request({"records": MANY}, accept_encoding="gzip"))
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert len(json.loads(gzip.decompress(body))["predictions"]) == len(MANY)


def test_a_body_that_does_not_come_is_not_waited_for(port):
    with Caller(port) as caller:
        caller.send(request(ROW)[:-10])
        status, _, body = caller.reply()
        assert status == 408
        assert b"0.3 seconds" in body
        assert caller.ended()


def test_a_head_that_does_not_come_is_not_waited_for(port):
    with Caller(port) as caller:
        caller.send(b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\nx-sl")
        assert caller.reply()[0] == 408
        assert caller.ended()


def test_a_head_without_end_is_refused(port):
    with Caller(port) as caller:
        caller.send(b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\nx-long: " + b"x" * (HEAD_BYTES + 1_000))
        assert caller.reply()[0] == 431


def test_what_is_not_http_is_refused(port):
    with Caller(port) as caller:
        caller.send(b"\x16\x03\x01 hello\r\n\r\n")
        status, headers, body = caller.reply()
        assert (status, headers["content-type"]) == (400, "application/json")
        assert "no HTTP" in json.loads(body)["error"]
    assert ask(port, request(ROW))[0] == 200


@pytest.mark.parametrize("length", [str(10**9), "9" * 30], ids=["a gigabyte", "beyond counting"])
def test_a_body_beyond_the_limit_is_refused_unread(port, length):
    with Caller(port) as caller:
        caller.send(request(b"", content_length=length))
        assert caller.reply()[0] in {400, 413}


def test_a_web_page_is_not_let_in_by_the_short_way(port):
    assert ask(port, request(ROW, origin="https://example.com"))[0] == 403


def test_a_caller_who_hangs_up_harms_nobody(store):
    promote(store, register(store, bundle()))
    with serving(store) as app, listening(app) as port:
        for _ in range(20):
            with Caller(port) as caller:
                caller.send(request(ROW))
        assert ask(port, request({"records": [ROW], "id": "last"}))[0] == 200
    assert log_of(store)[-1].request == "last"
