"""`homeostat card`: the model card of a version."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import STORE, JsonOption, LoopOption, StoreOption, VersionArgument, open_named
from homeostat.cli.output import print_json, say
from homeostat.core.errors import UserError


def card(
    version: VersionArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it to a .html or .md file.")
    ] = None,
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Print the model card of a version.

    Data, window, metrics offline and online, slices, calibration, gates, limits, lineage, environment: from the ledger
    and the bundle, with nothing to fill in. As Markdown, or as a page with --out FILE.html.
    """
    from homeostat.engine.views.card import card_of, to_html, to_markdown

    if out is not None and out.suffix.lower() not in (".html", ".md"):
        raise UserError(f"{out} is no name for a card", hint="--out card.html, or card.md")
    made = card_of(*open_named(store, loop), version)
    if out is not None:
        text = to_html(made) if out.suffix.lower() == ".html" else to_markdown(made)
        out.write_text(text, encoding="utf-8")
    if as_json:
        print_json(made)
    elif out is not None:
        say(f"the card of version {version}: {out}")
    else:
        sys.stdout.write(to_markdown(made))  # whose cells are plain already
