"""A closed-loop HTTP load generator: keep-alive connections that send their next request on the answer.

A program of its own, of nothing but the standard library and without an event loop's machinery: it must be faster than
whatever it measures. Reads a JSON object from standard input and prints one. SIGTERM ends a run early, and well.
"""

from __future__ import annotations

import base64
import gc
import json
import select
import signal
import socket
import sys
import time
from array import array
from typing import Any

WARM_SECONDS = 0.3
"""Answers of this time are not counted."""

LATEST_SECONDS = 30.0
"""So much longer is waited for a first answer."""

_SAMPLES, _SAMPLE_EVERY = 400, 997
_CHUNK = 1 << 16
_END = b"\r\n\r\n"


class Load:
    """One run.

    Args:
        host, port: Where the server is.
        requests: Whole requests, head and body; sent one after another, again and again.
        connections: How many are open at a time.
    """

    def __init__(self, host: str, port: int, requests: list[bytes], connections: int) -> None:
        self.requests = requests
        self.times = array("d")
        self.samples: list[tuple[int, bytes]] = []
        self.errors: list[bytes] = []
        self.failed = 0
        self.stopped = False
        self._sampled = [False] * len(requests)
        self._sockets: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        for _ in range(connections):
            made = socket.create_connection((host, port))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[made.fileno()] = made
            self._poll.register(made.fileno(), select.EPOLLIN)

    def run(self, seconds: float) -> dict[str, Any]:
        """Ask for so many seconds, after a warm-up."""
        clock, requests, times, poll = time.perf_counter, self.requests, self.times, self._poll
        many, turn, answered = len(requests), 0, 0
        sent: dict[int, float] = {}
        asked: dict[int, int] = {}
        parts: dict[int, bytes] = {}
        receive = {number: one.recv for number, one in self._sockets.items()}
        send = {number: one.sendall for number, one in self._sockets.items()}
        for number in self._sockets:
            sent[number], asked[number], turn = clock(), turn, (turn + 1) % many
            send[number](requests[asked[number]])
        begin = clock() + WARM_SECONDS
        until, now, busy = begin + seconds, begin, time.process_time()
        latest = until + LATEST_SECONDS
        while (now < until or not (times or now > latest)) and not self.stopped:
            for number, _ in poll.poll(1.0):
                data = receive[number](_CHUNK)
                if not data:
                    raise ConnectionError("the server closed a connection")
                if number in parts:
                    data = parts.pop(number) + data
                if not complete(data):
                    parts[number] = data
                    continue
                now = clock()
                answered += 1
                if now >= begin:
                    times.append(now - sent[number])
                    if data[9:12] != b"200":
                        self._fail(data)
                    elif not self._sampled[asked[number]] or len(times) % _SAMPLE_EVERY == 0:
                        self._sample(asked[number], data)
                asked[number], turn = turn, (turn + 1) % many
                sent[number] = clock()
                send[number](requests[asked[number]])
            now = clock()
        took, busy = now - begin, time.process_time() - busy
        return self._found(took) | {"busy": busy / (took + WARM_SECONDS), "answered": answered}

    def _fail(self, data: bytes) -> None:
        self.failed += 1
        if len(self.errors) < 3:
            self.errors.append(data[:500])

    def _sample(self, asked: int, data: bytes) -> None:
        if len(self.samples) < _SAMPLES:
            self._sampled[asked] = True
            self.samples.append((asked, data))

    def _found(self, took: float) -> dict[str, Any]:
        ordered = sorted(self.times)
        if not ordered:
            raise TimeoutError("the server answered nothing")
        return {
            "rate": len(ordered) / took,
            "seconds": took,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
            "worst_ms": ordered[-1] * 1e3,
            "errors": self.failed,
            "examples": [error.decode("utf-8", "replace") for error in self.errors],
            "samples": [(asked, base64.b64encode(data).decode()) for asked, data in self.samples],
        }


def complete(data: bytes) -> bool:
    """Whether an answer is all there."""
    end = data.find(_END)
    if end < 0:
        return False
    mark = data.find(b"content-length:", 0, end)
    if mark < 0:
        head = data[:end].lower()
        mark = head.find(b"content-length:")
        if mark < 0:
            return b"transfer-encoding: chunked" in head and data.endswith(b"0\r\n\r\n")
    stop = data.find(b"\r\n", mark)
    return len(data) >= end + 4 + int(data[mark + 15 : stop])


def main() -> None:
    """Run what standard input says."""
    told = json.load(sys.stdin)
    requests = [base64.b64decode(request) for request in told["requests"]]
    load = Load(told["host"], told["port"], requests, told["connections"])

    def stop(*_: object) -> None:
        load.stopped = True

    signal.signal(signal.SIGTERM, stop)
    gc.disable()
    print(json.dumps(load.run(told["seconds"])))


if __name__ == "__main__":
    main()
