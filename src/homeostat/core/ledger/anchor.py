"""Heads of a ledger's chains, kept elsewhere: what was cut off or rewritten behind them cannot hide.

A chain of hashes shows what was changed inside of it, and not what is missing at its end. Each hash covers every event
before it, so the newest of each loop, kept where whoever writes the store cannot reach it, says all that was there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.core.errors import NotFoundError, UserError
from homeostat.core.files import read_regular
from homeostat.core.text.read_json import read_json

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger

FORMAT = 1
_MOST_BYTES = 16 << 20


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The newest event of a loop: its number in the ledger, and its hash."""

    loop: str
    seq: int
    hash: str


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """The heads of all chains of a ledger at one time."""

    format: int = FORMAT
    heads: tuple[Head, ...]


def anchor_of(ledger: Ledger) -> Anchor:
    """What to keep elsewhere.

    Example:
        >>> from homeostat.core.ledger import Ledger
        >>> anchor_of(Ledger.open(":memory:")).heads
        ()
    """
    return Anchor(heads=tuple(Head(loop=one.event.loop, seq=one.seq, hash=one.hash) for one in ledger.heads()))


def read_anchor(file: Path) -> Anchor:
    """What `homeostat anchor --json` printed.

    Raises:
        NotFoundError: There is no such file.
        UserError: It holds something else, or is of a newer format.
    """
    hint = "`homeostat anchor --json > FILE` writes one"
    try:
        data = read_regular(file, _MOST_BYTES)
        found = msgspec.convert(read_json(data), Anchor)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {file}", hint=hint) from error
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise UserError(f"{file} is no anchor: {error}", hint=hint) from error
    if found.format > FORMAT:
        what = f"this anchor has format {found.format} and this Homeostat reads up to {FORMAT}"
        raise UserError(what, hint="upgrade: pip install --upgrade homeostat")
    return found


def broken(ledger: Ledger, anchor: Anchor) -> list[str]:
    """What a ledger lacks of the chains that an anchor names."""
    problems = []
    newest = ledger.newest()
    for head in anchor.heads:
        if head.seq > newest:
            problems.append(f"the ledger ends at event {newest}, and event {head.seq} of loop {head.loop} was anchored")
            continue
        found = ledger.event(head.seq)
        if (found.hash, found.event.loop) != (head.hash, head.loop):
            problems.append(f"event {head.seq} of loop {head.loop} is not the one that was anchored: it was rewritten")
    return problems
