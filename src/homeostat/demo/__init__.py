"""The demo: a year of real flights played as live traffic to a loop that keeps its own model in shape."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from homeostat.demo.figures import Figures
    from homeostat.demo.story import Story

FOLDER = "homeostat-demo"


def run_demo(
    *,
    output: Path | None = None,
    port: int = 0,
    fast: bool = False,
    story: Story | None = None,
    out: Console | None = None,
) -> Figures:
    """Play the year 2013 through the whole closed loop, on this machine, and write a report.

    Args:
        output: A folder to make for the results; by default `homeostat-demo`, numbered when it is there already.
        port: Of the server; 0 takes a free one.
        fast: Play eight weeks of every third flight instead.
        story: Play this one.
        out: Where to draw.

    Returns:
        The loop against its own first model, month by month, and what became of the broken candidates.

    Raises:
        RefusedError: The folder is there and is not empty.
        NotFoundError: The flights are not installed.
    """
    from homeostat.core.store import Store
    from homeostat.demo import report, screen
    from homeostat.demo.figures import figures
    from homeostat.demo.play import STORE, play
    from homeostat.demo.story import FAST, YEAR
    from homeostat.loop import load_loop

    story = story or (FAST if fast else YEAR)
    folder = _free(output)
    out = out or screen.console()
    screen.opening(story, out)
    with screen.Screen(story, out) as shown:
        played = play(folder, story, shown, port=port)
        shown.stage("comparing with the frozen first model")
        loop, store = load_loop(folder / "loop.py"), Store.open(folder / STORE)
        found = figures(folder, store, loop, played)
        report.write(folder / "report.html", found, played, store.ledger, loop.name)
    screen.closing(found, played, folder, folder / "report.html", out)
    return found


def _free(output: Path | None) -> Path:
    """The folder to make."""
    from homeostat.core.errors import RefusedError

    if output is not None:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise RefusedError(f"{output} is there already", hint="name a new folder, or remove that one")
        return output
    candidates = (Path(f"{FOLDER}-{number}" if number else FOLDER) for number in range(10_000))
    return next(path for path in candidates if not path.exists())
