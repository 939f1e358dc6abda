"""A ledger that is deleted, emptied or replaced while it is in use stops whoever uses it; nothing makes a new one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeostat.core import events as ev
from homeostat.core.errors import StoreError
from homeostat.core.ledger import Ledger
from homeostat.core.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fact(who="ann"):
    return ev.LoopStarted(loop="rides", who=who, declaration="0")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """One with three events, and a copy from when it had one."""
    made = Ledger.open(tmp_path / "ledger.sqlite")
    made.append(fact(), time=NOW)
    shutil.copy(tmp_path / "ledger.sqlite", tmp_path / "older")
    made.append(fact(), time=NOW)
    made.append(fact(), time=NOW)
    return made


def other(folder: Path) -> Path:
    """A ledger that is longer, and never was this one."""
    made = Ledger.open(folder / "other")
    for who in "abcdefg":
        made.append(fact(who), time=NOW)
    made.close()
    return folder / "other"


WAYS = {
    "deleted": lambda file: file.unlink(),
    "emptied": lambda file: os.truncate(file, 0),
    "an older copy is moved there": lambda file: (file.parent / "older").replace(file),
    "an older copy is written into it": lambda file: file.write_bytes((file.parent / "older").read_bytes()),
    "another one is moved there": lambda file: other(file.parent).replace(file),
    "another one is written into it": lambda file: file.write_bytes(other(file.parent).read_bytes()),
    "a link": lambda file: (file.rename(file.parent / "moved"), file.symlink_to(file.parent / "moved")),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
}


@pytest.mark.parametrize("way", WAYS)
def test_who_uses_it_is_told_in_one_sentence_and_writes_nothing(ledger: Ledger, tmp_path: Path, way: str) -> None:
    file = tmp_path / "ledger.sqlite"
    ledger.check_whole()
    WAYS[way](file)
    there = file.lstat().st_ino if os.path.lexists(file) else None
    size = file.lstat().st_size if there else 0
    for use in (
        ledger.check_whole,
        lambda: ledger.append(fact(), time=NOW),
        lambda: ledger.append_many([fact()], time=NOW),
    ):
        with pytest.raises(StoreError, match="the ledger") as told:
            use()
        assert "\n" not in told.value.what
        assert "backup" in str(told.value.hint)
    assert (file.lstat().st_ino if os.path.lexists(file) else None) == there
    assert (file.lstat().st_size if there else 0) == size


def test_who_has_only_written_knows_what_was_there(ledger: Ledger, tmp_path: Path) -> None:
    """It never looked whether the ledger is whole: what it wrote itself is what it saw last."""
    WAYS["an older copy is written into it"](tmp_path / "ledger.sqlite")
    with pytest.raises(StoreError, match="replaced by another one while it was in use"):
        ledger.append(fact(), time=NOW)


def test_what_another_process_appends_is_no_replacement(ledger: Ledger, tmp_path: Path) -> None:
    again = Ledger.open(tmp_path / "ledger.sqlite")
    for _ in range(3):
        again.append(fact(), time=NOW)
        ledger.check_whole()
        ledger.append(fact(), time=NOW)
        again.check_whole()
    assert ledger.verify() == 9


@pytest.mark.parametrize("way", [Path.unlink, lambda file: os.truncate(file, 0)], ids=["deleted", "emptied"])
def test_a_store_whose_ledger_is_gone_gets_no_new_one(tmp_path: Path, way) -> None:
    store = Store.open(tmp_path / "store")
    store.artifacts.put(b"a model")
    store.close()
    file = tmp_path / "store" / "ledger.sqlite"
    way(file)
    for create in (True, False):
        with pytest.raises(StoreError, match=r"is gone, and its artifacts are there|holds nothing at all"):
            Store.open(tmp_path / "store", create=create)
    assert not file.exists() or not file.stat().st_size


def test_opening_needs_no_lock_and_leaves_no_trace(tmp_path: Path) -> None:
    Store.open(tmp_path / "store").close()
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "store").iterdir())
    writer = Ledger.open(tmp_path / "store" / "ledger.sqlite")
    with writer.database.writing():  # somebody writes
        for create in (True, False):
            Store.open(tmp_path / "store", create=create).close()
    assert [name for name, _ in before] == sorted(path.name for path in (tmp_path / "store").iterdir())


OPENS = """
import sys
from homeostat.core.store import Store
for _ in range(100):
    Store.open(sys.argv[1], create=len(sys.argv) > 2).close()
"""


@pytest.mark.parametrize("create", [[], ["create"]], ids=["readers", "makers"])
def test_of_many_openings_at_once_none_is_refused(tmp_path: Path, create: list[str]) -> None:
    if not create:
        Store.open(tmp_path / "store").close()
    words = [sys.executable, "-c", OPENS, str(tmp_path / "store"), *create]
    started = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 3, said


def test_nothing_is_written_through_a_link_beside_it(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "ledger.sqlite").close()
    for beside in ("journal", "wal", "shm"):
        link = tmp_path / f"ledger.sqlite-{beside}"
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError, match="is a link"):
            Ledger.open(tmp_path / "ledger.sqlite")
        link.unlink()
    assert not (tmp_path / "elsewhere").exists()
