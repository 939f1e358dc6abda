"""A progress bar for the terminal that keeps quiet about runs that are over at once."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

_QUIET_SECONDS = 1.0


@contextmanager
def progress_bar(
    console: Console | None = None, *, after: float = _QUIET_SECONDS
) -> Iterator[Callable[[str, int, int, str], None]]:
    """A callback for `Pipeline.run(progress=...)` that draws a bar once `after` seconds have passed.

    Args:
        console: Where to draw; standard error when left out. Nothing is drawn where it is no terminal.
        after: Seconds before the bar appears.

    Example:
        >>> with progress_bar() as progress:
        ...     progress("train", 3, 5, "started")
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("", total=None)
    running: dict[str, None] = {}

    def tell(step: str, done: int, total: int, outcome: str) -> None:
        if outcome == "started":
            running[step] = None
        else:
            running.pop(step, None)
        bar.update(task, completed=done, total=total, description=", ".join(running))

    timer = threading.Timer(after, bar.start)
    timer.daemon = True
    if console.is_terminal:
        timer.start()
    try:
        yield tell
    finally:
        timer.cancel()
        if bar.live.is_started:
            bar.stop()
