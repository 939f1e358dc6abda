"""The server's process, or one that scores beside it: reads the declaration for `features()` and works until told."""

from __future__ import annotations

import argparse
import sys
import threading

from homeostat.cd.serve import serve
from homeostat.cd.serve.scorer import score_beside
from homeostat.core.errors import HomeostatError
from homeostat.core.model import trusted_types
from homeostat.engine.orphans import end_with_parent
from homeostat.loop import load


def main() -> int:
    """Serve the loop of a file."""
    parser = argparse.ArgumentParser(prog="homeostat.engine.server_process")
    parser.add_argument("--store", required=True)
    parser.add_argument("--loop-file", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--played", action="store_true", help="take the time of a request from its header")
    parser.add_argument("--beside", nargs="+", help="only score for a version (and how the process before ended)")
    options = parser.parse_args()
    try:
        loop = load(options.loop_file)
        trusted = trusted_types(loop.model)
        if options.beside:
            version, ended = int(options.beside[0]), " ".join(options.beside[1:]) or None
            score_beside(options.store, loop.name, version, loop.features, trusted=trusted, ended=ended)
            return 0
        threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
        beside = [sys.executable, "-m", "homeostat.engine.server_process"]
        beside += ["--store", options.store, "--loop-file", options.loop_file, "--beside"]
        where = {"host": options.host, "port": options.port, "header_clock": options.played}
        serve(options.store, loop.name, loop.features, trusted=trusted, scorer=beside, **where)
    except HomeostatError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
