"""A loop.py for a table: all rows are looked at, the file is written, and its guesses are told with reasons."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.connect import FileSource
from homeostat.core.clock import SystemClock
from homeostat.core.errors import DataError, LoopError
from homeostat.engine.scaffold.guess import Guess, GuessedColumns, guess
from homeostat.engine.scaffold.scaffold import render
from homeostat.engine.scaffold.survey import survey
from homeostat.loop import load_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    Progress = Callable[[int, int | None, str], None]

_UNKNOWN = "(which column is the time is not known yet)"
_SEPARATORS = (";", "\t", "|", ",")


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """A loop.py that was written.

    Attributes:
        left_out: Columns that tell the target by themselves, with how well (0..1).
        declared: How the files are written: the source's arguments.
    """

    file: str
    loop: str
    target: str
    task: str
    task_why: str
    time: GuessedColumns
    key: GuessedColumns
    label_time: GuessedColumns
    left_out: dict[str, float]
    declared: dict[str, Any]
    notes: tuple[str, ...]


def propose_loop(
    table: str, output: Path, *, target: str, written: dict[str, Any], progress: Progress, **columns: Any
) -> Proposed:
    """Look at a table and write a loop.py for it.

    The `time`, `key` and `label_time` of `columns` are guessed where they are empty.

    Raises:
        DataError: The files cannot be read, or do not say what their columns mean.
        LoopError: The file cannot be written.
    """
    notes: list[str] = []
    source, declared = _source(table, written)
    found = _guessed(_frames(source, progress, notes.append), target, declared, **columns)
    _write(found, table, output)
    return Proposed(
        file=str(output),
        loop=load_loop(output).name,
        target=found.target,
        task=found.task,
        task_why=found.task_why,
        time=found.time,
        key=found.key,
        label_time=found.label_time,
        left_out=found.leaks,
        declared={argument: value for argument, (value, _) in found.declared.items()},
        notes=(*notes, *found.notes),
    )


def _guessed(
    frames: Iterator[tuple[str, pl.DataFrame]],
    target: str,
    declared: dict[str, Any],
    *,
    time: str | None,
    key: tuple[str, ...],
    label_time: str | None,
    time_format: str | None,
) -> Guess:
    """What the files seem to mean."""
    named = tuple(name for name in (time, label_time) if name is not None)
    try:
        seen = survey(frames, named=named, form=time_format)
    except DataError as error:
        if "=" not in (error.hint or ""):
            raise
        raise type(error)(error.what, hint=f"{error.hint}; `homeostat init` has options of the same names") from error
    now = SystemClock().now()
    return guess(seen, target, time=time, key=key, label_time=label_time, now=now, declared=declared)


def _source(table: str, written: dict[str, Any]) -> tuple[FileSource, dict[str, Any]]:
    """The files that are meant, with folders called `key=value` as columns where there are any."""
    plain = FileSource(table, time=_UNKNOWN, **written)
    try:
        plain.files()
    except DataError:
        folders = FileSource(table, time=_UNKNOWN, **written, partitions=True)
        folders.files()
        return folders, written | {"partitions": True}
    return plain, written


def _frames(source: FileSource, progress: Progress, note: Callable[[str], None]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Name and rows of every file, through the reader that a run uses.

    Raises:
        DataError: A file cannot be read, or has one column only because another character separates them.
    """
    parts = list(source.parts())
    for number, part in enumerate(parts):
        progress(number, len(parts), part.name)
        rows = part.read((), note)
        (only, *others) = rows.columns
        other = next((mark for mark in _SEPARATORS if mark in only), None)
        if other and not others:
            what = f"{part.name} has one column only, {only[:60]!r}"
            raise DataError(what, hint=f"is it separated by another character? try --separator {other!r}")
        yield part.name, rows


def _write(found: Guess, table: str, output: Path) -> None:
    pattern = table
    if not Path(table).is_absolute() and output.parent.resolve() != Path.cwd():
        pattern = os.path.relpath(table, output.parent.resolve())  # A loop's patterns begin in the folder of its file.
    text = render(found, pattern)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        hint = "pass --output for another name"
        raise LoopError(f"{output} cannot be written: {error.strerror}", hint=hint) from error
