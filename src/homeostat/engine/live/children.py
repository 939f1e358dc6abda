"""The processes beside the engine: the server and the trainer, started, watched, restarted and ended by it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from homeostat.core.clock import SystemClock, pause, stopwatch
from homeostat.core.errors import HomeostatError, InternalError, RefusedError, UserError
from homeostat.core.files import make_folder, open_regular

_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=1)
_STEADY = timedelta(minutes=5)


class Child:
    """One process that is meant to run until it is told to stop.

    Without a `log`, it says what it says where this process does.
    """

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], log: Path | None, *, niceness: int = 0
    ) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, "-m", module, *arguments]
        self._niceness = niceness
        self._process: subprocess.Popen[str] | None = None
        self._started: datetime | None = None
        self._failures = 0
        self._begin = 0
        self._clock = SystemClock()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def input(self) -> IO[str]:
        """Where it reads its orders."""
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    def start(self) -> None:
        """Start it; its standard input is a pipe, so it learns of our end however we end."""
        self._hang_up()
        with self._output() as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules with arguments of our own
                self._command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                text=True,
                env=_environment(),
                start_new_session=True,
            )
        if self._niceness:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, self._niceness)
        self._started = self._clock.now()

    def revive(self) -> bool:
        """Start it again when it died, later and later the oftener it does; True when it was started now."""
        if self.running:
            return False
        now = self._clock.now()
        if self._started is not None:
            if now - self._started > _STEADY:
                self._failures = 0
            wait = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 6))
            if now < self._started + wait:
                return False
            self._failures += 1
        self.start()
        return True

    def order(self, line: str) -> None:
        """Write one line to its standard input; a dead child is the next `revive`'s business."""
        try:
            self.input.write(line + "\n")
            self.input.flush()
        except (BrokenPipeError, ValueError):
            return

    def wait_for(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until it says that it is ready.

        Raises:
            HomeostatError: it ended; what it said is in the message.
            InternalError: it took too long.
        """
        begin = stopwatch()
        while not ready():
            if not self.running:
                raise self.failure()
            if stopwatch() - begin > seconds:
                raise InternalError(f"the {self.name} was not ready within {seconds:.0f} s", hint=self._where)
            pause(0.02)

    def failure(self) -> HomeostatError:
        """Why it ended, as it said itself: the user's mistake when its exit code is 2."""
        what, _, hint = ("it said why" if self.log is None else self._last_words()).partition("\n  hint: ")
        hint = hint.partition("\n")[0] or self._where
        kind = RefusedError if self.blames_the_user else InternalError
        return kind(f"the {self.name} ended: {what or 'it said nothing'}", hint=hint)

    @property
    def blames_the_user(self) -> bool:
        """Whether it ended for something that the user can mend: to start it again would be in vain."""
        return self._process is not None and self._process.poll() == UserError.exit_code

    def printed(self) -> str:
        """What it wrote to its log since it was started."""
        if self.log is None:
            return ""
        try:
            with os.fdopen(open_regular(self.log), "rb") as log:
                log.seek(self._begin)
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def _last_words(self) -> str:
        """Its own error message, or else the last line of its log since it was started."""
        text = self.printed()
        errors = re.split(r"^error: ", text, flags=re.MULTILINE)
        return errors[-1] if len(errors) > 1 else text.rpartition("\n")[2]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal if it is alive."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """Ask it to end, and make it end when it does not."""
        self.signal(signal.SIGTERM)
        self.await_end(_PATIENCE_SECONDS)

    def await_end(self, seconds: float) -> None:
        """Give it so long to end, then make it end."""
        process = self._process
        if process is None:
            return
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._hang_up()

    @contextmanager
    def _output(self) -> Iterator[IO[bytes] | None]:
        if self.log is None:
            yield None
            return
        make_folder(self.log.parent)
        with os.fdopen(open_regular(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as output:
            self._begin = output.tell()
            yield output

    @property
    def _where(self) -> str:
        return f"see {self.log}" if self.log else "see what it wrote to standard error"

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _hang_up(self) -> None:
        """Close our end of the pipe to a process that ended."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process = None


def _environment() -> dict[str, str]:
    """Ours, but for the supervisor's socket: only the process that it started speaks to it."""
    ours = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    return ours | {"PYTHONUNBUFFERED": "1"}
