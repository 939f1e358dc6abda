"""`homeostat doctor`: check machine, store and loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import LOOP_FILE, STORE, JsonOption, StoreOption
from homeostat.cli.output import print_json, print_table, progress

_UNHEALTHY = 2


def doctor(
    store: StoreOption = STORE,
    loop: Annotated[Path, typer.Option("--loop", "-l", metavar="PATH", help="The loop's file.")] = Path(LOOP_FILE),
    as_json: JsonOption = False,
) -> None:
    """Check machine, store and loop; say what to do.

    Python, the database, packages, disk, the store's integrity, locks of dead processes, runs that never ended, the
    loop.
    """
    from homeostat.engine.views.checkup import checkup

    with progress("check", quiet=as_json) as bar:
        checks = list(checkup(store, loop, bar))
    if as_json:
        print_json(checks)
    else:
        rows = [(check.name, check.state, check.found, check.todo or "") for check in checks]
        print_table(("check", "state", "found", "what to do"), rows)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(_UNHEALTHY)
