"""The verbs of the registry: card, export and import of a version."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import (
    STORE,
    JsonOption,
    LoopOption,
    StoreOption,
    UserOption,
    loop_file,
    loop_name,
    open_ledger,
    who,
)
from homeostat.cli.output import (
    print_json,
    say,
)
from homeostat.core.errors import UserError

VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", help="The version.")]


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
    from homeostat.core.store import Store
    from homeostat.engine.views.card import card_of, to_html, to_markdown

    if out is not None and out.suffix.lower() not in (".html", ".md"):
        raise UserError(f"{out} is no name for a card", hint="--out card.html, or card.md")
    name = loop_name(open_ledger(store), loop)
    made = card_of(Store.open(store, create=False), name, version)
    if out is not None:
        text = to_html(made) if out.suffix.lower() == ".html" else to_markdown(made)
        out.write_text(text, encoding="utf-8")
    if as_json:
        print_json(made)
    elif out is not None:
        say(f"the card of version {version}: {out}")
    else:
        sys.stdout.write(to_markdown(made))  # whose cells are plain already


def export(
    version: VersionArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a version into a folder, to be imported elsewhere."""
    from homeostat.core.store import Store
    from homeostat.engine.registry.transfer import export as write

    name = loop_name(open_ledger(store), loop)
    write(Store.open(store, create=False), name, version, folder)
    if as_json:
        print_json({"loop": name, "version": version, "folder": str(folder)})
    else:
        say(f"version {version} of {name} is in {folder}; `homeostat import {folder}` registers it elsewhere")


def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `homeostat export` wrote.")],
    loop: Annotated[
        str | None,
        typer.Option("--loop", "-l", metavar="PATH", help="The loop's file, where features() is needed."),
    ] = None,
    vouch: Annotated[
        str | None,
        typer.Option("--vouch", metavar="REASON", help="Let the gates count that its sender ran; recorded, with you."),
    ] = None,
    user: UserOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Register an exported version in this store, making the store when there is none.

    Golden requests and the comparison with this machine are asked anew. What other gates said elsewhere is only
    recorded: with --loop they run on this store's rows, with --vouch you answer for them, and else the version waits
    as a candidate. The first version that passes is the champion.
    """
    from homeostat.core.clock import SystemClock
    from homeostat.core.ledger import unproven
    from homeostat.core.store import Store
    from homeostat.engine.registry.transfer import Vouched, take_in
    from homeostat.loop import load_loop

    declared = load_loop(loop_file(loop)) if loop is not None else None
    features = declared.features if declared is not None else None
    trusted = declared.trusted_types if declared is not None else ()
    target = declared.target if declared is not None else None
    opened = Store.open(store)
    if vouch is not None and not vouch.strip():
        raise UserError("--vouch is blank", hint="it is recorded with the version: --vouch TEXT")
    vouched = Vouched(who(user), vouch.strip()) if vouch is not None else None
    event = take_in(
        opened,
        folder,
        features,
        now=SystemClock().now(),
        target=target,
        trusted=trusted,
        declared=declared,
        vouched=vouched,
    )
    row = opened.ledger.version(event.loop, event.version)
    if as_json:
        print_json({"loop": event.loop, "version": event.version, "state": row.state, "gates": event.gates})
        return
    say(f"version {event.version} of {event.loop} is registered: {row.state}")
    for gate in event.gates:
        if not gate.passed:
            say(f"  {'waits' if unproven.is_unproven(event.gates) else 'refused by ' + gate.gate}: {gate.reason}")
