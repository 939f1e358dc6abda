"""Who holds a loop: the process that a lease names, and whether it still lives."""

from __future__ import annotations

import getpass
import os
import re
import socket

_OWNER = re.compile(r"(?:.*@)?(?P<host>.+) \(process (?P<pid>\d+)\)")


def this_process() -> str:
    """This process, as leases name it: `user@host (process PID)`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "unknown"
    return f"{user}@{socket.gethostname()} (process {os.getpid()})"


def is_dead(owner: str) -> bool:
    """Whether an owner was a process of this machine that is gone; of another machine's nobody here can tell.

    Example:
        >>> is_dead(this_process()), is_dead("ann@elsewhere (process 1)")
        (False, False)
    """
    parts = _OWNER.fullmatch(owner)
    if parts is None or parts["host"] != socket.gethostname():
        return False
    return not is_running(int(parts["pid"]))


def is_running(pid: int) -> bool:
    """Whether a process of this machine has this id now."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
