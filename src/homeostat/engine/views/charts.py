"""Pictures of what a loop did, as self-contained SVG: quality over time, and who answered.

The same values give the same bytes. Text stays text, so that it is searchable and takes the reader's font.
"""

from __future__ import annotations

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MarkKind = Literal["retrained", "promoted", "rolled_back", "refused", "alarm"]

INK, MUTED, FAINT, PAPER = "#1f2933", "#7b8794", "#e4e9ee", "#ffffff"
PALETTE = ("#2f6f9f", "#c77d1e", "#3f8f6b", "#8a5fa8", "#b8484a", "#5b7083", "#a58a2d", "#3b8e9c")
_MARKS: dict[MarkKind, tuple[str, str, str]] = {
    "retrained": ("|", PALETTE[5], "retrained"),
    "promoted": ("^", PALETTE[2], "promoted"),
    "rolled_back": ("v", PALETTE[4], "rolled back"),
    "refused": ("x", PALETTE[4], "refused"),
    "alarm": ("o", PALETTE[1], "alarm"),
}
_FONT = "Inter, 'Segoe UI', Helvetica, Arial, sans-serif"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "homeostat",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
_WIDTH = 9.6
_MOST_DOTS = 60


class Mark(msgspec.Struct, frozen=True):
    """Something that happened: a mark below the time axis, with a word where one is given."""

    time: datetime
    kind: MarkKind
    label: str = ""


def lines(
    series: Mapping[str, Sequence[tuple[datetime, float | None]]],
    *,
    title: str,
    unit: str = "",
    marks: Sequence[Mark] = (),
    between: tuple[str, str] | None = None,
) -> str:
    """Values over time, one line for each name, with what happened marked below.

    Args:
        series: Name to points in order of time; None breaks the line. The first is drawn boldest.
        title: One sentence: what is to be seen.
        unit: What the values are.
        marks: Events.
        between: Two names; the area between them is shaded, so that the gain is seen.

    Returns:
        SVG, without an XML header, to stand in a page.
    """

    def draw(figure: Figure) -> None:
        upper, lower = _panels(figure, marks)
        ends = {}
        for place, (name, points) in enumerate(series.items()):
            colour = PALETTE[place % len(PALETTE)] if place == 0 or len(series) > 2 else MUTED
            upper.plot(
                [time for time, _ in points],  # type: ignore[arg-type]
                [_gap(value) for _, value in points],
                color=colour,
                linewidth=1.7 if place else 2.6,
                marker="o" if len(points) <= _MOST_DOTS else None,
                markersize=3.5 if place else 4.5,
                zorder=3 if place else 4,
            )
            known = [(time, value) for time, value in points if value is not None]
            if known:
                ends[name] = (*known[-1], colour)
        if between is not None:
            _shade(upper, dict(series[between[0]]), dict(series[between[1]]))
        _finish(upper, title, up=unit)
        _name_ends(upper, ends)
        if lower is not None:
            _draw_marks(lower, marks)
        _months(lower or upper)

    return _svg(draw, 3.6 + _height(marks))


def shares(
    changes: Sequence[tuple[datetime, Mapping[int, float]]], end: datetime, *, title: str, marks: Sequence[Mark] = ()
) -> str:
    """Which version answered what share of the traffic, from each change to the next.

    Args:
        changes: When the traffic was divided anew, in order, and the share (0..1) of each version from then on.
        end: Until when the last division held.
        title: One sentence.
        marks: Events.
    """

    def draw(figure: Figure) -> None:
        upper, lower = _panels(figure, marks, height=1.8)
        for start, stop, division in _stretches(changes, end):
            base = 0.0
            for version, share in sorted(division.items()):
                colour = PALETTE[version % len(PALETTE)]
                upper.fill_between([start, stop], base, base + share, color=colour, linewidth=0, alpha=0.85)  # type: ignore[arg-type]
                base += share
        for version, start, stop in _reigns(changes, end):
            middle = start + (stop - start) / 2
            upper.annotate(f"v{version}", (middle, 0.5), color=PAPER, ha="center", va="center", weight="bold")
        if changes:
            upper.set_xlim(changes[0][0], end)  # type: ignore[arg-type]
        upper.set_ylim(0, 1)
        upper.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        _finish(upper, title, up="share of answers")
        if lower is not None:
            _draw_marks(lower, marks)
        _months(lower or upper)

    return _svg(draw, 2.2 + _height(marks))


