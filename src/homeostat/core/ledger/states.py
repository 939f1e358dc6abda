"""The states of a version in the registry, and the moves between them that the ledger lets happen.

A state follows from the events about a version and from nothing else; an event that asks for an illegal move is refused
before it is recorded, whoever appends it.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from homeostat.core import events as ev
from homeostat.core.errors import NotFoundError, RefusedError
from homeostat.core.ledger import schema as db
from homeostat.core.ledger import unproven

STATES = {
    "candidate": "passed its gates, and waits",
    "refused": "a gate refused it",
    "shadow": "on trial: scores the champion's rows and answers nobody",
    "canary": "on trial: answers a share of the units",
    "split": "on trial in an A/B test",
    "bandit": "on trial as an arm of a bandit",
    "champion": "answers",
    "retired": "was champion, and a newer one took its place",
    "rolled_back": "was withdrawn: from its trial, or as champion",
    "inconclusive": "its trial ended without evidence for it",
    "cancelled": "a person ended its trial",
}

_TRIAL = frozenset({"shadow", "canary", "split", "bandit"})
_ENDS = frozenset({"rolled_back", "inconclusive", "cancelled"})
_WAITING = _TRIAL | {"champion"}

MOVES: dict[str, frozenset[str]] = {
    "candidate": _WAITING,
    "refused": _WAITING,  # by a person, on record; a gate that guards a promise is never overruled
    **dict.fromkeys(sorted(_TRIAL), _WAITING | _ENDS),
    "champion": frozenset({"retired", "rolled_back"}),
    **dict.fromkeys(sorted({"retired"} | _ENDS), _WAITING),
}
"""State to the states that may follow it."""


def check_moves(connection: sa.Connection, event: ev.Event) -> None:
    """Refuse an event that would move a version where it may not go.

    Raises:
        NotFoundError: It is about a version that was never registered.
        RefusedError: The version's state does not allow it, or a gate that guards a promise refused the version.
    """
    for version, wanted in _moves(event):
        row = connection.execute(
            sa.select(db.versions.c.state, db.versions.c.seq).where(
                db.versions.c.loop == event.loop, db.versions.c.version == version
            )
        ).first()
        if row is None:
            what = f"loop {event.loop!r} has no version {version}, so it cannot become {wanted}"
            raise NotFoundError(what, hint="`homeostat versions` lists them")
        if wanted != row.state and wanted not in MOVES.get(row.state, frozenset()):
            what = f"version {version} is {row.state} and cannot become {wanted}"
            raise RefusedError(what, hint=f"from there it may become {', '.join(sorted(MOVES.get(row.state, ())))}")
        if wanted == "champion" and (barred := _barred_by(connection, row.seq)):
            if barred == [unproven.UNPROVEN]:
                raise RefusedError(f"version {version} {unproven.REASON}", hint=unproven.HINT)
            what = f"version {version} was refused for good by {', '.join(barred)}, and cannot become champion"
            raise RefusedError(what, hint="train another one")


def _moves(event: ev.Event) -> Iterator[tuple[int, str]]:
    match event:
        case ev.Promoted() | ev.RolledBack():
            yield event.version, "champion"
        case ev.TrialStarted():
            yield event.challenger, "shadow"
        case ev.ArmsSet():
            yield from ((arm.version, arm.role) for arm in event.arms if arm.role != "champion")
        case ev.TrialEnded(outcome=outcome) if outcome != "promoted":
            yield event.challenger, outcome


def _barred_by(connection: sa.Connection, seq: int) -> list[str]:
    """The gates that guard a promise and refused the version that was registered at a ledger number."""
    data = connection.execute(sa.select(db.events.c.data).where(db.events.c.seq == seq)).scalar()
    registered = db.decode(data) if data is not None else None
    gates = registered.gates if isinstance(registered, ev.VersionRegistered) else ()
    return [gate.gate for gate in gates if gate.binding and not gate.passed]
