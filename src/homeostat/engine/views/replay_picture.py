"""The picture of `homeostat replay`: what each policy lost, block by block, and when it retrained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.core.errors import StoreError

if TYPE_CHECKING:
    from homeostat.engine.replay import PolicyResult, Replay

FORMATS = (".svg", ".png", ".pdf")
_WIDTH, _HEIGHT = 10.0, 6.0


def check(path: Path) -> None:
    """Refuse a picture that could not be written, before the replay that it would show.

    Raises:
        StoreError: Its format is unknown, or its folder is not there.
    """
    if path.suffix.lower() not in FORMATS:
        what = f"the picture {path} has no format that can be drawn"
        raise StoreError(what, hint=f"--picture with one of {', '.join(FORMATS)}")
    if not path.absolute().parent.is_dir():
        raise StoreError(
            f"there is no folder {path.parent} for the picture", hint="make it, or choose another --picture"
        )


def draw(found: Replay, path: Path) -> None:
    """Write the picture of a replay. The ending (.svg, .png, .pdf) chooses the format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    losses, fires = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for place, result in enumerate(found.results):
        colour = f"C{place % 10}"
        starts = [block.start for block in result.blocks]
        losses.plot(starts, _running(result), color=colour, label=result.name)
        fires.scatter(
            [fire.time for fire in result.fires], [place] * len(result.fires), color=colour, marker="|", s=120
        )
    losses.set_title(f"{found.loop}: mean loss per row so far, {found.rows:,} rows in blocks of {found.block}")
    losses.legend(fontsize="small")
    losses.grid(alpha=0.3)
    fires.set_yticks(range(len(found.results)), [result.name for result in found.results], fontsize="small")
    fires.set_title("retrained", fontsize="medium")
    fires.invert_yaxis()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"the picture {path} cannot be written: {error}", hint="choose another --picture") from error


def _running(result: PolicyResult) -> list[float]:
    """Mean loss over all rows up to and with each block."""
    total, rows, means = 0.0, 0, []
    for block in result.blocks:
        total += block.loss * block.rows
        rows += block.rows
        means.append(total / rows if rows else 0.0)
    return means
