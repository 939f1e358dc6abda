"""Understands what is asked for, and finds it in the ledger."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from homeostat.core import events as ev
from homeostat.core.errors import NotFoundError
from homeostat.engine.views.why.events import of_event
from homeostat.engine.views.why.runs import of_run, of_step
from homeostat.engine.views.why.versions import of_version

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger
    from homeostat.engine.views.why.answer import Why

_ASK = "ask for a version (17), a run id, RUN/STEP, an event (@412) or 'last'"


def why(ledger: Ledger, loop: str, asked: str) -> Why:
    """Explain one thing.

    Args:
        ledger: The record of everything.
        loop: Name of the loop.
        asked: A version (`17` or `v17`), a run id or a unique beginning of one, `RUN/STEP`, an event's ledger number
            (`@412`), or `last` for the newest decision. A bare number is a version, or else an event.

    Raises:
        NotFoundError: Nothing has that name or number.
    """
    asked = asked.strip()
    if asked == "last":
        return _last(ledger, loop)
    if number := re.fullmatch(r"(v|@|)(\d+)", asked):
        return _numbered(ledger, loop, number[1], int(number[2]))
    run, _, step = asked.partition("/")
    if not run:
        raise NotFoundError("nothing was asked for", hint=_ASK)
    try:
        found = ledger.run(run)
    except NotFoundError as error:
        raise NotFoundError(error.what, hint=f"{_ASK}; `homeostat runs` lists runs") from None
    return of_step(ledger, found, step) if step else of_run(ledger, found)


def _numbered(ledger: Ledger, loop: str, mark: str, number: int) -> Why:
    versions = {row.version for row in ledger.versions(loop)} if mark != "@" else set()
    if number in versions:
        return of_version(ledger, loop, number)
    if mark == "v":
        raise NotFoundError(f"loop {loop!r} has no version {number}", hint="`homeostat versions` lists them")
    try:
        return of_event(ledger, ledger.event(number))
    except NotFoundError as error:
        if mark == "@":
            raise
        what = f"loop {loop!r} has no version {number}, and {error.what}"
        raise NotFoundError(what, hint=_ASK) from None


def _last(ledger: Ledger, loop: str) -> Why:
    decided = list(ledger.events(loop=loop, kinds=(ev.Decided,)))
    if decided:
        return of_event(ledger, decided[-1])
    runs = ledger.runs(loop)
    if runs:
        return of_run(ledger, runs[0])
    raise NotFoundError(f"nothing was decided for loop {loop!r} yet", hint="`homeostat run` or `homeostat up` first")
