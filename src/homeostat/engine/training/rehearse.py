"""The rehearsal of a candidate: served by the real server, in a store of its own, before a real request reaches it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.rehearse.golden import ask_golden, expected
from homeostat.cd.rehearse.load import load
from homeostat.cd.serve import Settings, application, contract_problems
from homeostat.cd.serve.listen import TOKEN_VARIABLE
from homeostat.ci.gates.rehearsed import Load, compatible, contract
from homeostat.core import events as ev
from homeostat.core.clock import SystemClock
from homeostat.core.errors import HomeostatError
from homeostat.core.model.needs import Needs, Target, memory_of, needs_of
from homeostat.core.stats.latency import Latency
from homeostat.core.store import Store
from homeostat.engine.live.server import ServerChild

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from homeostat.core.events import GateResult
    from homeostat.core.model import Bundle, Features
    from homeostat.core.schema import Schema
    from homeostat.loop import Loop

ROUNDS = 3
"""Candidate and champion are loaded in turns so often, and the best round of each counts."""


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal found.

    Attributes:
        gates: The verdicts: `contract`, `load` where the Loop asks for it, and `compatible`.
        needs: What the candidate needs, its memory measured where it was loaded.
    """

    gates: tuple[GateResult, ...]
    needs: Needs


def rehearse(
    loop: Loop,
    candidate: Bundle,
    champion: Bundle | None,
    *,
    earlier: Latency | None = None,
    barred: bool = False,
    accepted: Schema | None = None,
) -> Rehearsal:
    """Serve a candidate as it would be served, and judge what it does.

    Args:
        loop: The declaration, with its gates and its target.
        candidate: The model.
        champion: What it would replace.
        earlier: How the champion answered when it was a candidate, for the case that it cannot be served by this code.
        barred: A gate that nobody can overrule refused it already, so that a load would be in vain.
        accepted: What people accepted of changes of the champion's schema; those are no surprise to callers.
    """
    trusted = loop.trusted_types
    gates = [check_contract(loop.name, candidate, champion, loop.features, trusted=trusted, accepted=accepted)]
    wanted = next((gate for gate in loop.gates if isinstance(gate, Load)), None)
    memory = None
    # A loop that no file declares has no process of its own: only a limit that it states is worth a refusal for that.
    able = loop.file is not None or (wanted is not None and wanted.p99 is not None)
    if wanted is not None and able and gates[0].passed and not barred:
        verdict, memory = check_load(loop, wanted, candidate, champion, earlier)
        gates.append(verdict)
    needs = needs_of(candidate.manifest, loop.features, memory=memory)
    gates.append(compatible(needs, loop.target or Target()))
    return Rehearsal(gates=tuple(gates), needs=needs)


def check_contract(
    name: str,
    candidate: Bundle,
    champion: Bundle | None,
    features: Features | None,
    *,
    trusted: Collection[str] = (),
    accepted: Schema | None = None,
) -> GateResult:
    """The gate `contract`: golden requests through the server's own application, in this process."""
    manifest = candidate.manifest
    golden = manifest.golden
    changes = []
    if champion is not None:
        before = champion.manifest.signature
        if accepted is not None:
            before = msgspec.structs.replace(before, inputs=accepted.inputs)
        changes = contract_problems(before, manifest.signature)
    with (
        staged(name, candidate) as store,
        application(store, Settings(name=name), features, SystemClock(), trusted=tuple(trusted)) as app,
    ):
        refused = app.model.router.status().error
        if refused is not None:
            return contract(golden.scores if golden else (), {"server": refused}, changes)
        if golden is None or not golden.rows:
            return contract((), {}, changes)
        signature = manifest.signature
        return contract(expected(golden, signature), ask_golden(app, name, golden, signature), changes)


