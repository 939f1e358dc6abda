"""Whether the process that a lease names still lives: only one that could be seen from here can be called dead."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from homeostat.core.claims import is_dead, is_running, this_machine, this_process

SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this machine."""
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def owner(pid: int, *, host: str | None = None, machine: str | None = None) -> str:
    """A process as a lease names it."""
    named = re.fullmatch(r"(.*@)(.+) \(process \d+ of ([0-9a-f]+)-([0-9a-f]+)\)", this_process())
    assert named is not None
    user, here, this, unique = named.groups()
    return f"{user}{host or here} (process {pid} of {machine or this}-{unique})"


def test_this_process_lives_and_is_named_alike_each_time() -> None:
    assert this_process() == this_process() == owner(os.getpid())
    assert not is_dead(this_process())


def test_a_process_that_runs_is_not_dead_and_one_that_was_killed_is(other: subprocess.Popen[bytes]) -> None:
    assert is_running(other.pid)
    assert not is_dead(owner(other.pid))
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(other.pid), "it ended, though nobody fetched it"
    assert is_dead(owner(other.pid))
    other.wait()
    assert not is_running(other.pid)
    assert is_dead(owner(other.pid))


def test_of_a_process_elsewhere_nobody_here_can_tell(other: subprocess.Popen[bytes]) -> None:
    other.kill()
    other.wait()
    assert is_dead(owner(other.pid))
    assert not is_dead(owner(other.pid, host="elsewhere"))
    assert not is_dead(owner(other.pid, machine="0a1b2c3d"))
    for strange in ("ann", "", f"(process {other.pid})", owner(other.pid) + " and more"):
        assert not is_dead(strange)


def test_a_process_of_somebody_else_runs() -> None:
    assert is_running(1)


def test_a_number_that_no_process_has_is_none_that_runs() -> None:
    assert not is_running(2**40)


def test_a_forked_child_is_another_process_of_the_same_machine() -> None:
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.write(writes, f"{this_process()}|{this_machine()}".encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    name, _, machine = os.read(reads, 4_096).decode().partition("|")
    os.close(reads)
    os.close(writes)
    assert machine == this_machine()
    assert f"process {child} of" in name
    assert name.rpartition("-")[2] != this_process().rpartition("-")[2]
