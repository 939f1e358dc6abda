"""The verbs about a loop's table: rows (look, and take out) and accept-schema (a change that is meant)."""

from __future__ import annotations

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
    said,
    who,
)
from homeostat.cli.output import (
    print_json,
    print_table,
    say,
)
from homeostat.core.errors import UserError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import polars as pl

    from homeostat.core.store import Store
    from homeostat.core.table.table import Table
    from homeostat.loop import Loop

_SHOWN = 10


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
        str | None, typer.Option("--reason", "-r", callback=said, help="With --remove: why; it is recorded.")
    ] = None,
    user: UserOption = None,
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show rows of the loop's table, or take them out.

    Rows that are taken out stay in the version before, for what was trained on it; the ledger has who did it and why.
    """
    from homeostat.core.clock import SystemClock
    from homeostat.engine.table.remove import Selection, selected
    from homeostat.engine.table.remove import remove as take_out

    opened, declared, table = _opened(store, loop)
    chosen = Selection(
        keys=tuple(key or ()),
        since=_moment("--since", since),
        until=_moment("--until", until),
        source=source,
        where=where,
    )
    if remove and chosen == Selection():
        raise UserError("--remove without saying which rows", hint="--key, --since, --until, --source or --where")
    if remove and reason is None:
        raise UserError("--remove without a reason", hint="it is recorded: --reason TEXT")
    if not remove or dry_run:
        there = table.read()
        found = there.filter(selected(table, there, chosen)) if there.width else there
        _show(found, chosen, table, as_json=as_json, dry_run=remove)
        return
    event = take_out(opened, declared.name, table, chosen, user=who(user), reason=str(reason), clock=SystemClock())
    if as_json:
        print_json(event)
        return
    say(f"{event.rows:,} rows were taken out ({event.selection}); {event.total:,} are left")
    say(f"version {event.before} of the table still has them")


def accept_schema(
    reason: ReasonOption,
    user: UserOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what differs, and change nothing.")] = False,
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Take a change of the table's columns that is meant.

    What differs between what was accepted and the files that are at the source now is shown, recorded with name and
    reason, and held against all later rows: null where there was none, a new or a gone column, another kind.
    """
    from homeostat.core.clock import SystemClock
    from homeostat.engine.table.accept import accept, propose

    opened, declared, _ = _opened(store, loop)
    found = propose(opened, declared)
    if found.changes and not dry_run:
        accept(opened, declared, found, user=who(user), reason=reason, clock=SystemClock())
    if as_json:
        facts = {"files": found.files, "changes": found.changes, "described": found.described}
        print_json(facts | {"accepted": bool(found.changes) and not dry_run})
        return
    for line in found.described:
        say(line)
    if not found.changes:
        say(f"nothing differs from what was accepted ({len(found.files)} new files were looked at)")
    else:
        say("nothing was accepted: --dry-run" if dry_run else "accepted; `homeostat run` takes the rows in")


def _opened(store: Path, loop: str | None) -> tuple[Store, Loop, Table]:
    from homeostat.core.store import Store
    from homeostat.loop import load_loop

    declared = load_loop(loop_file(loop))
    opened = Store.open(store, create=False)
    return opened, declared, opened.table(declared.name, "rows", declared.source.spec)


def _moment(option: str, text: str | None) -> datetime | None:
    from homeostat.core.errors import DataError
    from homeostat.core.times.columns import read_time

    if text is None:
        return None
    try:
        return read_time(text)
    except DataError as error:
        raise UserError(f"{option} {text!r} is no time", hint="write 2013-01-31 or 2013-01-31T05:15:00Z") from error


def _show(found: pl.DataFrame, chosen: object, table: Table, *, as_json: bool, dry_run: bool) -> None:
    import polars as pl

    times = [name for name, dtype in found.schema.items() if dtype.is_temporal()]
    # A time from beyond the calendar, which an earlier version let in, is no Python datetime.
    first = found.head(_SHOWN).with_columns(pl.col(times).cast(pl.String)).to_dicts()
    if as_json:
        print_json({"selection": str(chosen), "rows": found.height, "version": table.version, "first": first})
        return
    print_table(found.columns, [list(row.values()) for row in first])
    say(f"{found.height:,} rows: {chosen}" + ("; nothing was changed: --dry-run" if dry_run else ""))
