"""An executor of somebody else's: a new process for every run, which is told by its command line and ends with it."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import msgspec

from homeostat.core.ports import TrainingSpec
from homeostat.core.store import Store
from homeostat.ct.where import Place
from homeostat.loop import Loop

_COMMAND = """
import sys, msgspec
from homeostat.core.ports import TrainingSpec
from homeostat.core.store import Store
from homeostat.engine.training.training import carry_out
from homeostat.loop import load_loop
spec = msgspec.json.decode(sys.argv[1], type=TrainingSpec)
carry_out(Store.open(spec.store, create=False), load_loop(spec.loop_file), spec.trigger, played=spec.played)
"""


class Elsewhere(Place, frozen=True, tag="elsewhere"):
    """The place: wherever the command runs."""


class CommandExecutor:
    """Runs a command and knows nothing but whether it runs, and what it printed."""

    def __init__(self, _place: Elsewhere, _store: Store, _loop: Loop) -> None:
        self._trigger: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - it is the executor's as long as that lives

    def start(self, spec: TrainingSpec) -> None:
        self._trigger = spec.trigger
        self._printed.seek(0)
        self._printed.truncate()
        command = [sys.executable, "-c", _COMMAND, msgspec.json.encode(spec).decode()]
        self._process = subprocess.Popen(command, stdout=self._printed, stderr=subprocess.STDOUT)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def cancel(self, trigger: str) -> None:
        if trigger == self._trigger:
            self.close()

    def logs(self) -> str:
        self._printed.seek(0)
        return self._printed.read().decode()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
