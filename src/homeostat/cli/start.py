"""The first verbs that anyone types: demo, init, doctor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.common import LOOP_FILE, STORE, JsonOption, StoreOption, console, print_json, print_table, progress
from homeostat.core.errors import DataError, LoopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

_COLUMN = "COLUMN"
_UNHEALTHY = 2
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
    separator: Annotated[str, typer.Option(help="What separates the columns of CSV files.")] = ",",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The file to write.")] = Path(
        LOOP_FILE
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a loop.py for your table.

    It looks at the rows, guesses what the columns mean, and writes the reason beside every guess.
    """
    from homeostat.cli.guess import guess
    from homeostat.cli.scaffold import render
    from homeostat.cli.survey import survey
    from homeostat.core.clock import SystemClock
    from homeostat.loop import load

    if output.exists() and not force:
        raise LoopError(f"{output} is there already", hint="pass --force to replace it, or --output for another name")
    named = tuple(name for name in (time, label_time) if name is not None)
    with progress("look", quiet=as_json) as bar:
        seen = survey(_frames(table, target, separator, bar), named=named, form=time_format)
    found = guess(seen, target, time=time, key=tuple(key or ()), label_time=label_time, now=SystemClock().now())
    output.write_text(render(found, _seen_from(output.parent, table), separator), encoding="utf-8")
    name = load(output).name
    meanings = ((found.time, "time"), (found.key, "key"), (found.label_time, "label time"))
    if as_json:
        facts = {"file": str(output), "loop": name, "target": target, "task": found.task, "task_why": found.task_why}
        columns = {what.replace(" ", "_"): {"columns": part.value, "why": part.why} for part, what in meanings}
        print_json({**facts, **columns, "left_out": found.leaks})
        return
    print(f"wrote {output}: loop {name!r}, {found.task} of {target!r} ({found.task_why})")
    for part, what in meanings:
        print(f"  {what}: {', '.join(part.value) or 'none'} ({part.why})")
    for column, told in found.leaks.items():
        print(f"  left out: {column}, which tells the target by itself ({told:.0%})")
    print("review it, then: homeostat run")


def _seen_from(folder: Path, table: str) -> str:
    """The pattern as it is from the folder of the loop's file, where a loop's patterns begin."""
    if Path(table).is_absolute() or folder.resolve() == Path.cwd():
        return table
    return os.path.relpath(table, folder.resolve())


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


def doctor(
    store: StoreOption = STORE,
    loop: Annotated[Path, typer.Option("--loop", "-l", metavar="PATH", help="The loop's file.")] = Path(LOOP_FILE),
    as_json: JsonOption = False,
) -> None:
    """Check machine, store and loop; say what to do.

    Python, SQLite, packages, disk, the store's integrity, locks of dead processes, runs that never ended, the loop.
    """
    from homeostat.cli.checkup import checkup

    with progress("check", quiet=as_json) as bar:
        checks = list(checkup(store, loop, bar))
    if as_json:
        print_json(checks)
    else:
        print_table(
            ("check", "state", "found", "what to do"), [(c.name, c.state, c.found, c.todo or "") for c in checks]
        )
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(_UNHEALTHY)


def _frames(
    table: str, target: str, separator: str, tell: Callable[[int, int | None, str], None]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Name and rows of every file that is meant, through the reader that a run uses.

    Raises:
        DataError: A file cannot be read, or has one column only because another character separates them.
    """
    from homeostat.ci.collect import FileSource
    from homeostat.core.reading import Form, read_file
    from homeostat.core.spec import TableSpec

    spec, form = TableSpec(time="", target=target), Form(separator)
    files = FileSource(table, time="time").files()
    for number, path in enumerate(files):
        tell(number, len(files), path.name)
        rows = read_file(path, spec, form)
        (only, *others) = rows.columns
        other = next((mark for mark in _SEPARATORS if mark in only), None)
        if other and not others:
            what = f"{path} has one column only, {only[:60]!r}"
            raise DataError(what, hint=f"is it separated by another character? try --separator {other!r}")
        yield str(path), rows
