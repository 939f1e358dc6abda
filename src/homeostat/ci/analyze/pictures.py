"""Small pictures as inline SVG: bars, lines and shares, readable without a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from homeostat.core.text.plain import plain_html as escape

INK, MUTED, BLUE, AMBER, LIGHT = "#1f2933", "#7b8794", "#3b7ea1", "#c77d1e", "#e4e9ee"


class Histogram(NamedTuple):
    """Counts in equally wide bars between two ends."""

    counts: Sequence[float]
    low: float = 0.0
    high: float = 1.0


def bars(
    now: Histogram, *, before: Histogram | None = None, width: int = 180, height: int = 38, title: str = ""
) -> str:
    """A histogram, with the outline of an earlier one over it on a common axis; both show densities."""
    both = [now] if before is None else [now, before]
    low, high = min(one.low for one in both), max(one.high for one in both)
    scale = width / ((high - low) or 1.0)
    top = max([*(density for one in both for density in _densities(one)), 1e-12])

    def left(one: Histogram, place: int) -> float:
        return (one.low - low + place * (one.high - one.low) / len(one.counts)) * scale

    def tall(density: float) -> float:
        return max(density / top * (height - 2), 0.8 if density else 0.0)

    marks = []
    for place, density in enumerate(_densities(now)):
        if not density:
            continue
        x, wide = left(now, place), max(left(now, place + 1) - left(now, place) - 0.8, 0.8)
        marks.append(
            f'<rect x="{x:.1f}" y="{height - tall(density):.1f}" width="{wide:.1f}" height="{tall(density):.1f}" '
            f'fill="{BLUE}"/>'
        )
    if before is not None:
        path = f"M{left(before, 0):.1f} {height}"
        for place, density in enumerate(_densities(before)):
            level = height - tall(density)
            path += f" L{left(before, place):.1f} {level:.1f} L{left(before, place + 1):.1f} {level:.1f}"
        path += f" L{left(before, len(before.counts)):.1f} {height}"
        marks.append(f'<path d="{path}" fill="none" stroke="{AMBER}" stroke-width="1.4"/>')
    return _svg(marks, width, height, title)


def _densities(one: Histogram) -> list[float]:
    wide = (one.high - one.low) / max(1, len(one.counts)) or 1.0
    return [count / (sum(one.counts) or 1) / wide for count in one.counts]


def line(
    values: Sequence[float | None],
    *,
    width: int = 330,
    height: int = 100,
    zero: bool = False,
    labels: tuple[str, str] = ("", ""),
    title: str = "",
    percent: bool = False,
) -> str:
    """A line over equally long steps, broken where there is no value, with the ends of its scale written."""
    present = [value for value in values if value is not None]
    if not present:
        return ""
    low, high = (0.0 if zero else min(present)), max(present)
    span = (high - low) or 1.0
    step = (width - 60) / max(1, len(values) - 1)
    path, pen = "", "M"
    for i, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        path += f"{pen}{i * step:.1f} {8 + (height - 30) * (1 - (value - low) / span):.1f} "
        pen = "L"
    form = "{:.1%}" if percent else "{:,.4g}"
    marks = [
        f'<line x1="0" y1="{height - 18}" x2="{width - 60}" y2="{height - 18}" stroke="{LIGHT}"/>',
        f'<path d="{path}" fill="none" stroke="{BLUE}" stroke-width="1.8" stroke-linejoin="round"/>',
        _text(width - 54, 13, form.format(high)),
        _text(width - 54, height - 19, form.format(low)),
        _text(0, height - 4, labels[0]),
        _text(width - 60, height - 4, labels[1], "end"),
    ]
    return _svg(marks, width, height, title)


def share(value: float, *, width: int = 70, color: str = BLUE) -> str:
    """A bar filled to a share (0..1)."""
    full = max(0.0, min(1.0, value)) * width
    marks = [
        f'<rect x="0" y="2" width="{width}" height="8" rx="2" fill="{LIGHT}"/>',
        f'<rect x="0" y="2" width="{full:.1f}" height="8" rx="2" fill="{color}"/>',
    ]
    return _svg(marks, width, 12, f"{value:.1%}")


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{MUTED}" font-size="11">{escape(text)}</text>'


def _svg(marks: Sequence[str], width: int, height: int, title: str) -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<svg role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}">{told}{"".join(marks)}</svg>'
    )
