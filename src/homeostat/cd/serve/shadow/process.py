"""The process that scores for a version which does not answer: it steps back behind everybody, and dies first."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.cd.log import LogWriter
from homeostat.cd.serve.scoring.loading import load_version
from homeostat.cd.serve.shadow.follower import Follower
from homeostat.cd.serve.shadow.supervisor import follow
from homeostat.core.store import Store

if TYPE_CHECKING:
    from collections.abc import Collection

    from homeostat.core.model import Features

_PR_SET_PDEATHSIG = 1
_FIRST_TO_GO = "1000"


def score_shadow(
    store_path: Path | str,
    name: str,
    version: int,
    features: Features | None = None,
    *,
    trusted: Collection[str] = (),
    ended: str | None = None,
) -> None:
    """Score the rows of a Loop's log that await a version, until standard input ends.

    `ended` says how the process before this one ended, if it died.
    """
    _step_back()
    leave = threading.Event()
    threading.Thread(target=_until_told, args=(leave,), name="parent", daemon=True).start()
    store = Store.open(store_path)
    folder = store.log_folder(name)
    with LogWriter(folder) as log:
        follower = Follower(
            folder, version, lambda: load_version(store, name, version, features, trusted), log.append, ended=ended
        )
        follow(follower, leave, threading.Event())


def _step_back() -> None:
    """Leave signals to the server, end when it ends, and be what the system ends first when memory is short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)


def _until_told(leave: threading.Event) -> None:
    """Wait for the end of the input; read past Python's own buffer, which a thread that waits would keep locked."""
    while os.read(sys.stdin.fileno(), 4_096):
        continue
    leave.set()


def main() -> None:
    """Score beside the server that started it."""
    parser = argparse.ArgumentParser(prog="homeostat.cd.serve.shadow.process")
    parser.add_argument("--store", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--trusted", action="append", default=[])
    parser.add_argument("version", type=int)
    parser.add_argument("ended", nargs="?")
    options = parser.parse_args()
    score_shadow(options.store, options.name, options.version, trusted=options.trusted, ended=options.ended)


if __name__ == "__main__":
    main()
