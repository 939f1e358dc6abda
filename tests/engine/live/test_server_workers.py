"""Several server processes at one port: all answer, a dead one is replaced, and any of them speaks for all."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from homeostat.cd.log.segments import is_sealed, segments
from homeostat.core.store import Store
from homeostat.engine.live.server import ServerChild
from homeostat.loop import load_loop
from tests.cd.serving import LOOP, bundle, divide, flights, log_of, promote, raw, register
from tests.engine.live.test_server_asked import DECLARED

pytestmark = pytest.mark.slow

ROW = raw(flights(1, seed=9))[0]
WORKERS = 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of all tests here."""
    return Store.open(tmp_path_factory.mktemp("workers") / "store")


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[ServerChild]:
    """Two processes that serve one loop; the tests below ask them one after the other."""
    promote(store, register(store, bundle()))
    file = store.path / "loop.py"
    file.write_text(DECLARED)
    server = ServerChild(store, load_loop(file), host="127.0.0.1", port=0, played=False, workers=WORKERS)
    server.keep()
    yield server
    server.stop()


def until(true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `true` gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def ask(server: ServerChild, path: str) -> httpx.Response:
    """A question on a connection of its own, for whichever worker gets it."""
    return httpx.get(f"{server.url}{path}", timeout=10)


def numbers(server: ServerChild) -> dict[str, float]:
    """Every sample of one scrape."""
    families = text_string_to_metric_families(ask(server, "/metrics").text)
    return {f"{one.name}{sorted(one.labels.items())}": one.value for family in families for one in family.samples}


def answered(server: ServerChild) -> float:
    """Rows that the metrics say were answered."""
    return numbers(server).get(f"homeostat_predictions_total[('model', '{LOOP}'), ('version', '1')]", 0.0)


def workers(server: ServerChild) -> set[int]:
    """The processes that listen at the port: the children of the one that the engine started."""
    found = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii")
    return set(map(int, found.split()))


def answering(server: ServerChild) -> set[int]:
    """Whose log segments were written to while many connections were made."""
    folder = server._store.log_folder(LOOP)
    before = {path: path.stat().st_mtime_ns for path in segments(folder)}
    for _ in range(40):
        assert httpx.post(f"{server.url}/predict", json=ROW).status_code == 200
    written = [path for path in segments(folder) if path.stat().st_mtime_ns != before.get(path)]
    return {int(path.stem.partition("-")[2]) for path in written}


def test_all_of_them_answer_and_each_one_counts_for_all(server: ServerChild) -> None:
    assert answering(server) == workers(server)
    assert len(workers(server)) == WORKERS
    assert until(lambda: answered(server) == len(log_of(server._store)) > 0)
    # Whoever is asked, nothing ever falls.
    seen = [numbers(server) for _ in range(10)]
    for before, after in itertools.pairwise(seen):
        for name in before:
            if "_total" in name or "_bucket" in name or "_count" in name:
                assert after[name] >= before[name], name
    assert seen[-1]["homeostat_workers[]"] == WORKERS


def test_a_worker_that_dies_is_replaced_and_what_it_counted_stays(server: ServerChild) -> None:
    rows = answered(server)
    answering(server)
    until(lambda: answered(server) == rows + 40)
    victim = min(workers(server))
    before = numbers(server)
    os.kill(victim, signal.SIGKILL)
    replies = [httpx.post(f"{server.url}/predict", json=ROW) for _ in range(20)]
    assert {reply.status_code for reply in replies} == {200}, "the others answer in the meantime"
    until(lambda: len(workers(server) - {victim}) == WORKERS)
    until(lambda: answered(server) == rows + 60)
    until(lambda: numbers(server)["homeostat_workers[]"] == WORKERS)
    after = numbers(server)
    assert all(after[name] >= value for name, value in before.items() if "_total" in name)


def test_a_worker_that_hangs_is_killed_and_the_server_stays_alive(server: ServerChild) -> None:
    victim = min(workers(server))
    os.kill(victim, signal.SIGSTOP)
    until(lambda: victim not in workers(server))
    until(lambda: len(workers(server)) == WORKERS)
    until(lambda: ask(server, "/v2/health/ready").status_code == 200)


def test_the_division_of_traffic_is_in_effect_when_it_is_in_all_of_them(server: ServerChild, store: Store) -> None:
    version = register(store, bundle(seed=1))
    wanted = store.ledger.newest() + 1
    divide(store, {1: ("champion", 0.5), version: ("canary", 0.5)})
    until(lambda: server.routing().seq == wanted)
    body = ask(server, "/health").json()
    assert body["live"] is True
    assert body["ready"] is True
    assert body["routing"]["seq"] == wanted


def test_they_end_together_and_seal_their_logs(server: ServerChild, store: Store) -> None:
    answering(server)
    ended = workers(server)
    server.stop()
    assert not [pid for pid in ended if Path(f"/proc/{pid}").exists()]
    # Those of workers that were killed before, and of what scores beside them, are sealed by whoever comes next.
    own = [path for path in segments(store.log_folder(LOOP)) if int(path.stem.split("-")[1]) in ended]
    assert own
    assert all(map(is_sealed, own))
    assert server.url is None
