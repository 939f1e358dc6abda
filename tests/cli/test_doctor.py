from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.core.claims import this_machine
from homeostat.core.clock import SystemClock
from homeostat.core.ledger import Ledger
from homeostat.core.store import Store


def states(found: list[dict[str, str]]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in found}


def test_a_new_machine_passes_and_says_what_comes_first(homeostat):
    answer = homeostat("doctor", "--json")
    assert answer.code == 0
    found = states(answer.json)
    assert {found[name] for name in ("python", "database", "packages", "disk")} == {"ok"}
    assert found["store"] == "warn"
    assert any("homeostat run" in (check["todo"] or "") for check in answer.json)


def test_the_journal_mode_is_named(homeostat):
    (database,) = [check for check in homeostat("doctor", "--json").json if check["name"] == "database"]
    assert "journal mode" in database["found"]


def test_a_whole_store_is_ok(homeostat, tmp_path: Path):
    Store.open(tmp_path / ".homeostat").close()
    assert states(homeostat("doctor", "--json").json)["integrity"] == "ok"


def test_a_broken_store_is_a_failure(homeostat, history):
    answer = homeostat("doctor", "--json")  # the versions of this history have no bundles
    assert answer.code == 2
    assert states(answer.json)["store"] == "fail"


def test_a_broken_loop_is_a_failure(homeostat, tmp_path: Path):
    (tmp_path / "loop.py").write_text("loop = 1/0\n")
    answer = homeostat("doctor")
    assert answer.code == 2
    assert "ZeroDivisionError" in answer.out


@pytest.mark.parametrize(("pid", "state"), [(os.getpid(), "ok"), (2**22 + 7, "warn")], ids=["alive", "dead"])
def test_a_lock_held_by_a_dead_process_is_told_from_a_living_one(homeostat, tmp_path: Path, pid: int, state: str):
    Store.open(tmp_path / ".homeostat").close()
    from tests.engine.driver import Driver

    ledger = Ledger.open(tmp_path / ".homeostat" / "ledger.sqlite")
    Driver(ledger=ledger, loop="rides").start()
    owner = f"ann@{socket.gethostname()} (process {pid} of {this_machine()}-0a1b2c3d)"
    ledger.acquire("engine/rides", owner, ttl=timedelta(minutes=1), now=SystemClock().now())
    assert states(homeostat("doctor", "--json").json)["lock"] == state


@pytest.mark.parametrize("verb", ["verify", "doctor"])
def test_checking_a_store_shows_how_far_it_is_at_a_terminal(verb: str, homeostat, history, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "versions" in homeostat(verb).err.partition("error: ")[0]
    assert homeostat(verb, "--json").err.partition("error: ")[0] == ""
