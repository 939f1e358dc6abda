"""Whether the champion can be served by the code at hand: asked before a loop goes live, not by every caller after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.core.errors import HomeostatError, ModelError, RefusedError
from homeostat.core.model import Bundle
from homeostat.core.model.bundle import check_features

if TYPE_CHECKING:
    from homeostat.core.store import Store
    from homeostat.loop import Loop


def check_champion(store: Store, loop: Loop) -> None:
    """Refuse to go live with a champion that was trained with another `features()` than the declared one.

    A champion whose bytes were altered is left to the server, which says so, and to the loop, which steps back from it.

    Raises:
        RefusedError: Names the functions that differ, and the two ways out.
    """
    champion = store.ledger.champion(loop.name)
    problem = _misfit(store, loop, champion.version) if champion is not None else None
    if champion is None or problem is None:
        return
    what = f"version {champion.version}, the champion, cannot answer: {problem}"
    hint = (
        "put the features() that trained it back; or `homeostat run` trains a version with the new one, "
        "`homeostat promote N --reason ...` makes it the champion, then start again"
    )
    raise RefusedError(what, hint=hint)


def _misfit(store: Store, loop: Loop, version: int) -> str | None:
    """What is wrong with a version's `features()`; None also when it cannot be read at all."""
    try:
        manifest = Bundle.read(store.artifacts, store.ledger.version(loop.name, version).manifest).manifest
    except HomeostatError:
        return None
    try:
        check_features(manifest, loop.features)
    except ModelError as error:
        return error.what
    return None
