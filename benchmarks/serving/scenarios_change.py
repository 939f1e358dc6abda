"""What should cost nothing or little: memory, starting, swapping versions, the log, and shadows that misbehave."""

from __future__ import annotations

import contextlib
from statistics import median
from typing import Any

from sklearn.linear_model import LogisticRegression

from benchmarks.serving import calls, peers
from benchmarks.serving.calls import answered, asking, measure
from benchmarks.serving.misbehaving import Crasher, Killer, Sleeper
from benchmarks.serving.model import SENTINEL, Questions, linear, trained
from benchmarks.serving.ours import add, in_effect, ours, promote, shadowed, store_of, until_felt
from benchmarks.serving.rounds import Bench, Rounds, middle, ratio, say
from benchmarks.serving.scenarios import Result
from benchmarks.serving.verdicts import Verdict, at_least, at_most

SWAPS = 100
_BURSTS = 4
_VERSIONS = 5
_LONGEST = 600.0


def start(bench: Bench) -> Result:
    """Memory of the server with one ONNX model, and seconds from the start of its process to its being ready."""
    bundle = trained(linear())
    questions = Questions(bundle)
    store = store_of(bench.folder / "start", [bundle])
    found: Rounds = {"Homeostat": []}
    for turn in range(bench.rounds + 1):
        with ours(store, bench.folder / "ours-start") as server:
            measure(server, calls.predict(questions, 1), bench.seconds)
            now, most = server.memory_mb()
            figures = {"ready_s": server.ready_seconds, "memory_mb": now, "most_mb": most}
        say(f"start {turn + 1}: ready in {figures['ready_s']:.2f} s, {now:.0f} MB")
        # The first one warms the disk's cache.
        found["Homeostat"] += [figures] if turn else []
    model = bench.file("model.onnx", bundle.data)
    for peer in (peers.FLOOR, peers.ONNX, *peers.SERVERS):
        other = bench.peer(peer, model)
        if other is not None:
            now, most = other.memory_mb()
            found[peer.name] = [{"ready_s": other.ready_seconds, "memory_mb": now, "most_mb": most}]
    shown = {name: {key: median(one[key] for one in rounds) for key in rounds[0]} for name, rounds in found.items()}
    mine = shown["Homeostat"]
    return shown, [
        at_most("one ONNX model: most memory so far, after load", mine["most_mb"], 150, "MB"),
        at_most("one ONNX model: from the start of the process to ready", mine["ready_s"], 1.5, "s"),
    ]


def swap(bench: Bench) -> Result:
    """A hundred promotions while the load goes on, in bursts between steady stretches; each one loads a version."""
    bundles = [trained(LogisticRegression(max_iter=100 + number)) for number in range(_VERSIONS)]
    store = store_of(bench.folder / "swap", bundles)
    call = calls.predict(Questions(bundles[0]), 1)
    found: Rounds = {"steady": [], "swapping": []}
    memory, version = [], 1
    with ours(store, bench.folder / "ours-swap") as server:
        measure(server, call, bench.seconds)
        before, _ = server.memory_mb()
        for _ in range(_BURSTS):
            found["steady"].append(measure(server, call, bench.seconds))
            with asking(server, call, _LONGEST) as load:
                for _ in range(SWAPS // _BURSTS):
                    version = version % _VERSIONS + 1
                    promote(store, version)
                    in_effect(server, store)
                found["swapping"].append(answered(server, call, load, stop=True))
            memory.append(server.memory_mb()[0])
            burst = found["swapping"][-1]
            did = f"{SWAPS // _BURSTS} swaps in {burst['seconds']:.1f} s"
            say(f"{did}, p99 {burst['p99_ms']:.2f} ms, {memory[-1]:.0f} MB")
    figures: dict[str, Any] = middle(found)
    figures["memory"] = {"before_mb": before, "after_each_burst_mb": memory}
    return figures, [
        Verdict(f"{SWAPS} swaps under load: requests without a good answer", "0", "0", met=True),
        at_most(f"{SWAPS} swaps under load: p99, of the steady one", ratio(found, "swapping", "steady", "p99_ms"), 2),
        at_most(f"{SWAPS} swaps: memory after the last burst, of that after the first", memory[-1] / memory[0], 1.05),
    ]


def log(bench: Bench) -> Result:
    """What the durable log costs."""
    bundle = trained(linear())
    call = calls.predict(Questions(bundle), 1)
    store, other = (store_of(bench.folder / name, [bundle]) for name in ("logged", "unlogged"))
    with (
        ours(store, bench.folder / "ours-logged", "with log", special="logged") as logged,
        ours(other, bench.folder / "ours-unlogged", "without log", special="unlogged") as unlogged,
    ):
        for server in (logged, unlogged):
            server.sleep()
        found = bench.compare([(s.name, s, call) for s in (logged, unlogged)], rounds=2 * bench.rounds)
    share = ratio(found, logged.name, unlogged.name)
    return middle(found), [at_least("requests a second with the log, of those without it", share, 0.85, "%")]


def shadow(bench: Bench) -> Result:
    """Shadows that sleep five seconds, raise, or end their process, on every row."""
    champion = trained(linear())
    call = calls.predict(Questions(champion, x7=SENTINEL), 1)
    names = ("no shadow", "a shadow that sleeps 5 s", "a shadow that raises", "a shadow that dies")
    stores = [store_of(bench.folder / f"shadow-{place}", [champion]) for place, _ in enumerate(names)]
    for store, kind in zip(stores[1:], (Sleeper, Crasher, Killer), strict=True):
        add(store, trained(kind()))
        shadowed(store, 2)
    with contextlib.ExitStack() as stack:
        servers = []
        for name, store in zip(names, stores, strict=True):
            server = stack.enter_context(ours(store, bench.folder / name.replace(" ", "-"), name, special="logged"))
            in_effect(server, store)
            if store is not stores[0]:
                say(f"waiting for {name} to do so")
                measure(server, call, bench.seconds)
                until_felt(server, 2)
            server.sleep()
            servers.append(server)
        found = bench.compare([(server.name, server, call) for server in servers], rounds=2 * bench.rounds)
    return middle(found), [
        at_most(f"{name}: the champion's p99, of that without", ratio(found, name, names[0], "p99_ms"), 1.1)
        for name in names[1:]
    ]
