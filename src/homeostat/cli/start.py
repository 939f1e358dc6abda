"""Verbs that show and check: demo, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import (
    LOOP_FILE,
    STORE,
    JsonOption,
    StoreOption,
)
from homeostat.cli.output import (
    console,
    print_json,
    print_table,
    progress,
)

_UNHEALTHY = 2


def demo(
    port: Annotated[int, typer.Option(help="The server's port; 0 takes a free one.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="A new folder for store and report.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Eight weeks of every third flight instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Play a year of real flights through the loop.

    Real data, a real server, three minutes on this machine, no network and no account.
    """
    from homeostat.demo import run_demo

    found = run_demo(port=port, output=output, fast=fast, out=console(stderr=True) if as_json else None)
    if as_json:
        print_json(found)


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
        print_table(
            ("check", "state", "found", "what to do"), [(c.name, c.state, c.found, c.todo or "") for c in checks]
        )
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(_UNHEALTHY)
