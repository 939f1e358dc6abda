"""`homeostat package`: what other machines need to run the server."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import JsonOption
from homeostat.cli.output import print_json, say


class What(str, Enum):  # noqa: UP042 - typer shows the values of such an enumeration
    """What can be packaged."""

    serve = "serve"


def package(
    what: Annotated[What, typer.Argument(metavar="serve", help="What to package: the server.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")] = Path("deploy"),
    loop: Annotated[
        Path | None,
        typer.Option("--loop", "-l", metavar="PATH", help="A loop's file to take along, for models with features()."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Server processes that answer at the port.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a Dockerfile, a systemd unit and a page.

    The server of every promoted model: pinned versions, no root, health checks, a stop that loses nothing.
    """
    from homeostat.cd.package import write_package
    from homeostat.core.errors import NotFoundError

    if loop is not None and not loop.is_file():
        raise NotFoundError(f"there is no file {loop}", hint="name the loop's file, or leave --loop out")
    written = write_package(out, loop=loop, workers=workers, force=force)
    if as_json:
        print_json({"what": what.value, "files": [str(path) for path in written]})
        return
    for path in written:
        say(path)
    say(f"next: read {out / 'README.md'}")
