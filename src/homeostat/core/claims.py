"""Who claims what: the process that a lease or a file names, and whether it still lives."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.core.clock import SystemClock, new_id

if TYPE_CHECKING:
    from homeostat.core.ledger import Ledger

_OWNER = re.compile(r"(?:.*@)?(?P<host>.+) \(process (?P<pid>\d+) of (?P<machine>[0-9a-f]+)-(?P<unique>[0-9a-f]+)\)")
_SHORT = 8


def this_process() -> str:
    """This process, as leases name it: `user@host (process PID of MACHINE-UNIQUE)`, like no other process ever."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "unknown"
    pid = os.getpid()
    return f"{user}@{socket.gethostname()} (process {pid} of {this_machine()}-{_unique(pid)})"


def in_charge(ledger: Ledger, loop: str) -> str | None:
    """Which living process has the loop in charge now (`homeostat up`), or None."""
    holder = ledger.lease_holder(f"engine/{loop}", now=SystemClock().now())
    return None if holder is None or is_dead(holder) else holder


def is_dead(owner: str) -> bool:
    """Whether an owner was a process that could be seen from here, and is gone; of any other nobody here can tell.

    Example:
        >>> is_dead(this_process()), is_dead("ann@elsewhere (process 1 of 0a1b2c3d-0a1b2c3d)")
        (False, False)
    """
    parts = _OWNER.fullmatch(owner)
    if parts is None or parts["host"] != socket.gethostname() or parts["machine"] != this_machine():
        return False
    return not is_running(int(parts["pid"]))


@cache
def this_machine() -> str:
    """Within which process ids mean the same: this start of the machine, and in it this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116 - the link's target is no file
    except OSError:
        boot, space = socket.gethostname(), ""
    return hashlib.sha256(f"{boot}/{space}".encode()).hexdigest()[:_SHORT]


@cache
def _unique(_pid: int) -> str:
    """Tells this process from a later one with its number; a forked child gets its own."""
    return new_id()[:_SHORT]


def is_running(pid: int) -> bool:
    """Whether a process of this machine has this id and runs; one that ended and was not fetched does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # gone meanwhile, or a system without /proc
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"
