"""`homeostat serve`: the server alone, with every model that a store's registry has promoted."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.options import STORE, StoreOption, loop_file, open_ledger
from homeostat.core.errors import HomeostatError, NotFoundError

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger


def serve(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="The models, the first behind /predict; all that are promoted by default."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen at; others than loopback need HOMEOSTAT_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Server processes that answer at that port.")] = 1,
    drain_seconds: Annotated[
        float | None, typer.Option(min=0, help="How long to answer on, unready, after it was arguments to end.")
    ] = None,
    loop: Annotated[
        list[Path] | None,
        typer.Option(
            "--loop",
            "-l",
            metavar="PATH",
            help="A loop's file, for a model with features() or an estimator of yours; by default the loop.py beside "
            "the store, else the one here; repeatable.",
        ),
    ] = None,
    store: StoreOption = STORE,
    as_json: Annotated[bool, typer.Option("--json", help="Say it in lines of JSON, in a terminal too.")] = False,
) -> None:
    """Serve promoted models, without the loop.

    Until Ctrl-C. It follows promotions and rollbacks in the ledger; what it says goes to standard error.
    """
    from homeostat.cd.serve.settings import VARIABLES
    from homeostat.cd.serve.telemetry.request_log import LOG_VARIABLE
    from homeostat.engine.live.server_process import run_server

    if drain_seconds is not None:
        os.environ[VARIABLES["drain_seconds"]] = str(drain_seconds)  # it reaches the workers, too
    if as_json:
        os.environ[LOG_VARIABLE] = "json"
    files = [loop_file(str(file)) for file in loop or []]
    with closing(open_ledger(store)) as ledger:
        chosen = _chosen(ledger, names or [])
    files = files or _needed(store, chosen)
    arguments = ["--store", str(store), "--host", host, "--port", str(port), "--workers", str(workers)]
    arguments += [word for name in chosen for word in ("--name", name)]
    arguments += [word for file in files for word in ("--loop-file", str(file))]
    run_server(arguments)


def _needed(store: Path, names: list[str]) -> list[Path]:
    """The declaration that one of these models cannot be loaded without, where it is to be found.

    What is wrong with a model is the server's to say.
    """
    from homeostat.core.store import Store
    from homeostat.loop import load_loop
    from homeostat.loop.embedded import file_of

    with closing(Store.open(store, create=False)) as opened, suppress(HomeostatError):
        found = file_of(opened, names)
        return [found] if found is not None and load_loop(found).name in names else []
    return []


def _chosen(ledger: Ledger, names: list[str]) -> list[str]:
    """The models to serve: those that are named, or all that have a champion.

    Raises:
        NotFoundError: The store has no such model, or none has been promoted.
    """
    known = ledger.loops()
    unknown = [name for name in names if name not in known]
    if unknown:
        have = ", ".join(known) or "none yet"
        raise NotFoundError(f"this store has no model {', '.join(unknown)}", hint=f"models: {have}")
    chosen = list(dict.fromkeys(names)) or [name for name in known if ledger.champion(name) is not None]
    if not chosen:
        raise NotFoundError("no model of this store has been promoted", hint="`homeostat run` trains and promotes one")
    return chosen