def check_load(
    loop: Loop, gate: Load, candidate: Bundle, champion: Bundle | None, earlier: Latency | None = None
) -> tuple[GateResult, int | None]:
    """The gate `load`: candidate and champion, each in a server process of its own, loaded in turns.

    Args:
        loop: The declaration; it must come from a file, which the servers read `features()` from.
        gate: What is asked for.
        candidate: The model.
        champion: What its times are compared with.
        earlier: Its times from when it was a candidate: they are taken when it cannot be served by this code.

    Returns:
        The verdict, and the bytes of memory that the candidate's server held at most.
    """
    models = [candidate] if champion is None else [candidate, champion]
    with ExitStack() as stack:
        servers = [_Rehearsed(loop, bundle, gate, stack.enter_context(staged(loop.name, bundle))) for bundle in models]
        for server in servers:
            stack.callback(server.end)
        with ThreadPoolExecutor(len(servers)) as pool:
            problems = list(pool.map(_Rehearsed.start, servers))
        if problems[0] is not None:
            return gate.verdict(Latency.best([]), None, problem=problems[0]), None
        able = [server for server, problem in zip(servers, problems, strict=True) if problem is None]
        rounds = [[server.ask() for server in able] for _ in range(ROUNDS)]
        tried, *others = (Latency.best(found) for found in zip(*rounds, strict=True))
        return gate.verdict(tried, others[0] if others else earlier, earlier=not others), servers[0].memory()


def recorded_load(gates: Iterable[GateResult]) -> Latency | None:
    """How a version answered when it was rehearsed, from the gates in its registration."""
    return next((Latency.recorded(gate.numbers) for gate in gates if gate.gate == "load"), None)


@contextmanager
def staged(name: str, bundle: Bundle) -> Iterator[Store]:
    """A store that holds nothing but one version, which is its champion; gone afterwards."""
    with TemporaryDirectory(prefix="homeostat-") as folder:
        store = Store.open(Path(folder) / "store")
        try:
            now = SystemClock().now()
            trigger = ev.Trigger(key="rehearsal", kind="rehearsal", reason="rehearsal")
            event = ev.VersionRegistered(
                loop=name,
                version=0,
                run="rehearsal",
                trigger=trigger,
                manifest=bundle.save(store.artifacts),
                parent=None,
                train_metrics={},
                test_metrics={},
                gates=(),
                how="rehearsal",
                trained_rows=bundle.manifest.lineage.rows,
                trainable=0,
                window_start=None,
                window_end=None,
            )
            store.ledger.register(event, time=now)
            store.ledger.promote(name, 1, expected_epoch=0, who="rehearsal", reason="rehearsal", time=now)
            yield store
        finally:
            store.close()


class _Rehearsed:
    """One model in a server process of its own, behind a socket of this machine."""

    def __init__(self, loop: Loop, bundle: Bundle, gate: Load, store: Store) -> None:
        golden = bundle.manifest.golden
        self._bodies = [msgspec.json.encode(row) for row in golden.rows] if golden is not None else []
        self._gate = gate
        self._server = (
            ServerChild(store, loop, host="127.0.0.1", port=0, played=False) if loop.file is not None else None
        )

    def start(self) -> str | None:
        """Start it; gives the reason when it cannot be served."""
        if self._server is None:
            return "a loop that is not declared in a file has no process of its own; declare it in a loop.py"
        if not self._bodies:
            return "it has no golden rows to ask"
        try:
            self._server.keep()
        except HomeostatError as error:
            return error.what
        status = self._server.routing()
        if status is None or status.seq is None:
            return (status and status.error) or "it never answered"
        return None

    def ask(self) -> Latency:
        """One round."""
        assert self._server is not None
        url, seconds, token = str(self._server.url), self._gate.seconds / ROUNDS, os.environ.get(TOKEN_VARIABLE) or None
        return load(url, "/predict", self._bodies, seconds=seconds, connections=self._gate.connections, token=token)

    def memory(self) -> int | None:
        """Bytes that its process held at most."""
        pid = self._server.pid if self._server is not None else None
        return None if pid is None else memory_of(pid)

    def end(self) -> None:
        """End it at once: nothing of what it holds is needed."""
        if self._server is not None:
            self._server.kill()
