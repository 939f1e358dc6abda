"""The scenario of M4: a small Loop's run, and what the next start makes of it when it was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from homeostat.ci.pipeline import mark_interrupted
from homeostat.core.clock import SystemClock
from homeostat.core.store import Store
from tests.ci import small_loop


def run(folder: str, **options: Any) -> dict[str, Any]:
    """Run it, and tell what every step did."""
    store = Store.open(Path(folder))
    finished = small_loop.run(store, workers=1, **options)
    outcomes = {each.event.step: each.event.outcome for each in store.ledger.steps(finished.id)}
    return {"outputs": finished.outputs, "outcomes": outcomes}


def resume(folder: str) -> dict[str, Any]:
    """Close the record of the run that was killed and go on with it; tell what it had done before as well."""
    store = Store.open(Path(folder))
    (dead,) = mark_interrupted(store, SystemClock())
    before = {each.event.step: each.event.outcome for each in store.ledger.steps(dead)}
    return {"before": before, "status": store.ledger.run(dead).status, **run(folder, inputs={}, resume=dead)}
