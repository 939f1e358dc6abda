"""C11: every run carries a data report with statistics, missingness and a comparison with the run before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from homeostat import FrameSource, Loop, where
from homeostat.ci.collect import collect
from homeostat.core import codecs
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.training import carry_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.ci.analyze import Report
    from homeostat.core.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = {"time": "at", "key": "id", "target": "y", "label_time": "known"}


def rows(days: range, *, warmer: float = 0.0) -> pl.DataFrame:
    random = np.random.default_rng(days.start)
    number = np.arange(days.start * 100, days.stop * 100)
    x = random.normal(warmer, 1, number.size)
    at = pl.lit(START) + pl.duration(minutes=pl.col("id") * 14)
    frame = pl.DataFrame({"id": number, "x": x, "y": (x + random.normal(size=number.size) > warmer).astype(int)})
    known = (at + pl.duration(hours=1)).alias("known")
    return frame.with_columns(at.alias("at"), known, x=pl.when(pl.col("id") % 20 > 0).then("x"))


def train(store: Store, source: FrameSource, now: datetime, **steps: Callable[..., Any]) -> int | None:
    """One run, asked for by a person."""
    loop = Loop(name="world", source=source, model=LogisticRegression(), where=where.Local(), steps=steps)
    table = store.table("world", "rows", source.spec)
    collect(source, table, store.ledger, "world", VirtualClock(now))
    feed = Feed(store.ledger, Rules(loop=loop.name, when=loop.when, deploy=loop.deploy))
    feed.catch_up()
    request = ev.RetrainRequested(loop="world", user="ada", reason="new rows", request=f"request-{now:%d%H%M}")
    feed.give(request, time=now)
    inflight = feed.catch_up().inflight
    assert inflight is not None
    return carry_out(store, loop, inflight.key, clock=VirtualClock(now))


def report_of(store: Store) -> Report:
    recorded = store.ledger.last_step("world", "report")
    assert recorded is not None
    assert isinstance(recorded.event, ev.StepFinished)
    assert recorded.event.output is not None
    report: Report = codecs.decode(store.artifacts.get(recorded.event.output), store.artifacts)
    return report


def test_a_run_leaves_a_report_with_statistics_and_missingness(store: Store) -> None:
    assert train(store, FrameSource(rows(range(30)), **COLUMNS), START + timedelta(days=31)) == 1
    report = report_of(store)
    column = report.statistics["columns"]["x"]
    assert (column["rows"], column["nulls"]) == (3_000, 150)
    assert "This is the first run" in report.html
    assert report.html.startswith("<!doctype html>")


def test_the_next_run_is_compared_with_it(store: Store) -> None:
    train(store, FrameSource(rows(range(30)), **COLUMNS), START + timedelta(days=31))
    train(store, FrameSource(rows(range(30, 90), warmer=3.0), **COLUMNS), START + timedelta(days=91))
    html = report_of(store).html
    assert "+6,000 since the previous run" in html
    assert "<code>x</code> changed" in html


def test_a_run_without_its_report_is_incomplete_and_registers_nothing(store: Store) -> None:
    def report(rows: Any, validation: Any, previous: Any) -> Any:
        raise RuntimeError("the printer is on fire")

    assert train(store, FrameSource(rows(range(30)), **COLUMNS), START + timedelta(days=31), report=report) is None
    (run,) = store.ledger.runs("world")
    assert run.status == "failed"
    assert store.ledger.versions("world") == []
