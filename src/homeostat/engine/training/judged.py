"""The gates of a model that came from elsewhere, run here on this store's own rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.ci.admit import schema_of
from homeostat.ci.gates import judge
from homeostat.core.errors import NotFoundError
from homeostat.core.model import Bundle
from homeostat.loop import steps
from homeostat.loop.pipeline import settings_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from homeostat.core.events import GateResult
    from homeostat.core.store import Store
    from homeostat.loop import Loop


def judged_here(
    store: Store, loop: Loop, candidate: Bundle, now: datetime, trusted: Collection[str]
) -> tuple[tuple[GateResult, ...], int | None] | None:
    """What the standing checks and the Loop's gates say about a model on the newest labelled rows of this store.

    Returns:
        The verdicts, and the champion that it was compared with; None when the store has no row of the loop.

    Raises:
        DataError: The rows cannot be used, or are too few.
    """
    try:
        snapshot = store.table(loop.name, "rows", loop.source.spec).snapshot()
    except NotFoundError:
        return None
    row = store.ledger.champion(loop.name)
    champion = Bundle.read(store.artifacts, store.ledger.version(loop.name, row.version).manifest) if row else None
    told = settings_of(loop)
    rows = steps.rows(snapshot, now, how=loop.how)
    accepted = schema_of(store, loop.name)
    validation = steps.validation(rows, snapshot, accepted)
    found = steps.evaluation(
        candidate,
        steps.split(rows, validation, test=loop.test),
        champion,
        row.version if row else None,
        accepted,
        features=loop.features,
        metric=loop.metric,
        slices=told.get("evaluation.slices", ()),
        behaviours=loop.behaviours,
        trusted=tuple(trusted),
    )
    return judge(found, loop.gates), row.version if row else None
