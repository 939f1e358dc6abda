"""Feeding events to a loop: each is appended, decided upon and followed by its facts in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from homeostat.core import crash_points
from homeostat.core import events as ev
from homeostat.core.errors import RefusedError
from homeostat.engine.decide.decide import Decision, decide
from homeostat.engine.decide.state import Rules, State, fold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from homeostat.core.ledger import Lease, Ledger, Recorded, Transaction


def ended_key(trigger: str) -> str:
    """The ledger key of the end of a training command."""
    return f"ended:{trigger}"


class Feed:
    """The only way by which events reach a loop's decisions.

    The state is folded from the ledger inside the transaction, so that two processes that feed the same loop decide
    one after the other, each upon what the other one did.
    """

    def __init__(self, ledger: Ledger, rules: Rules) -> None:
        self.ledger = ledger
        self.state = State(rules=rules)

    def catch_up(self) -> State:
        """Fold what was recorded since the last look."""
        self.state = fold(self.state, self.ledger.events(after=self.state.seq, loop=self.state.rules.loop))
        return self.state

    def give(
        self, event: ev.AnyEvent, *, time: datetime, key: str | None = None, lease: Lease | None = None
    ) -> tuple[Recorded, tuple[Decision, ...]]:
        """Record an event and everything that is decided upon it.

        An event whose key is recorded already changes nothing and decides nothing.

        Returns:
            The recorded event and the decisions, whose commands are now outstanding.
        """
        with self.ledger.transaction(lease) as tx:
            before = fold(self.state, tx.events(after=self.state.seq, loop=event.loop))
            recorded, state, decisions = give(tx, before, event, time=time, key=key)
            self._point(decisions, "before_commit")
        self.state = state
        self._point(decisions, "after_commit")
        return recorded, decisions

    def register(
        self, event: ev.VersionRegistered, *, time: datetime, lease: Lease | None = None
    ) -> tuple[Recorded, tuple[Decision, ...]]:
        """Register a version once for its trigger, and decide what becomes of it.

        Raises:
            RefusedError: the training for its trigger was ended, for example cancelled.
        """
        with self.ledger.transaction(lease) as tx:
            before = fold(self.state, tx.events(after=self.state.seq, loop=event.loop))
            cancelled = before.cancelling and before.inflight is not None and before.inflight.key == event.trigger.key
            if cancelled or tx.find(ended_key(event.trigger.key)) is not None:
                what = f"the training for {event.trigger.key} was ended; its model is not registered"
                raise RefusedError(what, hint="`homeostat retrain --reason` starts a new one")
            recorded, fresh = tx.register(event, time=time)
            state, decisions = _follow(tx, before, recorded) if fresh else (before, ())
            crash_points.point("register.before_commit")
            self._point(decisions, "before_commit")
        crash_points.point("register.after_commit")
        self._point(decisions, "after_commit")
        self.state = state
        return recorded, decisions

    @staticmethod
    def _point(decisions: tuple[Decision, ...], where: str) -> None:
        if any(isinstance(fact, ev.Promoted | ev.RolledBack) for one in decisions for fact in one.facts):
            crash_points.point(f"promote.{where}")


def give(
    tx: Transaction, state: State, event: ev.AnyEvent, *, time: datetime, key: str | None = None
) -> tuple[Recorded, State, tuple[Decision, ...]]:
    """Append an event, decide, and append what follows, inside a transaction."""
    recorded = tx.append(event, time=time, key=key)
    if not recorded.fresh:
        return recorded, state, ()
    state, decisions = _follow(tx, state, recorded)
    return recorded, state, decisions


def _follow(tx: Transaction, state: State, recorded: Recorded) -> tuple[State, tuple[Decision, ...]]:
    decided_upon, decisions = decide(state, recorded)
    newest = recorded.seq
    for decision in decisions:
        for fact in (decision.decided, *decision.facts):
            newest = tx.append(fact, time=recorded.time, cause=recorded.seq).seq
    return msgspec.structs.replace(decided_upon, seq=newest), decisions


def replayed(rules: Rules, recorded: Iterable[Recorded]) -> list[tuple[int, Decision]]:
    """What would be decided upon the same events: those that have a cause are left out and must come out again.

    Returns:
        Each decision with the ledger number of the event that it was made upon.
    """
    state = State(rules=rules)
    decisions: list[tuple[int, Decision]] = []
    for one in recorded:
        if one.cause is not None:
            continue
        state, made = decide(state, one)
        decisions.extend((one.seq, decision) for decision in made)
    return decisions


def decided(recorded: Iterable[Recorded]) -> list[tuple[int, ev.Decided]]:
    """The decisions that stand in a ledger, each with the ledger number of the event that it was made upon."""
    return [(one.cause or 0, one.event) for one in recorded if isinstance(one.event, ev.Decided)]
