"""What must be, what is, and the table that says so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """One requirement.

    Attributes:
        what: What is compared with what.
        must: The requirement, as one would say it.
        figure: What was measured, as one would say it; empty when it could not be.
        met: Whether it holds; None when it was not measured.
    """

    what: str
    must: str
    figure: str
    met: bool | None

    @property
    def word(self) -> str:
        """`met`, `missed` or `not measured`."""
        return "not measured" if self.met is None else "met" if self.met else "missed"


def at_least(what: str, figure: float | None, must: float, unit: str = "x") -> Verdict:
    """A figure that must be high; None when it was not measured."""
    return _verdict(what, f"≥ {_said(must, unit)}", figure, unit, None if figure is None else figure >= must)


def at_most(what: str, figure: float | None, must: float, unit: str = "x") -> Verdict:
    """A figure that must be low; None when it was not measured."""
    return _verdict(what, f"≤ {_said(must, unit)}", figure, unit, None if figure is None else figure <= must)


def report(verdicts: Iterable[Verdict]) -> str:
    """The table."""
    lines = [f"{'':72}{'must':>10}{'is':>10}  verdict"]
    lines += [f"{one.what:72}{one.must:>10}{one.figure:>10}  {one.word}" for one in verdicts]
    return "\n".join(lines)


def rates(title: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """What each contestant did, and what it cost: processor time of the server a request, share of the load's core."""
    lines = [f"{title:34}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'load':>7}"]
    lines += [
        f"  {name:32}{one['rate']:12,.0f}{one['p50_ms']:9.2f}{one['p99_ms']:9.2f}"
        f"{one.get('cpu_us', math.nan):9.1f}{one['busy']:7.0%}"
        for name, one in sorted(found.items(), key=lambda pair: -pair[1]["rate"])
    ]
    return "\n".join(lines)


def plain(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """The verdicts as JSON holds them."""
    return [asdict(one) | {"verdict": one.word} for one in verdicts]


def _verdict(what: str, must: str, figure: float | None, unit: str, met: bool | None) -> Verdict:
    return Verdict(what, must, "" if figure is None else _said(figure, unit), met)


def _said(figure: float, unit: str) -> str:
    if unit == "%":
        return f"{figure:.0%}"
    if unit == "":
        return f"{figure:,.0f}"
    number = f"{figure:.2f}" if figure < 10 else f"{figure:.1f}" if figure < 100 else f"{figure:,.0f}"
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number}{unit}" if unit == "x" else f"{number} {unit}"
