"""`homeostat export`: a version as a folder, to be imported elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import STORE, JsonOption, LoopOption, StoreOption, VersionArgument, open_named
from homeostat.cli.output import print_json, say


def export(
    version: VersionArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a version into a folder, to be imported elsewhere."""
    from homeostat.engine import requests

    made = requests.export_version(*open_named(store, loop), version, folder)
    if as_json:
        print_json(made)
    else:
        say(f"version {version} of {made.loop} is in {folder}; `homeostat import {folder}` registers it elsewhere")
