"""Batch inference as a loop does it: a table that does not fit is an event, and is decided upon like any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.infer import Inferred, infer
from homeostat.core import events as ev
from homeostat.core.clock import SystemClock
from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.model import Bundle
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import polars as pl

    from homeostat.core.model import Model
    from homeostat.core.store import Store
    from homeostat.loop import Loop

_MOST_PROBLEMS = 20


class InferredBy(Inferred, frozen=True, kw_only=True):
    """What a batch inference made, and by which version."""

    version: int


def infer_table(
    store: Store,
    loop: Loop,
    tables: Sequence[str],
    out: Path,
    *,
    version: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> InferredBy:
    """Predict a table with a version of a loop, by default its champion.

    Raises:
        NotFoundError: There is no champion yet, or no such version.
        SchemaError: As for `infer_recorded`.
    """
    champion = store.ledger.champion(loop.name)
    if version is None and champion is None:
        raise NotFoundError(f"loop {loop.name!r} has no champion yet", hint="`homeostat run` trains the first one")
    number = version if version is not None or champion is None else champion.version
    row = store.ledger.version(loop.name, int(number or 0))
    model = Bundle.load(store.artifacts, row.manifest, loop.features, trusted=loop.trusted_types)
    made = infer_recorded(
        *(Feed(store.ledger, Rules.of(loop)), model, tables, out),
        version=row.version,
        now=SystemClock().now(),
        form=loop.form,
        progress=progress,
    )
    return InferredBy(**msgspec.structs.asdict(made), version=row.version)


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
