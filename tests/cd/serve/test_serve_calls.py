"""What one row costs in Python calls, from the bytes that came in to the bytes that go out: counted, not timed."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from uvicorn.server import ServerState

import homeostat
from homeostat.cd.serve.fast_path import ShortWay
from tests.cd.serving import bundle, flights, promote, raw, register, serving

ROW = json.dumps(raw(flights(1, seed=9))[0]).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
REQUEST = HEAD % len(ROW) + ROW
ASKED = 50
OURS = tuple(str(Path(package.__file__).parent) for package in (homeostat, uvicorn))

MOST = 69
"""Functions of Homeostat and of uvicorn; what is added to the way of a prediction has to be taken from it elsewhere."""


@asynccontextmanager
async def connected(app):
    """A caller's socket, and the server's side of it under the short way."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, http=ShortWay, ws="none", lifespan="off", log_config=None)
    config.load()
    server = await loop.create_server(lambda: ShortWay(config, ServerState(), {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def answer(reader, writer):
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))


async def calls_of(app):
    """How often each Python function was called for `ASKED` requests."""
    calls = Counter()

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(OURS):
            calls[f"{code.co_filename}:{code.co_qualname}"] += 1

    async with connected(app) as (reader, writer):
        await answer(reader, writer)
        sys.setprofile(note)
        try:
            for _ in range(ASKED):
                await answer(reader, writer)
        finally:
            sys.setprofile(None)
    return calls


def test_a_row_costs_no_more_python_calls_than_it_did(store):
    promote(store, register(store, bundle()))
    with serving(store) as app:
        calls = asyncio.run(calls_of(app))
    each = {name.rpartition("/")[2]: count / ASKED for name, count in calls.most_common()}
    assert sum(each.values()) <= 1.05 * MOST, each
    assert {"writer.py:LogWriter.append", "fast_path.py:ShortWay.send"} <= each.keys()
