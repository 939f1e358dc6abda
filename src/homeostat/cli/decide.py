"""The verbs by which a person steps in: retrain, promote, rollback, cancel. Each is an event with its decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.options import (
    STORE,
    JsonOption,
    LoopFileOption,
    ReasonOption,
    StoreOption,
    UserOption,
    loop_file,
    open_ledger,
    who,
)
from homeostat.cli.output import (
    print_json,
    say,
)
from homeostat.core.errors import RefusedError

if TYPE_CHECKING:
    from homeostat.core.events import AnyEvent
    from homeostat.engine.decide.decide import Decision
    from homeostat.engine.decide.feed import Feed


def retrain(
    reason: ReasonOption,
    user: UserOption = None,
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Train a new model now.

    `homeostat up` does it if it is up, otherwise this command does.
    """
    from homeostat.cli.outcome import carry_out
    from homeostat.core.clock import new_id
    from homeostat.core.events import RetrainRequested
    from homeostat.core.store import Store
    from homeostat.loop import load_loop

    def request(name: str) -> AnyEvent:
        return RetrainRequested(loop=name, user=who(user), reason=reason, request=new_id("request-"))

    feed, decisions = _ask(store, loop, request)
    _refuse(decisions)
    if not as_json:
        _tell(decisions, as_json=False)
    done_here = carry_out(Store.open(store), load_loop(loop_file(loop)), feed, as_json=as_json)
    if as_json and not done_here:
        _tell(decisions, as_json=True)


def promote(
    version: Annotated[int, typer.Argument(help="The version.")],
    reason: ReasonOption,
    user: UserOption = None,
    trial: Annotated[
        bool, typer.Option("--trial", help="Put it through shadow and canary instead of at once.")
    ] = False,
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion, or try it.

    At once, or with --trial through shadow and canary. Gates that refused it are overruled, on record; those that
    guard a promise (NaN, a tie, too few rows, another schema) are not.
    """
    from homeostat.core.events import PromotionRequested

    def request(name: str) -> AnyEvent:
        return PromotionRequested(loop=name, version=version, user=who(user), reason=reason, direct=not trial)

    _tell(_ask(store, loop, request)[1], as_json=as_json)


def rollback(
    reason: ReasonOption,
    version: Annotated[
        int | None, typer.Argument(help="The version to go back to; the previous one by default.")
    ] = None,
    user: UserOption = None,
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Go back to an earlier champion at once."""
    from homeostat.core.events import RollbackRequested

    def request(name: str) -> AnyEvent:
        return RollbackRequested(loop=name, version=version, user=who(user), reason=reason)

    _tell(_ask(store, loop, request)[1], as_json=as_json)


def cancel(
    reason: ReasonOption,
    user: UserOption = None,
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Stop the trial or the run in flight.

    `homeostat up` ends the run if it is up, otherwise this command does: whoever works on it cannot register it.
    """
    from homeostat.cli.outcome import end_here
    from homeostat.core.events import CancelRequested
    from homeostat.core.store import Store

    def request(name: str) -> AnyEvent:
        return CancelRequested(loop=name, user=who(user), reason=reason)

    feed, decisions = _ask(store, loop, request)
    _refuse(decisions)
    end_here(Store.open(store), feed, f"{who(user)}: {reason}")
    _tell(decisions, as_json=as_json)


def _ask(store: Path, loop: str | None, request: Callable[[str], AnyEvent]) -> tuple[Feed, Sequence[Decision]]:
    """Record a person's request with everything that is decided upon it."""
    from homeostat.core.clock import SystemClock
    from homeostat.engine.decide.feed import Feed
    from homeostat.engine.decide.state import Rules
    from homeostat.loop import load_loop

    declared = load_loop(loop_file(loop))
    ledger = open_ledger(store)
    feed = Feed(ledger, Rules.of(declared))
    _, decisions = feed.give(request(declared.name), time=SystemClock().now())
    return feed, decisions


def _tell(decisions: Sequence[Decision], *, as_json: bool) -> None:
    """Print what was decided; a refusal is an error."""
    decided = [decision.decided for decision in decisions]
    if as_json:
        print_json(decided)
    _refuse(decisions)
    for one in [] if as_json else decided:
        say(f"{one.action.replace('_', ' ')}: {one.reason}")


def _refuse(decisions: Sequence[Decision]) -> None:
    """Raise when the answer is no.

    Raises:
        RefusedError: With the reason.
    """
    refused = [one.decided.reason for one in decisions if one.decided.outcome == "refused"]
    if refused:
        hint = "`homeostat versions` says what there is, `homeostat why last` what it was decided from"
        raise RefusedError("; ".join(refused), hint=hint)
