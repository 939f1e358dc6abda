"""The engine asks its own server: with the token, past any proxy, and at loopback when it listens everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeostat.cd.serve import Endpoint
from homeostat.core.store import Store
from homeostat.engine.live.server import ServerChild, _near
from homeostat.loop import load_loop
from tests.cd.serving import LOOP, bundle, promote, register

DECLARED = """
from homeostat import FileSource, Loop

loop = Loop(name="flights", source=FileSource("none.csv", time="scheduled", key="flight_id", target="late"))
"""


@pytest.fixture
def server(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerChild]:
    """A server that listens at every address, for whoever has the token."""
    monkeypatch.setenv("HOMEOSTAT_TOKEN", "secret")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    promote(store, register(store, bundle()))
    file = tmp_path / "loop.py"
    file.write_text(DECLARED)
    server = ServerChild(store, load_loop(file), host="0.0.0.0", port=0, played=False)
    server.keep()
    yield server
    server.stop()


def test_a_server_with_a_token_says_what_it_routes_and_counts(
    server: ServerChild, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.routing().seq == store.ledger.arms(LOOP).seq
    assert server.counts().requests == 0
    monkeypatch.setenv("HOMEOSTAT_TOKEN", "guessed")
    assert server.routing() is None
    monkeypatch.delenv("HOMEOSTAT_TOKEN")
    assert server.counts() is None


@pytest.mark.parametrize(
    ("host", "url", "asked"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("localhost", "http://localhost:80", "http://localhost:80"),
        ("10.1.2.3", "http://10.1.2.3:80", "http://10.1.2.3:80"),
        ("0.0.0.0", "http://0.0.0.0:80", "http://127.0.0.1:80"),
        ("::", "http://[::]:80", "http://[::1]:80"),
        ("::1", "http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_server_that_listens_everywhere_is_asked_at_loopback(host: str, url: str, asked: str) -> None:
    assert _near(Endpoint(pid=1, host=host, port=80, url=url)) == asked
