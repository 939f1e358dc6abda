"""The broken candidates of the demo: real runs of the loop's own pipeline with one step replaced by a faulty one."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from homeostat.core import events as ev
from homeostat.core.clock import PacedClock, new_id
from homeostat.engine.training.training import carry_out
from homeostat.loop import steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import polars as pl

    from homeostat.ci.validate import Validation
    from homeostat.core.table.spec import Snapshot
    from homeostat.demo.story import Fault, Push
    from homeostat.engine.live.live import Live


def inverted_split(rows: pl.DataFrame, validation: Validation, *, test: str = "14d") -> dict[str, Any]:
    """Training labels say the opposite; the test rows are right, so the gates see it."""
    import polars as pl

    parts = steps.split(rows, validation, test=test)
    return parts | {"train": parts["train"].with_columns(~pl.col("late"))}


def leaky_rows(snapshot: Snapshot, known_by: datetime) -> pl.DataFrame:
    """A backfill computed the carrier's recent delay with the flight's own delay in it.

    Training and test rows share the mistake, so the gates see a wonderful model; only live traffic shows what it is.
    """
    import polars as pl

    known = steps.rows(snapshot, known_by)
    return known.with_columns(carrier_delay=pl.col("carrier_delay") + pl.when("late").then(15.0).otherwise(0.0))


_FAULTS: dict[Fault, dict[str, Callable[..., Any]]] = {
    "inverted": {"split": inverted_split},
    "leaky": {"rows": leaky_rows},
}


def push(live: Live, wanted: Push) -> int:
    """Train and register a candidate by hand, as a person with their own copy of loop.py would.

    Nothing may be in flight.

    Returns:
        The candidate's version. What becomes of it is the loop's decision.
    """
    now = live.clock.now()
    request = ev.RetrainRequested(loop=live.loop.name, user=wanted.user, reason=wanted.reason, request=new_id("push-"))
    _, (decision,) = live.feed.give(request, time=now)
    (train,) = decision.decided.commands
    assert isinstance(train, ev.Train)
    theirs = copy(live.loop)
    theirs.steps = _FAULTS[wanted.fault]
    version = carry_out(live.store, theirs, train.trigger.key, clock=PacedClock(now))
    assert version is not None
    return version


def insist(live: Live, version: int, wanted: Push) -> None:
    """Put a version on trial although the gates refused it: `homeostat promote VERSION --trial`."""
    request = ev.PromotionRequested(
        loop=live.loop.name, version=version, user=wanted.user, reason=wanted.insists or "", direct=False
    )
    live.feed.give(request, time=live.clock.now())
