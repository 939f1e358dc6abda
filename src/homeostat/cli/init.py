"""The verb init: a loop.py for a table, with the reason for everything that it declares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.cli.options import (
    LOOP_FILE,
    JsonOption,
)
from homeostat.cli.output import (
    print_json,
    progress,
    say,
)
from homeostat.core.errors import DataError, LoopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    from homeostat.connect import FileSource
    from homeostat.engine.scaffold.guess import Guess

_COLUMN = "COLUMN"
_UNKNOWN = "(which column is the time is not known yet)"
_SEPARATORS = (";", "\t", "|", ",")


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
    given: dict[str, tuple[Any, Any]] = {
        "separator": (separator, ","),
        "text": (text, None),
        "decimal": (decimal, "."),
        "thousands": (thousands, ""),
        "nulls": (null, None),
        "rename": (_renames(rename), {}),
        "ignore": (ignore, None),
        "encoding": (encoding, "utf-8"),
    }
    said = {name: value for name, (value, usual) in given.items() if value != usual}
    if output.exists() and not force:
        raise LoopError(f"{output} is there already", hint="pass --force to replace it, or --output for another name")
    found, told = _looked_at(table, target, said, time, tuple(key or ()), label_time, time_format, quiet=as_json)
    _write(found, table, output)
    _report(found, told, output, as_json=as_json)


def _looked_at(
    table: str,
    target: str,
    said: dict[str, Any],
    time: str | None,
    key: tuple[str, ...],
    label_time: str | None,
    time_format: str | None,
    *,
    quiet: bool,
) -> tuple[Guess, list[str]]:
    """What the files seem to mean, and what of them was not taken as it is."""
    from homeostat.core.clock import SystemClock
    from homeostat.engine.scaffold.guess import guess
    from homeostat.engine.scaffold.survey import survey

    told: list[str] = []
    source, declared = _source(table, said)
    named = tuple(name for name in (time, label_time) if name is not None)
    try:
        with progress("look", quiet=quiet) as bar:
            seen = survey(_frames(source, bar, told.append), named=named, form=time_format)
    except DataError as error:
        if "=" not in (error.hint or ""):
            raise
        raise type(error)(error.what, hint=f"{error.hint}; `homeostat init` has options of the same names") from error
    found = guess(seen, target, time=time, key=key, label_time=label_time, now=SystemClock().now(), declared=declared)
    return found, told


def _source(table: str, said: dict[str, Any]) -> tuple[FileSource, dict[str, Any]]:
    """The files that are meant, with folders called `key=value` as columns where there are any."""
    from homeostat.connect import FileSource

    plain = FileSource(table, time=_UNKNOWN, **said)
    try:
        plain.files()
    except DataError:
        folders = FileSource(table, time=_UNKNOWN, **said, partitions=True)
        folders.files()
        return folders, said | {"partitions": True}
    return plain, said


def _frames(
    source: FileSource, tell: Callable[[int, int | None, str], None], note: Callable[[str], None]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Name and rows of every file, through the reader that a run uses.

    Raises:
        DataError: A file cannot be read, or has one column only because another character separates them.
    """
    parts = list(source.parts())
    for number, part in enumerate(parts):
        tell(number, len(parts), part.name)
        rows = part.read((), note)
        (only, *others) = rows.columns
        other = next((mark for mark in _SEPARATORS if mark in only), None)
        if other and not others:
            what = f"{part.name} has one column only, {only[:60]!r}"
            raise DataError(what, hint=f"is it separated by another character? try --separator {other!r}")
        yield part.name, rows


def _renames(pairs: list[str] | None) -> dict[str, str]:
    """Old names to new ones.

    Raises:
        DataError: A pair has no `=`.
    """
    for pair in pairs or ():
        if "=" not in pair:
            raise DataError(f"--rename {pair} names one column only", hint="write --rename OLD=NEW")
    return dict(pair.rsplit("=", 1) for pair in pairs or ())


def _seen_from(folder: Path, table: str) -> str:
    """The pattern as it is from the folder of the loop's file, where a loop's patterns begin."""
    if Path(table).is_absolute() or folder.resolve() == Path.cwd():
        return table
    return os.path.relpath(table, folder.resolve())


def _write(found: Guess, table: str, output: Path) -> None:
    from homeostat.engine.scaffold.scaffold import render

    text = render(found, _seen_from(output.parent, table))
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LoopError(
            f"{output} cannot be written: {error.strerror}", hint="pass --output for another name"
        ) from error


def _report(found: Guess, told: list[str], output: Path, *, as_json: bool) -> None:
    from homeostat.loop import load_loop

    name = load_loop(output).name
    meanings = ((found.time, "time"), (found.key, "key"), (found.label_time, "label time"))
    told = [*told, *found.notes]
    if as_json:
        facts = {"file": str(output), "loop": name, "target": found.target}
        columns = {what.replace(" ", "_"): {"columns": part.value, "why": part.why} for part, what in meanings}
        declared = {argument: value for argument, (value, _) in found.declared.items()}
        task = {"task": found.task, "task_why": found.task_why}
        print_json({**facts, **task, **columns, "left_out": found.leaks, "declared": declared, "notes": told})
        return
    say(f"wrote {output}: loop {name!r}, {found.task} of {found.target!r} ({found.task_why})")
    for part, what in meanings:
        say(f"  {what}: {', '.join(part.value) or 'none'} ({part.why})")
    for column, share in found.leaks.items():
        say(f"  left out: {column}, which tells the target by itself ({share:.0%})")
    for note in told:
        say(f"  note: {note}")
    say("review it, then: homeostat run")
