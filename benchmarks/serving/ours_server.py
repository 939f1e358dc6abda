"""Our server with something that no user can ask for: no log, or models of this benchmark's own.

Run as `python ours_server.py STORE logged|unlogged`. Everything else is measured on the process that `homeostat up`
starts.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.serving.misbehaving import TRUSTED
from benchmarks.serving.model import LOOP
from homeostat.cd.log import LogWriter
from homeostat.cd.serve import process

if TYPE_CHECKING:
    from homeostat.cd.log.records import Written


class Unlogged(LogWriter):
    """A log that forgets, to see what remembering costs."""

    def append(self, record: Written) -> None:
        """Nothing."""


if __name__ == "__main__":
    if sys.argv[2] == "unlogged":
        process.LogWriter = Unlogged  # type: ignore[misc]
    process.serve(sys.argv[1], LOOP, trusted=TRUSTED)
