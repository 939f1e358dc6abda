"""A live loop in a process of its own, so that a test can kill it: `python -m tests.engine.live_process LOOP STORE`."""

from __future__ import annotations

import sys

from homeostat.core.clock import VirtualClock
from homeostat.core.store import Store
from homeostat.engine.live.live import Live
from homeostat.loop import load_loop
from tests.engine.live_world import BEGIN

if __name__ == "__main__":
    file, store = sys.argv[1:]
    with Live(Store.open(store), load_loop(file), clock=VirtualClock(BEGIN)) as live:
        live.run()
