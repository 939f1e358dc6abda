"""A small Loop with real rows and a real model, and its pipeline run on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

from homeostat.ci.collect import collect
from homeostat.connect import FrameSource
from homeostat.core.clock import VirtualClock
from homeostat.loop import Loop
from homeostat.loop.pipeline import pipeline_of, settings_of

if TYPE_CHECKING:
    from homeostat.ci.pipeline import Run
    from homeostat.core.events import StepFinished
    from homeostat.core.store import Store

START = datetime(2013, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=11)


def table(count: int = 600) -> pl.DataFrame:
    """Departures over ten days; `late` follows `wind`."""
    random = np.random.default_rng(1)
    wind = random.normal(size=count)
    at = [START + timedelta(days=10) * place / count for place in range(count)]
    return pl.DataFrame(
        {
            "id": [f"f{place}" for place in range(count)],
            "at": at,
            "wind": wind,
            "carrier": random.choice(["AA", "B6", "UA"], count),
            "late": (random.random(count) < 1 / (1 + np.exp(-2 * wind))).astype(int),
            "landed": [moment + timedelta(hours=3) for moment in at],
        }
    )


def features(rows: pl.DataFrame) -> pl.DataFrame:
    """What the model sees."""
    return rows.select("wind", "carrier", hour=pl.col("at").dt.hour())


def small_loop(**changes: Any) -> Loop:
    """The declaration, with some of it changed."""
    source = FrameSource(table(), time="at", key="id", target="late", label_time="landed")
    return Loop(**{"name": "flights", "source": source, "features": features, "model": LogisticRegression(), **changes})


def inputs(store: Store, loop: Loop) -> dict[str, Any]:
    """Collect the loop's rows and give the inputs of a first run."""
    rows = store.table(loop.name, "rows", loop.source.spec)
    collect(loop.source, rows, store.ledger, loop.name, VirtualClock(NOW))
    given = {"snapshot": rows.snapshot(), "known_by": NOW, "accepted": None, "previous": None, "parent": None}
    return {**given, "champion": None, "champion_version": None}


def run(store: Store, loop: Loop | None = None, **options: Any) -> Run:
    """Run the loop's pipeline as the trainer does."""
    loop = loop or small_loop()
    given = {"inputs": inputs(store, loop), "settings": settings_of(loop), **options}
    return pipeline_of(loop).run(store, loop=loop.name, **given)


def records(store: Store, run: str) -> list[StepFinished]:
    """What a run recorded of its steps, in order."""
    return [each.event for each in store.ledger.steps(run)]
