"""The ledger is append-only and tamper-evident, and its status tables follow from its events."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeostat.core import events as ev
from homeostat.core.errors import IntegrityError, StoreError, UserError
from homeostat.core.ledger import Ledger
from homeostat.core.ledger.sqlite import journal_mode
from tests.engine.driver import Driver

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def filled(path: Path) -> Ledger:
    driver = Driver(ledger=Ledger.open(path))
    driver.first_champion()
    driver.register()
    driver.observe(judgement=driver.judged(1_000))
    return driver.ledger


def step(name: str, key: str | None) -> ev.StepFinished:
    facts = {"key": key, "parts": {}, "outcome": "ran", "why": "new", "output": "aa", "started": NOW, "ended": NOW}
    return ev.StepFinished(loop="loop", run="r", step=name, **facts)  # type: ignore[arg-type]


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET data = replace(data, 'ann', 'bob') WHERE seq = (SELECT max(seq) FROM events)",
        "UPDATE events SET data = replace(data, '\"share\":0.05', '\"share\":0.95')",
        "UPDATE events SET time = '2025-01-01T00:00:00.000000+00:00' WHERE seq = 2",
        "DELETE FROM events WHERE seq = 3",
        "UPDATE events SET prev = hash WHERE seq = 3",
        "UPDATE events SET key = 'other' WHERE seq = 2",
        "UPDATE events SET cause = 1 WHERE seq = 4",
        "UPDATE events SET loop = 'other' WHERE seq = 4",
        "UPDATE events SET kind = 'loop_stopped' WHERE kind = 'promoted'",
    ],
)
def test_any_change_to_the_record_is_found(tmp_path: Path, change: str) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = filled(path)
    ledger.append(ev.LoopStopped(loop="loop", who="ann", reason="done"), time=NOW)
    assert ledger.verify() == ledger.newest()
    with sqlite3.connect(path) as connection:
        assert connection.execute(change).rowcount >= 1
    with pytest.raises(IntegrityError, match="altered at event"):
        ledger.verify()


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("champions", "UPDATE champions SET version = 2"),
        ("versions", "UPDATE versions SET state = 'champion'"),
        ("versions", "UPDATE versions SET manifest = 'ff'"),
        ("versions", "DELETE FROM versions"),
        ("runs", "UPDATE runs SET status = 'succeeded', error = 'x'"),
        ("steps", "UPDATE steps SET outcome = 'hit'"),
        ("cache", "UPDATE cache SET output = 'ff'"),
        ("cache", "INSERT INTO cache VALUES ('k2', 'clean', 'ff', 'r')"),
    ],
)
def test_a_status_table_that_does_not_follow_from_the_events_is_found_and_mended(
    tmp_path: Path, table: str, change: str
) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = filled(path)
    trigger = ev.Trigger(key="t", kind="manual", reason="r")
    here = ev.RunContext(homeostat="1", python="3", platform="p", packages="", commit="none")
    begun = {"pipeline": "p", "steps": ("clean", "train"), "environment": here, "settings": {}}
    ledger.append(ev.RunStarted(loop="loop", run="r", trigger=trigger, **begun), time=NOW)  # type: ignore[arg-type]
    ledger.append_many([step("clean", key="k"), step("clean", key="k"), step("train", key=None)], time=NOW)
    whole = ledger.verify()
    with sqlite3.connect(path) as connection:
        assert connection.execute(change).rowcount >= 1
    with pytest.raises(IntegrityError, match=rf"table '{table}' was altered(.|\n)*rebuild"):
        ledger.verify()
    ledger.rebuild()
    assert ledger.verify() == whole


def test_status_tables_can_be_rebuilt_from_the_events(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = filled(path)
    before = {table: rows(path, table) for table in ("versions", "champions", "runs")}
    assert all(before[table] for table in ("versions", "champions"))
    ledger.rebuild()
    assert {table: rows(path, table) for table in before} == before


def test_an_event_with_a_taken_key_changes_nothing(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    fact = ev.RetrainRequested(loop="loop", user="ann", reason="r", request="1")
    first = ledger.append(fact, time=NOW, key="request/1")
    again = ledger.append(fact, time=NOW, key="request/1")
    assert (first.fresh, again.fresh, again.seq) == (True, False, first.seq)
    assert ledger.newest() == 1


def test_nothing_of_a_failed_transaction_stays(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")

    def fail_halfway() -> None:
        with ledger.transaction() as tx:
            tx.append(ev.LoopStarted(loop="loop", who="ann", declaration="d"), time=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert ledger.newest() == 0


def test_a_ledger_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'format'")
    with pytest.raises(StoreError, match=r"format 99(.|\n)*upgrade") as caught:
        Ledger.open(path)
    assert caught.value.exit_code == 2


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"certainly not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Ledger.open(path)


def test_the_journal_is_safe_for_the_sqlite_at_hand() -> None:
    assert journal_mode((3, 40, 1)) == "TRUNCATE"
    assert journal_mode((3, 51, 2)) == "TRUNCATE"
    assert journal_mode((3, 51, 3)) == "WAL"
    assert journal_mode((3, 52, 0)) == "WAL"


def test_a_full_disk_is_never_reported_as_success(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(path)
    ledger.append(ev.LoopStarted(loop="loop", who="ann", declaration="d"), time=NOW)
    with ledger.database.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        bulky = ev.LoopStarted(loop="loop", who="x" * 100_000, declaration="d")
    with pytest.raises(StoreError, match="disk is full"):
        ledger.append(bulky, time=NOW)
    assert ledger.newest() == 1


def test_several_events_at_once_make_one_chain_and_none_is_of_a_loop_without_a_name(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    facts = [ev.LoopStarted(loop="loop", who=who, declaration="d") for who in ("ann", "bob", "cid")]
    assert [one.seq for one in ledger.append_many(facts, time=NOW)] == [1, 2, 3]
    assert ledger.verify() == 3
    with pytest.raises(UserError, match="name"):
        ledger.append_many([facts[0], ev.LoopStarted(loop="../loop", who="ann", declaration="d")], time=NOW)
    assert ledger.newest() == 3


def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    with ledger.database.writing() as connection:
        full = 2
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == full
