"""`homeostat stream`: predict rows as they come."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, StoreOption, loop_file
from homeostat.cli.output import print_line, progress, say

if TYPE_CHECKING:
    from homeostat.cd.stream import Streamed


def stream(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Lines of JSON: - (standard input), a file that grows; or a folder.")
    ] = "-",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH", help="- (standard output), a .jsonl file, or a folder.")
    ] = "-",
    dead: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Rows without an answer; NAME.dead.jsonl by default.")
    ] = None,
    log: Annotated[
        bool, typer.Option("--log/--no-log", help="Record in the prediction log, so that labels join.")
    ] = True,
    once: Annotated[bool, typer.Option("--once", help="End when nothing more is there now.")] = False,
    every: Annotated[float, typer.Option(min=0.01, metavar="SECONDS", help="How often to look for more.")] = 0.05,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Predict rows as they come.

    The champion answers, whoever it is. Rows that do not fit are set aside with the reason. Until the source ends or
    Ctrl-C; with a file or folder as output the next start goes on from there, losing nothing and repeating nothing.
    """
    from homeostat.cd.log import LogWriter
    from homeostat.cd.stream import Champions
    from homeostat.cd.stream import stream as run
    from homeostat.core.clock import SystemClock
    from homeostat.core.store import Store
    from homeostat.loop import load_loop
    from homeostat.loop.open import open_stream_sink, open_stream_source

    declared = load_loop(loop_file(loop))
    opened = Store.open(store, create=False)
    champions = Champions(opened, declared.name, declared.features, trusted=declared.trusted_types)
    schema = champions.model.manifest.schema
    where, sink = open_stream_source(source, schema, declared.form), open_stream_sink(output, dead, source)
    writer = LogWriter(opened.log_folder(declared.name)) if log else None
    stop = threading.Event()
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        with progress("stream", quiet=as_json or output == "-") as bar:
            done = run(
                *(champions, where, sink),
                clock=SystemClock(),
                log=writer,
                ignore=declared.form.ignored,
                every=every,
                once=once,
                stopped=stop.is_set,
                progress=lambda now: bar(now.rows, None),
            )
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if writer is not None:
            writer.close()
    _print(done, output, as_json=as_json)


def _print(done: Streamed, output: str, *, as_json: bool) -> None:
    err = output == "-"
    if as_json:
        print_line(done, err=err)
        return
    say(f"version {done.version} answered {done.rows:,} rows; {done.dead:,} were set aside: {output}", err=err)
    for note in [*done.lost, *([done.refused] if done.refused else [])]:
        say(f"  {note}", err=err)
