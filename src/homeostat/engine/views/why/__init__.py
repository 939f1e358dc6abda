"""Explanations: why a run, a step, a version, a decision or any other event is as it is, read from the ledger alone."""

from homeostat.engine.views.why.answer import Why
from homeostat.engine.views.why.ask import why

__all__ = ["Why", "why"]
