"""`homeostat replay`: retraining policies over your own history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, StoreOption, open_loop
from homeostat.cli.output import cell, print_json, print_table, progress, say

if TYPE_CHECKING:
    import polars as pl

    from homeostat.core.store import Store
    from homeostat.engine.replay import Replay
    from homeostat.loop import Loop


def replay(
    block: Annotated[str, typer.Option(help="How often policies look and decide.")] = "7d",
    warmup: Annotated[str, typer.Option(help="What trains the first model: a share as 0.2, or a time as 60d.")] = "0.2",
    picture: Annotated[Path | None, typer.Option(metavar="PATH", help="Draw it here (.svg, .png, .pdf).")] = Path(
        "replay.svg"
    ),
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Try retraining policies on your own history.

    What would never, periodic, volume, drift and performance policies have gained and cost? The same decisions as live,
    on a virtual clock.
    """
    from homeostat.engine.replay import replay as play
    from homeostat.engine.views.replay_picture import check, draw

    if picture is not None:
        check(picture)
    opened, declared = open_loop(store, loop, create=True)
    rows = _history(opened, declared, quiet=as_json)
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


def _history(store: Store, loop: Loop, *, quiet: bool) -> pl.DataFrame:
    """Every row that the loop's table holds, after what is new at the source was taken in."""
    from homeostat.ci.admit import schema_of
    from homeostat.ci.collect import collect
    from homeostat.core.clock import SystemClock

    table = store.table(loop.name, "rows", loop.source.spec)
    with progress("collect", quiet=quiet) as bar:
        accepted = schema_of(store, loop.name)
        collect(loop.source, table, store.ledger, loop.name, SystemClock(), progress=bar, accepted=accepted)
    return table.read()


def _share(warmup: str) -> str | float:
    try:
        return float(warmup)
    except ValueError:
        return warmup


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
