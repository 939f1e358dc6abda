"""A loop's first version, made as `homeostat run` makes it: asked for, decided, trained, gated, registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.core.events import RetrainRequested
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.training import carry_out
from tests.ci.small_loop import NOW

if TYPE_CHECKING:
    from homeostat.core.store import Store
    from homeostat.loop import Loop


def first_version(store: Store, loop: Loop) -> int | None:
    """The number of the version that a first run registers."""
    feed = Feed(store.ledger, Rules.of(loop))
    feed.give(RetrainRequested(loop=loop.name, user="test", reason="first", request="request-1"), time=NOW)
    assert feed.state.inflight is not None
    return carry_out(store, loop, feed.state.inflight.key, played=True, raising=True)
