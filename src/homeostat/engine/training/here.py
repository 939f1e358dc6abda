"""The run in flight, carried out by the process that asked for it: where no live loop is up, nobody else would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from homeostat.core.claims import in_charge
from homeostat.core.events import LoopStarted
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.training import carry_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.core.store import Store
    from homeostat.loop import Loop


class LeftToLoop(msgspec.Struct, frozen=True):
    """A live loop is up, which carries the run out.

    Attributes:
        outdated: Whether it started with another declaration than this one.
    """

    holder: str
    outdated: bool


def train_here(
    store: Store, loop: Loop, *, progress: Callable[[str, int, int, str], None] | None = None, resume: str | None = None
) -> str | LeftToLoop | None:
    """Carry out the run in flight, unless a live loop is up that does it.

    Returns:
        The trigger whose run was carried out; None when none is in flight.

    Raises:
        HomeostatError: What ended the run without a version; it is recorded too.
    """
    state = Feed(store.ledger, Rules.of(loop)).catch_up()
    if state.inflight is None:
        return None
    holder = in_charge(store.ledger, loop.name)
    if holder is not None:
        return LeftToLoop(holder, _declared_then(store, loop.name) != loop.digest)
    carry_out(store, loop, state.inflight.key, progress=progress, resume=resume, raising=True)
    return state.inflight.key


def _declared_then(store: Store, name: str) -> str | None:
    """The digest of the declaration that a live loop started with."""
    started = [one.event for one in store.ledger.events(loop=name, kinds=(LoopStarted,))][-1:]
    return next((event.declaration for event in started if isinstance(event, LoopStarted)), None)
