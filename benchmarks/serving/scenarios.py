"""Requests of one row and of 64, and a model that scikit-learn itself answers: requests a second beside the peers."""

from __future__ import annotations

from typing import Any

from benchmarks.serving import calls, peers
from benchmarks.serving.model import Questions, centroids, linear, trained
from benchmarks.serving.ours import ours, store_of
from benchmarks.serving.rounds import Bench, Rounds, contestants, middle, ratio
from benchmarks.serving.verdicts import Verdict, at_least, at_most

PREDICT, TENSORS, BINARY = "Homeostat /predict", "Homeostat v2 JSON", "Homeostat v2 binary"
_MANY = 64

Result = tuple[dict[str, Any], list[Verdict]]
"""What was measured, and the verdicts on it."""


def one(bench: Bench) -> Result:
    """One row a request."""
    bundle = trained(linear())
    questions = Questions(bundle)
    model = bench.file("model.onnx", bundle.data)
    store = store_of(bench.folder / "one", [bundle])
    with ours(store, bench.folder / "ours-one") as server:
        server.sleep()
        field = [
            *contestants(bench, (peers.FLOOR,), model, questions, 1),
            (PREDICT, server, calls.predict(questions, 1)),
            (TENSORS, server, calls.tensors(questions, 1)),
            *contestants(bench, (peers.ONNX, peers.CODED, *peers.SERVERS), model, questions, 1),
        ]
        found = bench.compare(field)
    figures = middle(found)
    verdicts = [
        at_least(f"1 row: {name}, of uvicorn's fixed answer", ratio(found, name, peers.FLOOR.name), 0.5, "%")
        for name in (PREDICT, TENSORS)
    ]
    verdicts += [
        at_most(f"1 row: {name}, p99 of 32 connections", figures[name]["p99_ms"], 4, "ms")
        for name in (PREDICT, TENSORS)
    ]
    verdicts += _beside(found, "1 row", 12, 2.5)
    return figures, verdicts


def many(bench: Bench) -> Result:
    """64 rows a request."""
    bundle = trained(linear())
    questions = Questions(bundle)
    model = bench.file("model.onnx", bundle.data)
    store = store_of(bench.folder / "many", [bundle])
    with ours(store, bench.folder / "ours-many") as server:
        server.sleep()
        field = [
            (PREDICT, server, calls.predict(questions, _MANY)),
            (TENSORS, server, calls.tensors(questions, _MANY)),
            (BINARY, server, calls.binary(questions, _MANY)),
            *contestants(bench, (peers.ONNX, peers.CODED, *peers.SERVERS), model, questions, _MANY),
        ]
        found = bench.compare(field)
    verdicts = _beside(found, "64 rows", 5, 3)
    verdicts += [at_least("64 rows: binary tensors, of our v2 JSON", ratio(found, BINARY, TENSORS), 2)]
    return middle(found), verdicts


def native(bench: Bench) -> Result:
    """One row a request, answered by scikit-learn."""
    bundle = trained(centroids())
    questions = Questions(bundle)
    model = bench.file("model.skops", bundle.data)
    store = store_of(bench.folder / "native", [bundle])
    with ours(store, bench.folder / "ours-native") as server:
        server.sleep()
        field = [
            (PREDICT, server, calls.predict(questions, 1)),
            *contestants(bench, (peers.SKLEARN,), model, questions, 1),
        ]
        found = bench.compare(field)
    what = f"scikit-learn native, 1 row: /predict beside {peers.SKLEARN.name}"
    return middle(found), [at_least(what, ratio(found, PREDICT, peers.SKLEARN.name), 3)]


def _beside(found: Rounds, rows: str, servers: float, by_hand: float) -> list[Verdict]:
    """The slower of our two ways beside each peer."""
    verdicts = []
    for peer in (*peers.SERVERS, peers.ONNX):
        both = [ratio(found, name, peer.name) for name in (PREDICT, TENSORS)]
        figure = min((one for one in both if one is not None), default=None)
        must = by_hand if peer is peers.ONNX else servers
        verdicts.append(at_least(f"{rows}: /predict and v2 JSON (the slower) beside {peer.name}", figure, must))
    return verdicts
