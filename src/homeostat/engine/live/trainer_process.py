"""The trainer's process: carries out the runs whose specs it reads from its standard input, one after the other."""

from __future__ import annotations

import sys
import traceback
from functools import cache

import msgspec

from homeostat.core.errors import HomeostatError
from homeostat.core.ports import TrainingSpec
from homeostat.core.store import Store
from homeostat.engine.training.training import carry_out
from homeostat.loop import Loop, load_loop


def main() -> int:
    """Work until the standard input closes."""
    try:
        for line in sys.stdin:
            spec = msgspec.json.decode(line, type=TrainingSpec)
            loop, store = _opened(spec.loop_file, spec.store)
            carry_out(store, loop, spec.trigger, played=spec.played)
    except HomeostatError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception:  # noqa: BLE001 - the engine reads the end of this log
        traceback.print_exc()
        return 1
    return 0


@cache
def _opened(loop_file: str, store: str) -> tuple[Loop, Store]:
    return load_loop(loop_file), Store.open(store, create=False)


if __name__ == "__main__":
    sys.exit(main())
