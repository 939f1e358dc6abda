"""An executor of somebody else's: a new process for every run, which is told by its command line and ends with it."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from homeostat.core.clock import Clock
from homeostat.core.ports import TrainingSpec
from homeostat.core.store import Store
from homeostat.ct.where import TrainingPlace
from homeostat.loop import Loop

_COMMAND = """
import sys, msgspec
from homeostat.core.clock import Clock
from homeostat.core.ports import TrainingSpec
from homeostat.core.store import Store
from homeostat.engine.training.training import carry_out
from homeostat.loop import load_loop
spec = msgspec.json.decode(sys.argv[1], type=TrainingSpec)
carry_out(Store.open(spec.store, create=False), load_loop(spec.loop_file), spec.trigger, played=spec.played)
"""


class Elsewhere(TrainingPlace, frozen=True, tag="elsewhere"):
    """The place: wherever the command runs."""


class CommandExecutor:
    """Runs a command and knows nothing but whether it runs, and what it printed."""

    def __init__(self, _place: Elsewhere, store: Store, _loop: Loop, _clock: Clock) -> None:
        self._trigger: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._printed = store.path / "elsewhere.log"

    def start(self, spec: TrainingSpec) -> None:
        if self._process is not None:
            self._process.wait()  # its run is recorded, and it is about to end
        self._trigger = spec.trigger
        command = [sys.executable, "-c", _COMMAND, msgspec.json.encode(spec).decode()]
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def cancel(self, trigger: str) -> None:
        if trigger == self._trigger:
            self.close()

    def logs(self) -> str:
        return self._printed.read_text()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
