"""Our server: stores with versions in them, the process that `homeostat up` starts, and promotions while it runs."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.serving.model import LOOP, NOON
from benchmarks.serving.processes import START_SECONDS, Server, running
from homeostat.cd.serve import read_endpoint
from homeostat.core.events import Arm, ArmsSet, Trigger, VersionRegistered
from homeostat.core.store import Store

ROOT = Path(__file__).resolve().parents[2]
_SWAP_SECONDS = 30.0
_LOOP_FILE = f"""
from homeostat import FileSource, Loop

loop = Loop(name="{LOOP}", source=FileSource("bench.csv", time="at", key="id", target="late"))
"""


def store_of(folder: Path, bundles: Sequence[Any]) -> Store:
    """A store with these versions, the first of them its champion."""
    store = Store.open(folder)
    for bundle in bundles:
        add(store, bundle)
    promote(store, 1)
    return store


def add(store: Store, bundle: Any) -> None:
    """One more version."""
    name = f"bench{len(store.ledger.versions(LOOP)) + 1}"
    trigger = Trigger(key=name, kind="manual", reason="benchmark")
    facts: dict[str, Any] = {"parent": None, "train_metrics": {}, "test_metrics": {}, "gates": (), "how": "refit"}
    facts |= {"trained_rows": 0, "trainable": 0, "window_start": None, "window_end": None}
    manifest = bundle.save(store.artifacts)
    event = VersionRegistered(loop=LOOP, version=0, run=name, trigger=trigger, manifest=manifest, **facts)
    store.ledger.register(event, time=NOON)


def promote(store: Store, version: int) -> None:
    """Make a version the champion, alone."""
    present = store.ledger.champion(LOOP)
    epoch = present.epoch if present is not None else 0
    store.ledger.promote(LOOP, version, expected_epoch=epoch, who="bench", reason="benchmark", time=NOON)
    divide(store, Arm(version=version, role="champion", share=1.0))


def divide(store: Store, *arms: Arm) -> None:
    """Divide the traffic."""
    store.ledger.append(ArmsSet(loop=LOOP, arms=arms, salt="s", reason="benchmark"), time=NOON)


def shadowed(store: Store, version: int) -> None:
    """Let a version score everything beside the champion."""
    divide(store, Arm(version=1, role="champion", share=1.0), Arm(version=version, role="shadow", share=0.0))


def ours(
    store: Store, folder: Path, name: str = "Homeostat", *, special: str | None = None
) -> AbstractContextManager[Server]:
    """The server's process.

    Args:
        store: What it serves.
        folder: Where it keeps what it prints.
        name: As in the table.
        special: A mode of `ours_server.py`; by default it is the process that `homeostat up` starts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "bench_loop.py"
    file.write_text(_LOOP_FILE)
    arguments = ["-m", "homeostat.engine.live.server_process", "--store", str(store.path), "--loop-file", str(file)]
    if special is not None:
        arguments = ["-m", "benchmarks.serving.ours_server", str(store.path), special]

    def where() -> int | None:
        endpoint = read_endpoint(store.path, LOOP)
        return None if endpoint is None else endpoint.port

    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, *arguments]
    environment = {"PYTHONPATH": path}
    return running(name, command, "/v2/health/ready", folder, port=0, environment=environment, where=where)


def in_effect(server: Server, store: Store) -> None:
    """Wait until the server answers as the ledger's newest division of traffic says."""
    recorded = store.ledger.arms(LOOP)
    assert recorded is not None
    deadline = time.perf_counter() + _SWAP_SECONDS
    while (routing := _routing(server))["seq"] != recorded.seq:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"the server did not follow the ledger: {routing}")
        time.sleep(0.02)


def until_felt(server: Server, version: int) -> None:
    """Wait until a shadow has done something to the rows that it was given, or lost its process over them."""
    felt = [f"homeostat_shadow_{what}_total" for what in ("scored", "failed", "dropped", "restarts")]
    deadline = time.perf_counter() + START_SECONDS
    while not any(_counter(server, name, version) for name in felt):
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{server.name}: version {version} did nothing")
        time.sleep(0.1)


def _counter(server: Server, name: str, version: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as reply:
        lines: list[str] = reply.read().decode().splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{") and f'version="{version}"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def _routing(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/routing", timeout=30) as reply:
        found: dict[str, Any] = json.load(reply)
    return found
