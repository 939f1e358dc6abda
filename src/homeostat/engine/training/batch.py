"""Batch inference as a loop does it: a table that does not fit is an event, and is decided upon like any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.cd.infer import infer
from homeostat.core import events as ev
from homeostat.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

    from homeostat.cd.infer import Inferred
    from homeostat.core.model import Model
    from homeostat.engine.decide.feed import Feed

_MOST_PROBLEMS = 20


def infer_recorded(
    feed: Feed,
    model: Model,
    source: pl.DataFrame | Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    version: int,
    now: datetime,
    **settings: Any,
) -> Inferred:
    """`homeostat.cd.infer.infer`, with a refused table in the ledger.

    Args:
        feed: Of the loop.
        model: A loaded model.
        source: As for `infer`.
        out: As for `infer`.
        version: The model's.
        now: Time on the loop's clock.
        settings: More of `infer`'s.

    Raises:
        SchemaError: the table does not fit; nothing was predicted, and the refusal is recorded.
    """
    try:
        return infer(model, source, out, **settings)
    except DataError as error:
        if isinstance(source, (list, tuple)) and len(source) == 1:
            (source,) = source
        name = Path(source).name if isinstance(source, (str, Path)) else "a table"
        problems = tuple(error.what.splitlines()[:_MOST_PROBLEMS])
        refused = ev.BatchRefused(loop=feed.state.rules.loop, source=name, version=version, problems=problems)
        feed.give(refused, time=now)
        raise
