"""`homeostat runs`: the runs of the pipeline."""

from __future__ import annotations

from homeostat.cli.options import STORE, JsonOption, LimitOption, LoopOption, StoreOption, open_named
from homeostat.cli.output import print_json, print_table


def runs(
    loop: LoopOption = None, store: StoreOption = STORE, limit: LimitOption = 20, as_json: JsonOption = False
) -> None:
    """List pipeline runs."""
    from homeostat.engine.views import runs as view

    opened, name = open_named(store, loop)
    found = view.runs(opened.ledger, name, limit)
    if as_json:
        print_json(found)
        return
    rows = []
    for row in found:
        seconds = round((row.ended - row.started).total_seconds(), 3) if row.ended else None
        why = (row.error or row.reason).partition("\n")[0]
        rows.append((row.run, row.status, row.started, seconds, row.kind, row.version, why))
    print_table(("run", "status", "started", "seconds", "trigger", "version", "reason or error"), rows)
