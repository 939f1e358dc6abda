"""`homeostat init`: a loop.py for a table, with the reason for everything that it declares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.cli.options import LOOP_FILE, JsonOption
from homeostat.cli.output import print_json, progress, say
from homeostat.core.errors import DataError, LoopError

if TYPE_CHECKING:
    from homeostat.engine.scaffold.propose import Proposed

_COLUMN = "COLUMN"
_USUAL = {"separator": ",", "decimal": ".", "thousands": "", "encoding": "utf-8"}


def init(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A file, a folder, or a glob in quotes.")],
    target: Annotated[str, typer.Option("--target", "-t", metavar=_COLUMN, help="The column to predict.")],
    time: Annotated[str | None, typer.Option(metavar=_COLUMN, help="When a row happened; guessed if left out.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(metavar=_COLUMN, help="What identifies a row; may be repeated.")
    ] = None,
    label_time: Annotated[
        str | None, typer.Option(metavar=_COLUMN, help="When the target became known; guessed if left out.")
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="How times are written, as in '%m/%d/%Y'; or s, ms, us, ns since 1970."),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(metavar=_COLUMN, help="Stays text although it looks like numbers; repeatable.")
    ] = None,
    null: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="Stands for an unknown value; repeatable.")
    ] = None,
    decimal: Annotated[str, typer.Option(metavar="MARK", help="The decimal mark of CSV files.")] = ".",
    thousands: Annotated[str, typer.Option(metavar="MARK", help="The mark between thousands.")] = "",
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="A column's name and a better one; repeatable.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar=_COLUMN, help="A column that is not taken in; repeatable.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of text files.")] = "utf-8",
    separator: Annotated[str, typer.Option(help="What separates the columns of CSV files.")] = ",",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The file to write.")] = Path(
        LOOP_FILE
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a loop.py for your table.

    It looks at all rows, guesses what the columns mean and how they are written, and writes the reason beside it.
    """
    from homeostat.engine.scaffold.propose import propose_loop

    written: dict[str, Any] = {"separator": separator, "text": text, "decimal": decimal, "thousands": thousands}
    written |= {"nulls": null, "rename": _renames(rename) or None, "ignore": ignore, "encoding": encoding}
    if output.exists() and not force:
        raise LoopError(f"{output} is there already", hint="pass --force to replace it, or --output for another name")
    with progress("look", quiet=as_json) as bar:
        found = propose_loop(
            *(table, output),
            target=target,
            written={name: value for name, value in written.items() if value != _USUAL.get(name)},
            progress=bar,
            time=time,
            key=tuple(key or ()),
            label_time=label_time,
            time_format=time_format,
        )
    (print_json if as_json else _print)(found)


def _renames(pairs: list[str] | None) -> dict[str, str]:
    """Old names to new ones."""
    for pair in pairs or ():
        if "=" not in pair:
            raise DataError(f"--rename {pair} names one column only", hint="write --rename OLD=NEW")
    return dict(pair.rsplit("=", 1) for pair in pairs or ())


def _print(found: Proposed) -> None:
    say(f"wrote {found.file}: loop {found.loop!r}, {found.task} of {found.target!r} ({found.task_why})")
    for what, part in (("time", found.time), ("key", found.key), ("label time", found.label_time)):
        say(f"  {what}: {', '.join(part.columns) or 'none'} ({part.why})")
    for column, share in found.left_out.items():
        say(f"  left out: {column}, which tells the target by itself ({share:.0%})")
    for note in found.notes:
        say(f"  note: {note}")
    say("review it, then: homeostat run")
