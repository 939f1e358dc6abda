"""`homeostat accept-schema`: take a change of the table's columns that is meant."""

from __future__ import annotations

from typing import Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, ReasonOption, StoreOption, UserOption, open_loop, who
from homeostat.cli.output import print_json, say


def accept_schema(
    reason: ReasonOption,
    user: UserOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what differs, and change nothing.")] = False,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Take a change of the table's columns that is meant.

    What differs between what was accepted and the files that are at the source now is shown, recorded with name and
    reason, and held against all later rows: null where there was none, a new or a gone column, another kind.
    """
    from homeostat.engine import requests

    found = requests.accept_schema(*open_loop(store, loop), user=who(user), reason=reason, dry_run=dry_run)
    if as_json:
        print_json(found)
        return
    for line in found.described:
        say(line)
    if not found.changes:
        say(f"nothing differs from what was accepted ({len(found.files)} new files were looked at)")
    else:
        say("accepted; `homeostat run` takes the rows in" if found.accepted else "nothing was accepted: --dry-run")
