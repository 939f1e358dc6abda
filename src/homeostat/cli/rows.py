"""`homeostat rows`: rows of the loop's table, shown or taken out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, StoreOption, UserOption, open_loop, recorded_text, who
from homeostat.cli.output import print_json, print_table, say
from homeostat.core.errors import UserError


def rows(
    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="ID", help="Rows by their id, as answers and labels have it.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Rows of this event time or later.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Rows from before this event time.")] = None,
    source: Annotated[str | None, typer.Option(metavar="FILE", help="Rows that this file brought.")] = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="A condition over the columns: \"wind > 100 AND carrier = 'UA'\".")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take them out of the table.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --remove: count them, and change nothing.")] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", "-r", callback=recorded_text, help="With --remove: why; it is recorded.")
    ] = None,
    user: UserOption = None,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show rows of the loop's table, or take them out.

    Rows that are taken out stay in the version before, for what was trained on it; the ledger has who did it and why.
    """
    from homeostat.engine import requests
    from homeostat.engine.table.remove import Selection
    from homeostat.engine.views import rows as view

    opened, declared = open_loop(store, loop)
    since_time, until_time = _moment("--since", since), _moment("--until", until)
    chosen = Selection(keys=tuple(key or ()), since=since_time, until=until_time, source=source, where=where)
    if remove:
        requests.check_removal(chosen, reason)
    if not remove or dry_run:
        found = view.rows(opened, declared, chosen)
        if as_json:
            print_json(found)
            return
        print_table(found.columns, [list(row.values()) for row in found.first])
        say(f"{found.rows:,} rows: {found.selection}" + ("; nothing was changed: --dry-run" if remove else ""))
        return
    event = requests.remove_rows(opened, declared, chosen, user=who(user), reason=reason)
    if as_json:
        print_json(event)
        return
    say(f"{event.rows:,} rows were taken out ({event.selection}); {event.total:,} are left")
    say(f"version {event.before} of the table still has them")


def _moment(option: str, text: str | None) -> datetime | None:
    from homeostat.core.errors import DataError
    from homeostat.core.times.columns import read_time

    if text is None:
        return None
    try:
        return read_time(text)
    except DataError as error:
        raise UserError(f"{option} {text!r} is no time", hint="write 2013-01-31 or 2013-01-31T05:15:00Z") from error
