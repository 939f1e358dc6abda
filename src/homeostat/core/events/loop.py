"""Events of the loop itself: who is in charge, and what was decided."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from homeostat.core.events.values import Action, DecisionOutcome, Event, Trigger


class LoopStarted(Event, tag="loop_started", frozen=True, kw_only=True):
    """`homeostat up` (or a replay) took charge of the loop."""

    who: str
    declaration: str
    """SHA-256 of the Loop's declaration."""


class LoopStopped(Event, tag="loop_stopped", frozen=True, kw_only=True):
    """The process in charge let go."""

    who: str
    reason: str


class Train(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="train"):
    """Run the Loop's pipeline for this trigger, on labels known by `now`."""

    trigger: Trigger
    now: datetime


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag="cancel"):
    """End the run that works for this trigger."""

    trigger: str


Command = Train | Cancel


class Decided(Event, tag="decided", frozen=True, kw_only=True):
    """A decision with its evidence: recorded when it acted and when it did not.

    Attributes:
        action: What was decided; `keep` is a decision too.
        about: What was decided upon: `policy`, `trial`, `candidate`, `request`, `data` or `service`.
        outcome: `refused` when what was asked for, offered or delivered is turned away; `held` when it has to wait.
        evidence: The numbers and thresholds that it was made from.
    """

    action: Action
    about: str
    fired: bool
    reason: str
    evidence: dict[str, Any]
    commands: tuple[Command, ...] = ()
    outcome: DecisionOutcome = "done"
