"""`homeostat replay`: retraining policies over your own history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, StoreOption, open_loop
from homeostat.cli.output import cell, print_json, print_table, progress, say

if TYPE_CHECKING:
    from homeostat.ci.backtest import Backtest
    from homeostat.engine.replay import Replay


def replay(
    block: Annotated[str, typer.Option(help="How often policies look and decide.")] = "7d",
    warmup: Annotated[str, typer.Option(help="What trains the first model: a share as 0.2, or a time as 60d.")] = "0.2",
    picture: Annotated[Path | None, typer.Option(metavar="PATH", help="Draw it here (.svg, .png, .pdf).")] = Path(
        "replay.svg"
    ),
    windows: Annotated[
        str | None, typer.Option(metavar="LIST", help="Compare windows to learn from instead: all,30d,90d.")
    ] = None,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Try retraining policies on your own history.

    What would never, periodic, volume, drift and performance policies have gained and cost? The same decisions as live,
    on a virtual clock.
    """
    from homeostat.core.clock import SystemClock
    from homeostat.engine.replay import compare_windows
    from homeostat.engine.replay import replay as play
    from homeostat.engine.training.training import collect_new
    from homeostat.engine.views.replay_picture import check, draw

    if picture is not None and windows is None:
        check(picture)
    opened, declared = open_loop(store, loop, create=True)
    with progress("collect", quiet=as_json) as bar:
        collect_new(opened, declared, SystemClock(), bar)
    rows = opened.table(declared.name, "rows", declared.source.spec).read()
    if windows is not None:
        names = [name.strip() for name in windows.split(",")]
        with progress("replay", quiet=as_json):
            tried = compare_windows(declared, rows, names, every=block, warmup=_share(warmup))
        (print_json if as_json else _print_windows)(tried)
        return
    with progress("replay", quiet=as_json) as bar:
        found = play(declared, rows, block=block, warmup=_share(warmup), progress=bar)
    if picture is not None:
        draw(found, picture)
    if as_json:
        print_json(found)
        return
    _print(found)
    if picture is not None:
        say(f"picture: {picture}")


def _share(warmup: str) -> str | float:
    try:
        return float(warmup)
    except ValueError:
        return warmup


def _print_windows(found: Backtest) -> None:
    rows = [(name, one.value, f"{cell(one.low)} to {cell(one.high)}", one.rows) for name, one in found.reports.items()]
    title = f"learned from, refitted every {found.every} from {found.start:%Y-%m-%d} on"
    print_table(("window", found.metric, "interval", "rows"), rows, title=title)


def _print(found: Replay) -> None:
    metric = found.metric
    columns = ["policy", metric, "interval", "persistence", "kappa_per", "on held-back rows", "loss per row"]
    columns += ["retrains", "training s"]
    rows = [
        (
            *(one.name, one.report.value, f"{cell(one.report.low)} to {cell(one.report.high)}"),
            *(one.report.persistence, one.report.kappa_per, one.held_back.value),
            *(one.loss, one.retrains, round(one.train_seconds, 1)),
        )
        for one in found.results
    ]
    span = f"{found.start:%Y-%m-%d} to {found.end:%Y-%m-%d}"
    print_table(columns, rows, title=f"{found.loop}: {found.rows:,} rows, {span}, decided every {found.block}")
    first = found.results[0].report
    say(
        f"baselines on the same rows: persistence (the last known label) {metric} {cell(first.persistence)}, "
        f"majority {cell(first.majority)}; best policy's kappa_per {cell(first.kappa_per)}"
    )
    say(first.verdict)
    say(found.comparison.verdict)
