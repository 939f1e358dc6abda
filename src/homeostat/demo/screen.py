"""What the demo shows in the terminal: a progress bar in virtual time, decisions as they are made, and the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from homeostat.core import events as ev

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from homeostat.core.ledger import Recorded
    from homeostat.demo.figures import Figures, Line
    from homeostat.demo.play import Played
    from homeostat.demo.story import Story

HEADS = (
    "month",
    "flights",
    "late",
    "loop",
    "frozen",
    "gain",
    "persistence",
    "log loss: loop",
    "frozen",
    "answered by",
)
"""Of the table of months."""

_WIDTH_OF_A_PIPE = 160
_LOOKS = {
    "retrain": "bold blue",
    "asked": "bold magenta",
    "refused": "bold red",
    "shadow": "cyan",
    "canary": "bold cyan",
    "promoted": "bold green",
    "rolled back": "bold red",
    "kept": "yellow",
    "notified": "yellow",
    "stopped": "bold red",
}


def console() -> Console:
    """Standard output, wide enough not to fold when it is a pipe."""
    plain = Console(highlight=False, emoji=False)
    return plain if plain.is_terminal else Console(highlight=False, emoji=False, width=_WIDTH_OF_A_PIPE)


def word(decided: ev.Decided) -> str | None:
    """What a decision did, in one word; None when it kept everything as it was."""
    match decided.action, decided.about:
        case "keep", "candidate":
            return "refused"
        case "keep", _:
            return "kept" if decided.fired else "refused" if decided.about == "request" else None
        case "retrain", "request":
            return "asked"
        case "deploy", about:
            return "canary" if about == "trial" else "shadow"
        case action, _:
            return {"promote": "promoted", "roll_back": "rolled back", "stop": "stopped", "notify": "notified"}.get(
                action, action
            )


class Screen:
    """The audience that draws."""

    def __init__(self, story: Story, out: Console) -> None:
        self._story, self._out, self._month = story, out, ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[rows]:>9,} answers"),
            TimeElapsedColumn(),
            console=out,
            transient=True,
            disable=not out.is_terminal,
        )
        whole = (story.end - story.start).total_seconds()
        self._task = self._bar.add_task("", total=whole, rows=0)

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop drawing."""
        self._bar.stop()

    def stage(self, what: str) -> None:
        """See `Audience`."""
        self._bar.update(self._task, description=f"{what} …")
        if not self._out.is_terminal:
            self._out.print(Text(f"{what} …", style="dim"))

    def moment(self, now: datetime, rows: int) -> None:
        """See `Audience`."""
        passed = (now - self._story.start).total_seconds()
        self._bar.update(self._task, description=f"[bold]{now:%a %d %b %Y}[/]", completed=passed, rows=rows)

    def decided(self, recorded: Recorded) -> None:
        """See `Audience`."""
        event = recorded.event
        assert isinstance(event, ev.Decided)
        did = word(event)
        if did is None:
            return
        month = f"{recorded.time:%B %Y}"
        if month != self._month:
            self._month = month
            self._out.rule(Text(month, style="dim"), style="dim", align="left")
        who = f"{event.evidence['user']}: " if did == "asked" else ""
        line = Table.grid(padding=(0, 1))
        for width in (12, 6, 12):
            line.add_column(width=width, no_wrap=True)
        line.add_column()
        when = Text(f"{recorded.time:%d %b %H:%M}", style="dim")
        did_so = Text(did, style=_LOOKS.get(did, "bold"))
        line.add_row(when, Text(f"@{recorded.seq}", style="dim"), did_so, Text(who + event.reason))
        self._out.print(line)


def opening(story: Story, out: Console) -> None:
    """Say what will be seen."""
    out.print(Text("Homeostat: a year of real flights through one closed loop", style="bold"))
    out.print(
        "Will a flight out of New York arrive more than 15 minutes late? What was scheduled before "
        f"{story.start:%d %B %Y} trains the first model; until {story.end:%d %B %Y} flights are asked about over "
        "HTTP, and each label is posted when the flight lands.\n"
    )


def closing(figures: Figures, played: Played, folder: Path, report: Path, out: Console) -> None:
    """Say what came of it."""
    out.print()
    out.print(_months(figures))
    if figures.broken:
        out.print(_broken(figures))
    total = figures.total
    better = Text(f"The loop's ROC AUC is {total.gain:+.4f} against its own first model, never renewed", style="bold")
    out.print(
        better.append(f" ({total.loop or 0:.4f} and {total.frozen or 0:.4f}, on {total.rows:,} labelled flights).")
    )
    spent = ", ".join(f"{what} {seconds:.0f} s" for what, seconds in played.seconds.items())
    out.print(
        f"{played.requests:,} requests, {len(played.score):,} answers; {sum(played.seconds.values()):.0f} s: {spent}"
    )
    out.print(f"\nReport with pictures  {report}\nStore and loop.py     {folder}\n\nAsk on:")
    for command, what in _commands(figures, folder):
        out.print(Text(f"  {command:<34}", style="bold").append(what, style="dim"))


def _commands(figures: Figures, folder: Path) -> list[tuple[str, str]]:
    broken = [(f"homeostat why {one.version}", f"what became of {one.user}'s candidate") for one in figures.broken[:1]]
    last = max(figures.total.versions, default=1)
    return [
        (f"cd {folder}", ""),
        ("homeostat versions", "every model that was trained, with its gates"),
        (f"homeostat why {last}", f"why version {last} was trained and promoted"),
        *broken,
        ("homeostat why @12", "or any other number above"),
        ("homeostat verify", "check the hash chain of the ledger"),
    ]


def _months(figures: Figures) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title="ROC AUC by month", title_justify="left", title_style="bold"
    )
    for place, head in enumerate(HEADS):
        table.add_column(head, justify="left" if place in {0, len(HEADS) - 1} else "right")
    for line in figures.months:
        table.add_row(*_cells(line))
    table.add_section()
    table.add_row(*_cells(figures.total), style="bold")
    return table


def _cells(line: Line) -> list[Any]:
    gain = Text(f"{line.gain:+.3f}", style="green" if line.gain > 0.001 else "red" if line.gain < -0.001 else "")
    versions = ", ".join(f"v{one}" for one in line.versions)
    if len(line.versions) > 4:
        versions = f"{len(line.versions)} versions"
    return [
        line.label,
        f"{line.rows:,}",
        f"{line.late:.0%}",
        number(line.loop),
        number(line.frozen),
        gain,
        number(line.persistence),
        number(line.loop_loss),
        number(line.frozen_loss),
        versions,
    ]


def _broken(figures: Figures) -> Table:
    title = "Broken candidates, pushed by hand"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for head in ("version", "pushed", "what they said", "test AUC", "gates", "trial", "answers (of allowed)"):
        table.add_column(head, overflow="fold")
    for one in figures.broken:
        answers = f"{one.answered:,} ({one.share:.1%} of {one.allowed:.0%})"
        trial = one.trial.partition(":")[0]
        gates = "all passed" if one.refused_by == () else f"refused by {', '.join(one.refused_by)}"
        table.add_row(f"v{one.version}", f"{one.at} {one.user}", one.reason, number(one.test), gates, trial, answers)
    return table


def number(value: float | None) -> str:
    """Three decimals, or a dash."""
    return "-" if value is None else f"{value:.3f}"
