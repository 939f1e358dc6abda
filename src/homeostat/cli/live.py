"""The verbs that run the loop: up (on the real clock) and replay (over history)."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.cli.common import (
    STORE,
    JsonOption,
    LoopOption,
    StoreOption,
    console,
    loop_file,
)

if TYPE_CHECKING:
    from homeostat.core.ledger import Recorded
    from homeostat.engine.live import Live

_STYLES = {"promote": "bold green", "roll_back": "bold red", "stop": "bold red", "retrain": "bold", "deploy": "cyan"}


def up(
    host: Annotated[
        str, typer.Option(help="The address to listen at; others than loopback are open to the network.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 8000,
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Run the loop: serve, watch, retrain, promote.

    Until Ctrl-C. Every decision is printed as it is made; after a stop or a crash the next start goes on from there.
    """
    from homeostat.core.store import Store
    from homeostat.engine.live import Live
    from homeostat.loop import load

    declared = load(loop_file(loop))
    shown: dict[str, Any] = {"url": None}

    def tell(recorded: Recorded) -> None:
        _announce(live, shown, as_json=as_json)
        _tell(recorded, as_json=as_json)

    live = Live(Store.open(store), declared, host=host, port=port, on_decision=tell)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with live:
            if not as_json:
                print(f"loop {declared.name!r} is up; decisions appear here, Ctrl-C stops it")
            _announce(live, shown, as_json=as_json)
            live.run()
    except KeyboardInterrupt:
        if not as_json:
            print("stopped; the next `homeostat up` goes on from here")


def replay(
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Try retraining policies on your own history.

    What would never, periodic, volume, drift and performance policies have gained and cost? The same decisions as live,
    on a virtual clock.
    """
    raise NotImplementedError


def _interrupt(_signal: int, _frame: object) -> None:
    """End in good order upon SIGTERM too: an exception rolls an open transaction back, as a crash would."""
    raise KeyboardInterrupt


def _announce(live: Live, shown: dict[str, Any], *, as_json: bool) -> None:
    url = live.server.url
    if url is None or url == shown["url"]:
        return
    shown["url"] = url
    if as_json:
        print_line({"serving": url})
    else:
        print(f"serving at {url}  (POST {url}/predict, POST {url}/labels, GET {url}/metrics)")


def _tell(recorded: Recorded, *, as_json: bool) -> None:
    from rich.text import Text

    from homeostat.core.events import Decided

    if as_json:
        print_line(recorded)
        return
    event = recorded.event
    assert isinstance(event, Decided)
    style = _STYLES.get(event.action, "") if event.fired else "dim"
    line = Text(f"{recorded.time:%Y-%m-%d %H:%M:%S} @{recorded.seq} ", style="dim")
    console().print(line.append(f"{event.action.replace('_', ' ')}: ", style=style).append(event.reason, style=style))


def print_line(facts: Any) -> None:
    """One line of JSON, at once."""
    import msgspec

    print(msgspec.json.encode(facts, order="sorted").decode(), flush=True)
