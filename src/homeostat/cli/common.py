"""What the verbs share: their options, how they find the store and the loop, and how facts are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.core.errors import LoopError, NotFoundError, UserError
from homeostat.core.plaintext import plain, plain_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from homeostat.core.ledger import Ledger

LOOP_FILE = "loop.py"
STORE = Path(".homeostat")

LoopOption = Annotated[
    str | None,
    typer.Option(
        "--loop", "-l", metavar="PATH", help="The loop's file, ./loop.py by default; or its name in the store."
    ),
]
LoopFileOption = Annotated[
    str | None, typer.Option("--loop", "-l", metavar="PATH", help="The loop's file, ./loop.py by default.")
]
StoreOption = Annotated[Path, typer.Option("--store", "-s", metavar="PATH", help="The folder that holds everything.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def said(option: typer.CallbackParam, given: str | None) -> str | None:
    """What a person gave for the record: who and why are facts, so nothing but blanks is refused."""
    if given is not None and not given.isascii() and given.encode(errors="replace").decode() != given:
        raise UserError(f"--{option.name} is no text: {given!r:.80}", hint="write it in UTF-8")
    if given is not None and not given.strip():
        raise UserError(f"--{option.name} is blank", hint=f"it is recorded with the request: --{option.name} TEXT")
    return given and given.strip()


ReasonOption = Annotated[str, typer.Option("--reason", "-r", callback=said, help="Why; it is recorded.")]
UserOption = Annotated[
    str | None, typer.Option("--user", "-u", callback=said, help="Who asks; your login name by default.")
]

_LARGE, _HUGE = 10_000, 1e15
_WIDTH_OF_A_PIPE = 160


def open_ledger(store: Path) -> Ledger:
    """The ledger of an existing store.

    Raises:
        StoreError: There is none.
    """
    from homeostat.core.store import Store

    return Store.open(store, create=False).ledger


def loop_name(ledger: Ledger, wanted: str | None) -> str:
    """The name of the loop that is meant: the one named, the one declared in a file, or the only one of the store.

    Raises:
        NotFoundError: The store has no such loop, or several and none was named.
    """
    names = ledger.loops()
    if wanted in names:
        return str(wanted)
    if wanted is None and len(names) == 1:
        return names[0]
    file = Path(wanted or LOOP_FILE)
    if file.is_file():
        from homeostat.loop import load_loop

        return load_loop(file).name
    have = ", ".join(names) or "none yet"
    if wanted is not None:
        raise NotFoundError(f"{wanted!r} is neither a file nor a loop of this store", hint=f"loops: {have}")
    if not names:
        raise NotFoundError("nothing has happened in this store yet", hint="`homeostat run` is the first step")
    raise NotFoundError("this store holds several loops", hint=f"choose one with --loop: {have}")


def loop_file(wanted: str | None) -> Path:
    """The file of the loop's declaration.

    Raises:
        LoopError: It is not there.
    """
    file = Path(wanted or LOOP_FILE)
    file = file / LOOP_FILE if file.is_dir() else file
    if not file.is_file():
        raise LoopError(
            f"there is no file {file}", hint="`homeostat init TABLE --target COLUMN` writes one; or --loop PATH"
        )
    return file


def who(user: str | None) -> str:
    """The name to record for a person's request."""
    if user:
        return user
    import getpass

    try:
        return getpass.getuser().strip() or "unknown"
    except (OSError, KeyError, ImportError):
        return "unknown"


def in_charge(ledger: Ledger, loop: str) -> str | None:
    """Which living process has the loop in charge now (`homeostat up`), or None."""
    from homeostat.core.clock import SystemClock
    from homeostat.engine.holder import is_dead

    holder = ledger.lease_holder(f"engine/{loop}", now=SystemClock().now())
    return None if holder is None or is_dead(holder) else holder


def console(*, stderr: bool = False) -> Console:
    """Where tables and progress go; wide enough not to fold when it is a pipe."""
    from rich.console import Console

    plain = Console(stderr=stderr, highlight=False, soft_wrap=False, emoji=False)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDTH_OF_A_PIPE, emoji=False)


def say(text: object = "", *, err: bool = False, end: str = "\n", lines: bool = False, flush: bool = False) -> None:
    """Print text, of which some may come from outside: its control characters are written out.

    Args:
        text: One line.
        err: On standard error.
        end: What follows.
        lines: It has several lines.
        flush: Send it at once.
    """
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
