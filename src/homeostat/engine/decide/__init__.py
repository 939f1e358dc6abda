"""The decisions: one pure function of the ledger's state and an event, and the feed that records what follows."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.engine.decide.feed import Feed as Feed
    from homeostat.engine.decide.feed import decided as decided
    from homeostat.engine.decide.feed import replayed as replayed
    from homeostat.engine.decide.state import Rules as Rules

__getattr__ = loader(__name__, {"feed": ("Feed", "decided", "replayed"), "state": ("Rules",)})
