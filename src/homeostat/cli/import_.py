"""`homeostat import`: register an exported version in this store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import STORE, JsonOption, StoreOption, UserOption, loop_file, who
from homeostat.cli.output import print_json, say


def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `homeostat export` wrote.")],
    loop: Annotated[
        str | None, typer.Option("--loop", "-l", metavar="PATH", help="The loop's file, where features() is needed.")
    ] = None,
    vouch: Annotated[
        str | None,
        typer.Option("--vouch", metavar="REASON", help="Let the gates count that its sender ran; recorded, with you."),
    ] = None,
    user: UserOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Register an exported version in this store, making the store when there is none.

    Golden requests and the comparison with this machine are asked anew. What other gates said elsewhere is only
    recorded: with --loop they run on this store's rows, with --vouch you answer for them, and else the version waits
    as a candidate. The first version that passes is the champion.
    """
    from homeostat.core.ledger import unproven
    from homeostat.core.store import Store
    from homeostat.engine import requests
    from homeostat.loop import load_loop

    declared = load_loop(loop_file(loop)) if loop is not None else None
    made = requests.import_version(Store.open(store), folder, declared, user=who(user), vouch=vouch)
    if as_json:
        print_json(made)
        return
    say(f"version {made.version} of {made.loop} is registered: {made.state}")
    for gate in made.gates:
        if not gate.passed:
            say(f"  {'waits' if unproven.is_unproven(made.gates) else 'refused by ' + gate.gate}: {gate.reason}")
