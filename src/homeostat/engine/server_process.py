"""The server's process: reads the declaration for `features()` and serves until it is told to stop."""

from __future__ import annotations

import argparse
import sys
import threading

from homeostat.cd.serve import serve
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
    options = parser.parse_args()
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    try:
        loop = load(options.loop_file)
        where = {"host": options.host, "port": options.port, "header_clock": options.played}
        serve(options.store, loop.name, loop.features, trusted=trusted_types(loop.model), **where)
    except HomeostatError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
