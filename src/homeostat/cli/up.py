"""`homeostat up`: the loop on the real clock."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, StoreOption, open_loop
from homeostat.cli.output import console, print_line, progress, say, styled

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.core.ledger import Recorded
    from homeostat.engine.live.live import Live

_GLANCE_SECONDS = 0.1
_STYLES = {"promote": "bold green", "roll_back": "bold red", "stop": "bold red", "retrain": "bold", "deploy": "cyan"}


def up(
    host: Annotated[
        str, typer.Option(help="The address to listen at; others than loopback are open to the network.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Server processes that answer at that port.")] = 1,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Run the loop: serve, watch, retrain, promote.

    Until Ctrl-C. Every decision is printed as it is made; after a stop or a crash the next start goes on from there.
    """
    from homeostat.engine.live.live import Live

    opened, declared = open_loop(store, loop, create=True)
    shown: dict[str, Any] = {"url": None, "greeted": False}

    def show(recorded: Recorded) -> None:
        _greet(declared.name, shown, as_json=as_json)
        _announce(live, shown, as_json=as_json)
        _print_decision(recorded, as_json=as_json)

    live = Live(opened, declared, host=host, port=port, workers=workers, on_decision=show)
    end = _ending(live)
    before = {ending: signal.signal(ending, end) for ending in (signal.SIGTERM, signal.SIGINT)}
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


def _ending(live: Live) -> Callable[[int, object], None]:
    """What a signal does: the first lets the step in hand end, so that no transaction is torn; a second does not."""

    def end(_signal: int, _frame: object) -> None:
        if live.halting:
            raise KeyboardInterrupt
        live.halt()

    return end


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


def _print_decision(recorded: Recorded, *, as_json: bool) -> None:
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