def _stretches(
    changes: Sequence[tuple[datetime, Mapping[int, float]]], end: datetime
) -> Iterator[tuple[datetime, datetime, Mapping[int, float]]]:
    for place, (start, division) in enumerate(changes):
        yield start, changes[place + 1][0] if place + 1 < len(changes) else end, division


def _reigns(
    changes: Sequence[tuple[datetime, Mapping[int, float]]], end: datetime
) -> Iterator[tuple[int, datetime, datetime]]:
    """Stretches long enough to be labelled in which one version answered most."""
    if not changes:
        return
    whole = end - changes[0][0]
    current: tuple[int, datetime] | None = None
    for start, stop, division in _stretches(changes, end):
        leader = max(division, key=lambda version: division[version])
        if current is None or current[0] != leader:
            current = (leader, start)
        following = next((later for later in changes if later[0] >= stop), None)
        over = following is None or max(following[1], key=lambda version: following[1][version]) != leader
        if over and stop - current[1] > whole * 0.04:
            yield leader, current[1], stop


def _height(marks: Sequence[Mark]) -> float:
    """Inches that the rows of events take."""
    return 0.26 * len({mark.kind for mark in marks}) + 0.1 * bool(marks)


def _panels(figure: Figure, marks: Sequence[Mark], height: float = 3.2) -> tuple[Axes, Axes | None]:
    if not marks:
        return figure.subplots(), None
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(height, _height(marks)))
    return upper, lower


def _finish(axes: Axes, title: str, *, up: str = "") -> None:
    axes.set_title(title, loc="left", fontsize=12.5, color=INK, pad=14, weight="bold")
    axes.set_ylabel(up, fontsize=9)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _months(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=12)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]


def _name_ends(axes: Axes, ends: dict[str, tuple[datetime, float, str]]) -> None:
    """Write each line's name at its end, apart from each other, instead of a legend."""
    if not ends:
        return
    low, high = axes.get_ylim()
    apart, above = (high - low) * 0.07, float("-inf")
    for name, (time, value, colour) in sorted(ends.items(), key=lambda item: item[1][1]):
        above = max(value, above + apart)
        text = f"{name}  {value:#.3g}"
        axes.annotate(text, (time, above), (8, 0), textcoords="offset points", color=colour, va="center", weight="bold")


def _shade(axes: Axes, first: Mapping[datetime, float | None], second: Mapping[datetime, float | None]) -> None:
    times = [time for time in first if first[time] is not None and second.get(time) is not None]
    axes.fill_between(times, [first[t] for t in times], [second[t] for t in times], color=PALETTE[0], alpha=0.12)  # type: ignore[arg-type]


def _draw_marks(axes: Axes, marks: Sequence[Mark]) -> None:
    """One row for each kind of event that happened, so that they never cover each other."""
    kinds = [kind for kind in _MARKS if any(mark.kind == kind for mark in marks)]
    for row, kind in enumerate(kinds):
        shape, colour, _ = _MARKS[kind]
        times = [mark.time for mark in marks if mark.kind == kind]
        axes.scatter(times, [row] * len(times), marker=shape, color=colour, s=42, linewidths=1.6)  # type: ignore[arg-type]
        for mark in marks:
            if mark.kind == kind and mark.label:
                at = (mark.time, row)
                axes.annotate(mark.label, at, (6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(kinds)), [_MARKS[kind][2] for kind in kinds], fontsize=9)
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.spines[:].set_visible(False)
    axes.grid(color=FAINT, linewidth=0.8, axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _gap(value: float | None) -> float:
    return float("nan") if value is None else value


def _svg(draw: Callable[[Figure], None], height: float) -> str:
    """Run a drawing in our style and give back the SVG element alone."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained", facecolor=PAPER)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :].replace("'DejaVu Sans'", _FONT)
