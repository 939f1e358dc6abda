"""`homeostat why`: the reason behind anything that the ledger knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.options import STORE, JsonOption, LoopOption, StoreOption, open_named
from homeostat.cli.output import console, print_json, styled

if TYPE_CHECKING:
    from homeostat.engine.views.why import Why

_WHAT = "A version (17), a run id or its beginning, RUN/STEP, an event (@412), or 'last' for the newest decision."


def why(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=_WHAT)] = "last",
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Why did this happen, or not happen?"""
    from homeostat.engine.views.why import why as explain

    opened, name = open_named(store, loop)
    answer = explain(opened.ledger, name, what)
    if as_json:
        print_json(answer)
    else:
        _print(answer)


def _print(answer: Why) -> None:
    from rich.table import Table

    out = console()
    out.print(styled(answer.subject, style="bold"))
    out.print(styled(answer.answer))
    if answer.because:
        out.print()
        for line in answer.because:
            out.print(styled(f"  • {line}"))
    if answer.facts:
        out.print()
        table = Table(box=None, show_header=False, padding=(0, 2))
        for name, value in answer.facts.items():
            table.add_row(styled(name, style="dim"), styled(value))
        out.print(table)
    if answer.cause:
        out.print()
        out.print(styled(f"caused by {answer.cause}"))
    if answer.see:
        out.print(styled("see also: " + ", ".join(f"homeostat why {one}" for one in answer.see), style="dim"))
