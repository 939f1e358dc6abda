"""The trainer's process: carries out the runs whose triggers it reads from its standard input, one after the other."""

from __future__ import annotations

import argparse
import sys
import traceback

from homeostat.core.errors import HomeostatError
from homeostat.core.store import Store
from homeostat.engine.training.training import carry_out
from homeostat.loop import load_loop


def main() -> int:
    """Work until the standard input closes."""
    parser = argparse.ArgumentParser(prog="homeostat.engine.live.trainer_process")
    parser.add_argument("--store", required=True)
    parser.add_argument("--loop-file", required=True)
    parser.add_argument("--played", action="store_true", help="the loop's clock is a virtual one")
    options = parser.parse_args()
    try:
        loop, store = load_loop(options.loop_file), Store.open(options.store, create=False)
        for line in sys.stdin:
            carry_out(store, loop, line.strip(), played=options.played)
    except HomeostatError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception:  # noqa: BLE001 - the engine reads the end of this log
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
