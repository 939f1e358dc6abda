"""M3: a run points at all that it made, anomalies, statistics and vocabulary included, and every pointer holds."""

from __future__ import annotations

import hashlib

import polars as pl
import pytest

from homeostat.connect import FrameSource
from homeostat.core import events as ev
from homeostat.core.codecs import decode
from tests.ci import small_loop


@pytest.fixture
def pointers(store):
    run = small_loop.run(store)
    ended = next(store.ledger.events(loop="flights", kinds=(ev.RunFinished,))).event
    assert ended.outputs == run.outputs
    begun = next(store.ledger.events(loop="flights", kinds=(ev.RunStarted,))).event
    inputs = {name: given["artifact"] for name, given in begun.inputs.items()}
    return {**inputs, **ended.outputs}


def resolved(store, name):
    return decode(store.artifacts.get(name), store.artifacts)


def test_every_pointer_resolves_and_its_hash_matches(store, pointers):
    assert {"snapshot", "rows", "validation", "report", "split", "model", "evaluation", "verdicts"} <= set(pointers)
    for name in pointers.values():
        data = (store.artifacts.blobs.folder / name[:2] / name[2:]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == name
        resolved(store, name)


def test_the_snapshot_that_was_trained_on_is_pointed_at(store, pointers):
    snapshot = resolved(store, pointers["snapshot"])
    table = store.table("flights", "rows", small_loop.small_loop().source.spec)
    assert snapshot.digest == table.snapshot().digest


def test_the_anomalies_are_pointed_at(store):
    leak = small_loop.table().with_columns(told=pl.col("late").cast(pl.Float64))
    source = FrameSource(leak, time="at", key="id", target="late", label_time="landed")
    run = small_loop.run(store, small_loop.small_loop(source=source))
    validation = resolved(store, run.outputs["validation"])
    assert [suspect.column for suspect in validation.suspects] == ["told"]


def test_the_statistics_are_pointed_at(store, pointers):
    report = resolved(store, pointers["report"])
    assert report.statistics
    assert "<html" in report.html.lower()


def test_the_vocabulary_is_pointed_at(store, pointers):
    encoder = resolved(store, pointers["model"]).manifest.encoder
    vocabulary = {code.name: code.vocabulary for code in encoder.codes if code.kind == "category"}
    assert vocabulary == {"carrier": ("AA", "B6", "UA")}
