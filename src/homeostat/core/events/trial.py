"""Events of a trial: begun, traffic divided anew, what the server made of it, ended."""

from __future__ import annotations

from typing import Any

from homeostat.core.events.measured import Judgement
from homeostat.core.events.values import Arm, Event, TrialOutcome


class TrialStarted(Event, tag="trial_started", frozen=True, kw_only=True):
    """A challenger began its way: shadow, canary, champion."""

    challenger: int
    champion: int
    plan: dict[str, Any]
    veto: str | None = None
    """Why it may not become the champion whatever the judge says: the binding gates that refused it."""


class ArmsSet(Event, tag="arms_set", frozen=True, kw_only=True):
    """Traffic was divided anew. Units stay on their arm while the salt stays.

    Attributes:
        stage: Stage of the running trial that this division belongs to: 0 is the shadow; None without a trial.
        pairs: Matured pairs that the judge had seen by then.
    """

    arms: tuple[Arm, ...]
    salt: str
    reason: str
    stage: int | None = None
    pairs: int = 0


class TrialEnded(Event, tag="trial_ended", frozen=True, kw_only=True):
    """A challenger was promoted, rolled back, found inconclusive or cancelled."""

    challenger: int
    champion: int
    outcome: TrialOutcome
    reason: str
    judgement: Judgement | None = None


class RoutingApplied(Event, tag="routing_applied", frozen=True, kw_only=True):
    """The server answers with the division of traffic that stands at ledger number `arms_seq`."""

    arms_seq: int


class RoutingRefused(Event, tag="routing_refused", frozen=True, kw_only=True):
    """The server cannot answer with a division of traffic: a version of it does not load, or breaks the contract."""

    arms_seq: int
    error: str
