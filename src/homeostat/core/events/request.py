"""Events of people: what somebody asked for."""

from __future__ import annotations

from homeostat.core.events.values import Event


class RetrainRequested(Event, tag="retrain_requested", frozen=True, kw_only=True):
    """A person asked for a new model."""

    user: str
    reason: str
    request: str


class PromotionRequested(Event, tag="promotion_requested", frozen=True, kw_only=True):
    """A person asked for a version to be put on its way (`direct=False`) or made champion at once."""

    version: int
    user: str
    reason: str
    direct: bool = True


class RollbackRequested(Event, tag="rollback_requested", frozen=True, kw_only=True):
    """A person asked for an earlier champion; None means the previous one."""

    version: int | None
    user: str
    reason: str


class CancelRequested(Event, tag="cancel_requested", frozen=True, kw_only=True):
    """A person asked to stop the run in flight or the running trial."""

    user: str
    reason: str
