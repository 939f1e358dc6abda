"""The server's process, or one that scores beside it: reads declarations for `features()` and works until told.

With several workers this process is their parent, and runs this module again for each of them.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from homeostat.cd.serve import Hosting, Worker, endpoint_file, serve
from homeostat.cd.serve.settings import operating_settings
from homeostat.cd.serve.shadow.process import score_shadow
from homeostat.cd.serve.shadow.supervisor import command
from homeostat.core.errors import HomeostatError
from homeostat.engine.live.orphans import end_with_parent
from homeostat.loop import load_loop


def main() -> int:
    """Serve as the child of another process, whose end is the end of this one."""
    try:
        options = _parser().parse_args()
        if options.beside:
            _score(options)
            return 0
        threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
        run_server(sys.argv[1:])
    except HomeostatError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def run_server(arguments: Sequence[str]) -> None:
    """Serve models until SIGTERM or SIGINT, in this process or in several below it."""
    options = _parser().parse_args(arguments)
    wanted = _wanted(options)
    if options.workers > 1:
        _parent(options, [one.name for one in wanted])
        return
    first, *more = wanted
    serve(
        options.store,
        first.name,
        first.features,
        header_clock=options.played,
        host=options.host,
        port=options.port,
        trusted=first.trusted,
        scorer=first.scorer,
        more=more,
        worker=Worker(options.worker, options.folder) if options.worker is not None else None,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="homeostat.engine.live.server_process")
    parser.add_argument("--store", required=True)
    parser.add_argument("--name", action="append", default=[], help="a model; those of the files by default")
    parser.add_argument("--loop-file", action="append", default=[], help="the declaration of a model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--played", action="store_true", help="take the time of a request from its header")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--beside", nargs="+", help="only score for a version (and how the process before ended)")
    parser.add_argument("--worker", type=int, help="which worker this is")
    parser.add_argument("--folder", type=Path, help="where the workers tell each other what they counted")
    return parser


def _wanted(options: argparse.Namespace) -> list[Hosting]:
    """The models in their order, each with what its declaration says, if there is one."""
    declared = {}
    for file in options.loop_file:
        loop = load_loop(file)
        beside = (sys.executable, "-m", __spec__.name, "--store", options.store, "--loop-file", file, "--beside")
        declared[loop.name] = Hosting(loop.name, loop.features, tuple(loop.trusted_types), beside)
    plain = [name for name in options.name if name not in declared]
    declared |= {name: Hosting(name, scorer=tuple(command(options.store, name))) for name in plain}
    return [declared[name] for name in options.name or declared]


def _score(options: argparse.Namespace) -> None:
    loop = load_loop(options.loop_file[0])
    version, ended = int(options.beside[0]), " ".join(options.beside[1:]) or None
    score_shadow(options.store, loop.name, version, loop.features, trusted=loop.trusted_types, ended=ended)


def _parent(options: argparse.Namespace, names: Sequence[str]) -> None:
    from homeostat.engine.live.server_workers import Workers

    told = ["--store", options.store, *(["--played"] if options.played else [])]
    told += [word for name in names for word in ("--name", name)]
    told += [word for file in options.loop_file for word in ("--loop-file", file)]
    Workers(
        options.workers,
        told,
        host=options.host,
        port=options.port,
        announce=[endpoint_file(options.store, name) for name in names],
        drain_seconds=operating_settings().drain_seconds,
    ).run()


if __name__ == "__main__":
    sys.exit(main())
