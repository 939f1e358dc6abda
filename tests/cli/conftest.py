"""A store with a short history, and a way to type commands at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from homeostat.cli import main
from homeostat.core.ledger import Ledger
from tests.engine.driver import REFUSED, Driver, drifted


class Typed:
    """What a command printed, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.out)


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Typed:
    """Run `homeostat` in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    shown = capsys.readouterr()
    return Typed(int(ended.value.code or 0), shown.out, shown.err)


@pytest.fixture
def homeostat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run `homeostat` in this test's folder, in this process."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: typed(capsys, *arguments)


@pytest.fixture
def history(tmp_path: Path) -> Driver:
    """A champion, a refused candidate and two looks of the monitor, in ./.homeostat."""
    folder = tmp_path / ".homeostat"
    folder.mkdir()
    driver = Driver(ledger=Ledger.open(folder / "ledger.sqlite"), loop="rides")
    driver.first_champion()
    driver.confirm()
    driver.observe(signals=(drifted(0.01),))
    driver.register(gates=REFUSED)
    driver.observe(signals=(drifted(0.02),))
    return driver


def in_a_process(*arguments: str, cwd: Path, **environment: str) -> Typed:
    """Run `homeostat` as a process of its own."""
    command = [sys.executable, "-m", "homeostat", *arguments]
    env = {**os.environ, **environment}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    return Typed(done.returncode, done.stdout, done.stderr)
