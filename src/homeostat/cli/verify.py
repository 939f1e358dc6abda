"""`homeostat verify`: check that the store holds what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import STORE, JsonOption, StoreOption, open_ledger
from homeostat.cli.output import print_json, progress, say


def verify(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the status tables again from the events.")] = False,
    anchor: Annotated[
        Path | None, typer.Option("--anchor", metavar="FILE", help="What `homeostat anchor --json` printed earlier.")
    ] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Check that the store holds what was written.

    Recomputes the ledger's hash chain and the status tables that follow from it, the hash of every artifact and the
    digest of every table, and looks that no table has fewer rows than were appended. With --anchor it also finds events
    that were cut off or rewritten at the end.
    """
    from homeostat.engine.views.integrity import verify_store

    if rebuild:
        open_ledger(store).rebuild()
    with progress("events", quiet=as_json) as bar:
        found = verify_store(store, bar, anchor)
    if as_json:
        print_json(found)
    else:
        size = f"{found.artifacts:,} artifacts ({found.bytes / 1e6:,.1f} MB)"
        whole = f"{size}, {found.versions} versions and {found.rows:,} rows of tables are whole"
        say(f"ok: {found.events:,} events follow from one another; {whole}")
