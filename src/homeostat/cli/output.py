"""How verbs print: lines, tables, JSON and progress, so that a pipe and a terminal both read well."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from homeostat.core.text.plain import plain, plain_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


_LARGE, _HUGE = 10_000, 1e15
_WIDTH_OF_A_PIPE = 160


def console(*, stderr: bool = False) -> Console:
    """Where tables and progress go; wide enough not to fold when it is a pipe."""
    from rich.console import Console

    plain = Console(stderr=stderr, highlight=False, soft_wrap=False, emoji=False)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDTH_OF_A_PIPE, emoji=False)


def say(text: object = "", *, err: bool = False, end: str = "\n", lines: bool = False, flush: bool = False) -> None:
    """Print text, of which some may come from outside: its control characters are written out."""
    print(plain(str(text), lines=lines), end=end, file=sys.stderr if err else sys.stdout, flush=flush)


def styled(text: object, style: str = "") -> Text:
    """Text for Rich, of which some may come from outside: it holds neither markup nor control characters."""
    from rich.text import Text

    return Text(plain(str(text), lines=True), style=style)


def print_json(facts: Any) -> None:
    """One JSON document on standard output, for programs."""
    import msgspec

    sys.stdout.write(plain_json(msgspec.json.format(msgspec.json.encode(facts, order="sorted")).decode()) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """A table on standard output; times in UTC to the second, numbers to the right."""
    from rich import box
    from rich.table import Table

    rows = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        numbers = all(isinstance(row[place], int | float | None) for row in rows)
        table.add_column(styled(column), justify="right" if rows and numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(styled(cell(value)) for value in row))
    out = console()
    if title:
        out.print(styled(title, style="bold"))
    out.print(table)


def print_facts(facts: dict[str, Any]) -> None:
    """Names and values in two columns."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(styled(name, style="bold"), styled(str(value)))
    console().print(table)


def print_line(facts: Any, *, err: bool = False) -> None:
    """One line of JSON, at once."""
    import msgspec

    out = sys.stderr if err else sys.stdout
    out.write(plain_json(msgspec.json.encode(facts, order="sorted").decode()) + "\n")
    out.flush()


def cell(value: Any) -> str:
    """A value as it stands in a table."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case float():
            return f"{value:,.0f}" if _LARGE <= abs(value) < _HUGE else f"{value:.4g}"
        case int():
            return str(value)
        case list() | tuple():
            return ", ".join(map(cell, value))
    return str(value)


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Progressing]:
    """A progress bar on standard error; nothing where that is not a terminal."""
    bar = console(stderr=True)
    if quiet or not bar.is_terminal:
        yield Progressing(None, None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=bar, transient=True, redirect_stdout=sys.stdout.isatty()) as shown:
        yield Progressing(shown, shown.add_task(title, total=None))


class Progressing:
    """Moves a progress bar, or does nothing when there is none."""

    def __init__(self, shown: Any, task: Any) -> None:
        self._shown, self._task = shown, task

    def __call__(self, done: int, total: int | None, what: str | None = None) -> None:
        """Show that `done` of `total` are done, and what is being done."""
        if self._shown is not None:
            from rich.markup import escape

            changes = {"completed": done, "total": total} | ({"description": escape(plain(what))} if what else {})
            self._shown.update(self._task, **changes)
