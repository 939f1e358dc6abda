"""X6: versions are swapped under load: no request fails, each is answered by a version in effect, memory stays flat.

How much slower answers are while versions are swapped is a figure of `make bench-serve`, and no test.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from tests.cd.serving import LIVE_SERVER, LOOP, ServerProcess, bundle, flights, promote, raw, register

BODY = json.dumps(raw(flights(1, seed=9))[0])
CONNECTIONS = 8
MOST_GROWTH = 15.0
"""Megabytes; each version of these takes about 3."""


@pytest.fixture
def versions(store):
    return [register(store, bundle(model=HistGradientBoostingClassifier(random_state=seed))) for seed in range(4)]


class Swapping:
    """Callers that ask without a pause, and somebody who promotes one version after the other meanwhile."""

    def __init__(self, store, server, versions):
        self.store, self.server, self.versions = store, server, versions
        self.promoted = [versions[0]]
        self.in_effect = 0
        self.answers = []
        self.done = False

    async def run(self, swaps):
        async with httpx.AsyncClient(base_url=self.server.url) as client:
            callers = [asyncio.create_task(self.ask(client)) for _ in range(CONNECTIONS)]
            memory = []
            for swap in range(swaps):
                await self.swap(client, self.versions[(swap + 1) % len(self.versions)])
                memory.append(resident(self.server.process.pid))
            self.done = True
            await asyncio.gather(*callers)
            return memory

    async def swap(self, client, version):
        self.promoted.append(version)
        await asyncio.to_thread(promote, self.store, version)
        wanted, seen = self.store.ledger.arms(LOOP).seq, len(self.answers)
        while (routing := (await client.get("/routing")).json())["seq"] != wanted or len(self.answers) < seen + 20:
            assert routing["error"] is None
        self.in_effect = len(self.promoted) - 1

    async def ask(self, client):
        """Ask again and again; keeps the answer, and what may have been in effect while it was made."""
        headers = {"content-type": "application/json"}
        while not self.done:
            before = self.in_effect
            reply = await client.post("/predict", content=BODY, headers=headers)
            version = reply.json()["predictions"][0]["version"] if reply.status_code == 200 else None
            self.answers.append((reply.status_code, version, set(self.promoted[before:])))


def resident(pid):
    """Megabytes of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@pytest.mark.parametrize("swaps", [10, pytest.param(100, marks=pytest.mark.long)])
def test_versions_are_swapped_under_load_without_an_error_and_in_flat_memory(store, versions, swaps):
    promote(store, versions[0])
    with ServerProcess(store, program=LIVE_SERVER) as server:
        swapping = Swapping(store, server, versions)
        memory = asyncio.run(swapping.run(swaps))
    assert {status for status, _, _ in swapping.answers} == {200}
    assert all(version in possible for _, version, possible in swapping.answers)
    assert {version for _, version, _ in swapping.answers} == set(versions)
    assert max(memory[4:]) - memory[4] < MOST_GROWTH
