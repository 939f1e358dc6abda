"""D4: corrupt rows are stopped before retraining and before batch prediction, with an anomaly record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat import FrameSource, Loop, deploy, gates, when, where
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import SchemaError
from homeostat.core.events import Decided
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.batch import infer_recorded
from homeostat.engine.training.training import carry_out
from tests.cd.serving import LOOP, NOON, bundle, flights, promote, register


@pytest.mark.parametrize(
    ("corrupt", "named"),
    [
        (lambda rows: rows.drop("wind"), "'wind' is missing"),
        (lambda rows: rows.with_columns(wind=pl.lit("strong")), "'wind'"),
        (lambda rows: rows.with_columns(distance=pl.lit(float("nan"))), "'distance'"),
    ],
)
def test_a_corrupt_batch_gets_no_predictions_and_leaves_a_record(store, tmp_path, corrupt, named):
    made = bundle()
    promote(store, register(store, made))
    flights(200, seed=3).pipe(corrupt).write_parquet(tmp_path / "batch.parquet")
    feed = Feed(store.ledger, Rules(loop=LOOP, when=when.never(), deploy=deploy.Immediately()))
    with pytest.raises(SchemaError, match="nothing was predicted"):
        infer_recorded(feed, made.model(), tmp_path / "batch.parquet", tmp_path / "out.parquet", version=1, now=NOON)
    (recorded,) = store.ledger.events(loop=LOOP, kinds=(Decided,))
    decided = recorded.event
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["batch.parquet"]
    assert (decided.action, decided.about, decided.evidence["predictions"]) == ("stop", "data", 0)
    assert any(named in problem for problem in decided.evidence["problems"])
    assert "batch.parquet" in decided.reason


def test_a_good_batch_is_predicted_and_leaves_no_such_record(store, tmp_path):
    made = bundle()
    promote(store, register(store, made))
    feed = Feed(store.ledger, Rules(loop=LOOP, when=when.never(), deploy=deploy.Immediately()))
    done = infer_recorded(feed, made.model(), flights(200, seed=3), tmp_path / "out.parquet", version=1, now=NOON)
    assert done.rows == 200
    assert pl.read_parquet(tmp_path / "out.parquet").height == 200
    assert list(store.ledger.events(loop=LOOP, kinds=(Decided,))) == []


START = datetime(2026, 1, 1, tzinfo=UTC)


def history(count: int = 2_000) -> pl.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=count)
    frame = pl.DataFrame({"id": range(count), "x": x, "y": (x + random.normal(size=count) > 0).astype(int)})
    at = pl.lit(START) + pl.duration(minutes=pl.col("id"))
    return frame.with_columns(at.alias("at"), (at + pl.duration(minutes=5)).alias("known"))


def retrain(store, rows, day):
    """Ask for a run on these rows beside what the table holds already."""
    now = START + timedelta(days=day)
    source = FrameSource(rows, time="at", key="id", target="y", label_time="known")
    kept = [gates.beats_champion()]  # the world is linear, and so is the model
    loop = Loop(name="world", source=source, model=LogisticRegression(), gates=kept, where=where.Local())
    feed = Feed(store.ledger, Rules(loop="world", when=loop.when, deploy=loop.deploy))
    feed.give(ev.RetrainRequested(loop="world", user="ada", reason="new rows", request=f"request-{day}"), time=now)
    return carry_out(store, loop, feed.catch_up().inflight.key, clock=VirtualClock(now))


def later(rows):
    """The same rows as they would come three days on."""
    moved = rows.with_columns(id=pl.col("id") + 10_000, at=pl.col("at") + timedelta(days=3))
    return moved.with_columns(known=pl.col("at") + timedelta(minutes=5))


@pytest.mark.parametrize(
    ("corrupt", "named"),
    [
        (lambda rows: rows.with_columns(x=pl.lit(None, pl.Float64)), "column 'x' is null, and never was"),
        (lambda rows: rows.with_columns(x=pl.lit(float("inf"))), "column 'x' holds inf in row 1"),
        (lambda rows: rows.with_columns(x=pl.lit("high")), "column 'x' holds Float64 in the table and String"),
        (lambda rows: rows.drop("x"), "column 'x' is missing"),
    ],
    ids=["null where never null", "infinite", "mistyped", "missing"],
)
def test_corrupt_rows_stop_a_retraining_and_leave_a_record(store, corrupt, named):
    assert retrain(store, history(), day=3) == 1
    assert retrain(store, later(history()).pipe(corrupt), day=6) is None
    assert [one.version for one in store.ledger.versions("world")] == [1]
    (ended,) = (one.event for one in store.ledger.events(loop="world", kinds=(ev.TrainingEnded,)))
    assert ended.status == "stopped"
    assert named in ended.error


def test_good_rows_are_retrained_on(store):
    assert retrain(store, history(), day=3) == 1
    assert retrain(store, later(history()), day=6) == 2
