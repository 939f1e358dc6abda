"""A child whose engine dies, however it dies, ends in good order: its standard input is a pipe from the engine."""

from __future__ import annotations

import os
import signal
import sys


def end_with_parent() -> None:
    """Wait until the engine's end of the pipe closes, then end this process as SIGTERM does. Runs in a thread.

    It reads past Python's own buffer, whose lock a thread that still waits would keep from a process that ends.
    """
    while os.read(sys.stdin.fileno(), 4_096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
