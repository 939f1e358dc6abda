"""`homeostat anchor`: the newest event of every loop with its hash, to be kept elsewhere."""

from __future__ import annotations

from homeostat.cli.options import STORE, JsonOption, StoreOption, open_ledger
from homeostat.cli.output import print_json, print_table


def anchor(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Print the newest event of every loop, with its hash, to be kept elsewhere.

    `homeostat verify --anchor FILE` finds what was cut off or rewritten since.
    """
    from homeostat.core.ledger.anchor import anchor_of

    found = anchor_of(open_ledger(store))
    if as_json:
        print_json(found)
        return
    print_table(("loop", "event", "hash"), [(head.loop, head.seq, head.hash) for head in found.heads])
