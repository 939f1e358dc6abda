"""The verbs that run the loop: up (on the real clock) and replay (over history)."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.cli.options import (
    STORE,
    JsonOption,
    LoopFileOption,
    StoreOption,
    loop_file,
)
from homeostat.cli.output import (
    cell,
    console,
    print_json,
    print_table,
    progress,
    say,
    styled,
)
from homeostat.core.text.plain import plain_json

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from homeostat.core.ledger import Recorded
    from homeostat.engine.live.live import Live
    from homeostat.engine.replay import Replay
    from homeostat.loop import Loop

_GLANCE_SECONDS = 0.1
_STYLES = {"promote": "bold green", "roll_back": "bold red", "stop": "bold red", "retrain": "bold", "deploy": "cyan"}


def up(
    host: Annotated[
        str, typer.Option(help="The address to listen at; others than loopback are open to the network.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Server processes that answer at that port.")] = 1,
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Run the loop: serve, watch, retrain, promote.

    Until Ctrl-C. Every decision is printed as it is made; after a stop or a crash the next start goes on from there.
    """
    from homeostat.core.store import Store
    from homeostat.engine.live.live import Live
    from homeostat.loop import load_loop

    declared = load_loop(loop_file(loop))
    shown: dict[str, Any] = {"url": None, "greeted": False}

    def tell(recorded: Recorded) -> None:
        _greet(declared.name, shown, as_json=as_json)
        _announce(live, shown, as_json=as_json)
        _tell(recorded, as_json=as_json)

    live = Live(Store.open(store), declared, host=host, port=port, workers=workers, on_decision=tell)
    ask = _asker(live)
    before = {ending: signal.signal(ending, ask) for ending in (signal.SIGTERM, signal.SIGINT)}
    try:
        with live:
            _greet(declared.name, shown, as_json=as_json)
            _announce(live, shown, as_json=as_json)
            if not as_json and console(stderr=True).is_terminal:
                _watch_first_training(live)
            live.run()
    except KeyboardInterrupt:
        pass
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
    if not as_json:
        say("stopped; the next `homeostat up` goes on from here")


def replay(
    block: Annotated[str, typer.Option(help="How often policies look and decide.")] = "7d",
    warmup: Annotated[str, typer.Option(help="What trains the first model: a share as 0.2, or a time as 60d.")] = "0.2",
    picture: Annotated[Path | None, typer.Option(metavar="PATH", help="Draw it here (.svg, .png, .pdf).")] = Path(
        "replay.svg"
    ),
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Try retraining policies on your own history.

    What would never, periodic, volume, drift and performance policies have gained and cost? The same decisions as live,
    on a virtual clock.
    """
    from homeostat.cli.picture import check, draw
    from homeostat.engine.replay import replay as play
    from homeostat.loop import load_loop

    if picture is not None:
        check(picture)
    declared = load_loop(loop_file(loop))
    rows = _history(declared, store, quiet=as_json)
    with progress("replay", quiet=as_json) as bar:
        found = play(declared, rows, block=block, warmup=_share(warmup), progress=bar)
    if picture is not None:
        draw(found, picture)
    if as_json:
        print_json(found)
        return
    _print_replay(found)
    if picture is not None:
        say(f"picture: {picture}")


def _history(declared: Loop, store: Path, *, quiet: bool) -> pl.DataFrame:
    """Every row that the loop's table holds, after what is new at the source was taken in."""
    from homeostat.ci.admit import schema_of
    from homeostat.ci.collect import collect
    from homeostat.core.clock import SystemClock
    from homeostat.core.store import Store

    opened = Store.open(store)
    table = opened.table(declared.name, "rows", declared.source.spec)
    with progress("collect", quiet=quiet) as bar:
        accepted = schema_of(opened, declared.name)
        collect(declared.source, table, opened.ledger, declared.name, SystemClock(), progress=bar, accepted=accepted)
    return table.read()


def _share(warmup: str) -> str | float:
    try:
        return float(warmup)
    except ValueError:
        return warmup


def _print_replay(found: Replay) -> None:
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


def _asker(live: Live) -> Callable[[int, object], None]:
    """What a signal does: the first lets the step in hand end, so that no transaction is torn; a second does not."""

    def ask(_signal: int, _frame: object) -> None:
        if live.halting:
            raise KeyboardInterrupt
        live.halt()

    return ask


def _greet(name: str, shown: dict[str, Any], *, as_json: bool) -> None:
    if not shown["greeted"] and not as_json:
        say(f"loop {name!r} is up; decisions appear here, Ctrl-C stops it", flush=True)
    shown["greeted"] = True


def _watch_first_training(live: Live) -> None:
    """What `Live.run` does, with a progress bar, until there is a model that can be served."""
    from homeostat.core.clock import pause
    from homeostat.core.errors import RetryableError
    from homeostat.core.events import StepFinished
    from homeostat.loop.steps import STEPS

    ledger, name = live.store.ledger, live.loop.name
    with progress("first training") as bar:
        while not live.halting:
            try:
                state = live.step()
            except RetryableError:
                return
            if state.champion is not None or state.inflight is None:
                return
            newest = ledger.runs(name)[:1]
            steps = [one.event for one in ledger.steps(newest[0].run)] if newest else []
            done = [one.step for one in steps if isinstance(one, StepFinished)]
            bar(len(done), len(STEPS), f"first training: {done[-1]}" if done else None)
            pause(_GLANCE_SECONDS)


def _announce(live: Live, shown: dict[str, Any], *, as_json: bool) -> None:
    url = live.server.url
    if url is None or url == shown["url"]:
        return
    shown["url"] = url
    if as_json:
        print_line({"serving": url})
    else:
        say(f"serving at {url}  (POST {url}/predict, POST {url}/labels, GET {url}/metrics)", flush=True)


def _tell(recorded: Recorded, *, as_json: bool) -> None:

    from homeostat.core.events import Decided

    if as_json:
        print_line(recorded)
        return
    event = recorded.event
    assert isinstance(event, Decided)
    style = _STYLES.get(event.action, "") if event.fired else "dim"
    line = styled(f"{recorded.time:%Y-%m-%d %H:%M:%S} @{recorded.seq} ", style="dim")
    line = line.append(f"{event.action.replace('_', ' ')}: ", style=style).append_text(styled(event.reason, style))
    console().print(line, soft_wrap=True)


def print_line(facts: Any) -> None:
    """One line of JSON, at once."""
    import msgspec

    sys.stdout.write(plain_json(msgspec.json.encode(facts, order="sorted").decode()) + "\n")
    sys.stdout.flush()
