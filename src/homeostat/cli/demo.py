"""`homeostat demo`: a year of real flights through the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import JsonOption
from homeostat.cli.output import console, print_json


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
