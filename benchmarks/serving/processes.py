"""Servers as processes: one core, frozen while another one is measured, with their memory and their time to ready."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 90.0
_LEAVE_SECONDS = 10.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""There is one core; more threads would only wait for each other."""


@dataclass
class Server:
    """A running server.

    Attributes:
        name: As in the table.
        process: Its first process; it may have children.
        port: Where it listens on loopback.
        ready_seconds: From the start of the process to the first good answer of `ready`.
        output: File with what it printed.
    """

    name: str
    process: subprocess.Popen[bytes]
    port: int
    ready_seconds: float
    output: Path

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run for a while; before and after it is frozen, so that an idle server costs the others nothing."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with code {self.process.returncode}:\n{self.tail()}")
            self.sleep()

    def sleep(self) -> None:
        """Freeze it."""
        self._signal(signal.SIGSTOP)

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory now and at most, of all its processes."""
        now = sum(status(pid, "VmRSS") for pid in tree(self.process.pid))
        return now / 1024, sum(status(pid, "VmHWM") for pid in tree(self.process.pid)) / 1024

    def cpu_seconds(self) -> float:
        """Of the processor, spent so far by all its processes that are alive."""
        return sum(processor_seconds(pid) for pid in tree(self.process.pid))

    def tail(self) -> str:
        """The last lines that it printed."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-15:])

    def end(self) -> None:
        """Ask it to leave, and end what is left of it."""
        family = tree(self.process.pid)
        self._signal(signal.SIGCONT)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_LEAVE_SECONDS)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: int) -> None:
        for pid in tree(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    ready: str,
    folder: Path,
    *,
    port: int,
    environment: Mapping[str, str] | None = None,
    where: Callable[[], int | None] | None = None,
) -> Iterator[Server]:
    """A server on the first core.

    Args:
        name: As in the table.
        command: How it is started.
        ready: Path that is asked until it answers with 200.
        folder: Its working folder; what it prints goes to `output.txt` there.
        port: Where it will listen.
        environment: Variables besides those of this process.
        where: Gives the port once the server knows it, for one that chooses by itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "output.txt"
    with output.open("wb") as out:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **_ONE_THREAD, **(environment or {})},
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,  # ours ends when this ends
            preexec_fn=lambda: os.sched_setaffinity(0, {server_core()}),  # noqa: PLW1509
        )
    server = Server(name, process, port, 0.0, output)
    try:
        found = port if where is None else None
        while found is None or not answers(found, ready):
            if process.poll() is not None or time.perf_counter() - begin > START_SECONDS:
                raise RuntimeError(f"{name} did not start:\n{server.tail()}")
            found = found if where is None or found is not None else where()
            time.sleep(0.01)
        server.port, server.ready_seconds = found, time.perf_counter() - begin
        yield server
    finally:
        server.end()


def answers(port: int, path: str) -> bool:
    """Whether a server answers this path with 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_core() -> int:
    """The first of the cores of this machine's processes."""
    return min(_CORES)


def load_core() -> int:
    """The last of them."""
    return max(_CORES)


def status(pid: int, name: str) -> int:
    """A figure of `/proc/PID/status`, in kB; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def processor_seconds(pid: int) -> float:
    """Time that a process has spent on the processor, in its own code and in the kernel; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += [int(child) for child in children.read_text().split()]
    return found


_CORES = os.sched_getaffinity(0)
