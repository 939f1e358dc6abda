"""Several writers at once: one chain, one champion, one version per trigger, and late workers change nothing."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.core import events as ev
from homeostat.core.errors import ConflictError
from homeostat.core.ledger import Ledger
from tests.engine.driver import Driver

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WRITER = """
import sys
from datetime import UTC, datetime
from homeostat.core import events as ev
from homeostat.core.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
for number in range(50):
    fact = ev.RetrainRequested(loop="loop", user=sys.argv[2], reason=str(number), request=f"{sys.argv[2]}/{number}")
    ledger.append(fact, time=datetime.now(UTC))
"""


def test_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("ann", "bob", "cid")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    ledger = Ledger.open(path)
    assert ledger.verify() == 150
    reasons = [one.event.reason for one in ledger.events() if one.event.user == "bob"]  # type: ignore[union-attr]
    assert reasons == [str(number) for number in range(50)]


def test_of_many_promotions_at_once_exactly_one_wins(tmp_path: Path) -> None:
    driver = Driver(ledger=Ledger.open(tmp_path / "ledger.sqlite"))
    driver.first_champion()
    for _ in range(8):
        driver.register()
    ledger = driver.ledger

    def promote(version: int) -> int | None:
        try:
            ledger.promote("loop", version, expected_epoch=1, who="ann", reason="race", time=NOW)
        except ConflictError:
            return None
        return version

    with ThreadPoolExecutor(8) as pool:
        winners = [version for version in pool.map(promote, range(2, 10)) if version is not None]
    champion = ledger.champion("loop")
    assert champion is not None
    assert winners == [champion.version]
    assert [row.version for row in ledger.versions("loop") if row.state == "champion"] == winners


def test_one_trigger_registers_one_version_from_many_workers(tmp_path: Path) -> None:
    driver = Driver(ledger=Ledger.open(tmp_path / "ledger.sqlite"))
    driver.start()

    def register(_: int) -> int:
        return Driver(ledger=driver.ledger).register(trigger="loop/1")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(register, range(20))) == {1}
    assert len(driver.ledger.versions("loop")) == 1


def test_a_paused_worker_that_wakes_up_late_changes_nothing(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    minute = timedelta(minutes=1)
    paused = ledger.acquire("engine/loop", "first", ttl=minute, now=NOW)
    with pytest.raises(ConflictError, match="held by first"):
        ledger.acquire("engine/loop", "second", ttl=minute, now=NOW + minute / 2)
    ledger.acquire("engine/loop", "second", ttl=minute, now=NOW + 2 * minute)
    fact = ev.LoopStopped(loop="loop", who="first", reason="late")
    with pytest.raises(ConflictError, match="passed to another process"):
        ledger.append(fact, time=NOW + 2 * minute, lease=paused)
    with pytest.raises(ConflictError):
        ledger.renew(paused, ttl=minute, now=NOW + 2 * minute)
    ledger.release(paused)
    assert ledger.lease_holder("engine/loop", now=NOW + 2 * minute) == "second"
    assert ledger.newest() == 0


def test_a_fence_grows_even_when_a_lease_was_given_back(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    first = ledger.acquire("work", "a", ttl=timedelta(minutes=1), now=NOW)
    ledger.release(first)
    second = ledger.acquire("work", "a", ttl=timedelta(minutes=1), now=NOW)
    assert second.fence > first.fence


def test_of_two_leases_of_one_owner_only_the_newer_holds(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    minute = timedelta(minutes=1)
    old = ledger.acquire("engine/loop", "first", ttl=minute, now=NOW)
    ledger.acquire("engine/loop", "second", ttl=minute, now=NOW + 2 * minute)
    new = ledger.acquire("engine/loop", "first", ttl=minute, now=NOW + 4 * minute)
    fact = ev.LoopStopped(loop="loop", who="first", reason="late")
    with pytest.raises(ConflictError, match="passed to another process"):
        ledger.append(fact, time=NOW + 4 * minute, lease=old)
    with pytest.raises(ConflictError, match="passed to another process"):
        ledger.renew(old, ttl=minute, now=NOW + 4 * minute)
    ledger.release(old)
    assert (ledger.holds(old), ledger.holds(new)) == (False, True)
    assert ledger.lease_holder("engine/loop", now=NOW + 4 * minute) == "first"
    assert ledger.append(fact, time=NOW + 4 * minute, lease=new).seq == 1


def test_a_lease_ends_at_its_moment_and_not_before(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    minute, instant = timedelta(minutes=1), timedelta(microseconds=1)
    ledger.acquire("work", "first", ttl=minute, now=NOW)
    assert ledger.lease_holder("work", now=NOW + minute - instant) == "first"
    assert ledger.lease_holder("work", now=NOW + minute) is None
    with pytest.raises(ConflictError, match="held by first"):
        ledger.acquire("work", "second", ttl=minute, now=NOW + minute - instant)
    second = ledger.acquire("work", "second", ttl=minute, now=NOW + minute)
    ledger.renew(second, ttl=minute, now=NOW + 2 * minute - instant)
    assert ledger.lease_holder("work", now=NOW + 2 * minute) == "second"


def test_an_owner_that_claims_again_keeps_the_lease_that_it_has(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    minute = timedelta(minutes=1)
    first = ledger.acquire("work", "a", ttl=minute, now=NOW)
    assert ledger.acquire("work", "a", ttl=minute, now=NOW + minute / 2) == first
    assert ledger.holds(first)
    assert ledger.lease_holder("work", now=NOW + minute) == "a"


def test_what_a_dead_owner_held_may_be_taken_at_once(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    minute = timedelta(minutes=1)
    first = ledger.acquire("work", "a", ttl=minute, now=NOW)
    with pytest.raises(ConflictError, match="held by a"):
        ledger.acquire("work", "b", ttl=minute, now=NOW, dead="c")
    second = ledger.acquire("work", "b", ttl=minute, now=NOW, dead="a")
    assert (ledger.holds(first), ledger.holds(second)) == (False, True)


def test_a_promotion_names_the_champion_whose_place_it_takes(tmp_path: Path) -> None:
    driver = Driver(ledger=Ledger.open(tmp_path / "ledger.sqlite"))
    driver.first_champion()
    version = driver.register()
    with pytest.raises(ConflictError):
        driver.ledger.promote("loop", version, expected_epoch=0, who="ann", reason="late", time=NOW)
    made = driver.ledger.promote("loop", version, expected_epoch=1, who="ann", reason="good", time=NOW)
    assert isinstance(made.event, ev.Promoted)
    assert (made.event.previous, made.event.epoch) == (1, 2)


def test_a_lease_that_was_given_back_holds_nothing(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    lease = ledger.acquire("work", "a", ttl=timedelta(minutes=1), now=NOW)
    ledger.release(lease)
    with pytest.raises(ConflictError, match="passed to another process"):
        ledger.append(ev.LoopStopped(loop="loop", who="a", reason="late"), time=NOW, lease=lease)
    assert not ledger.holds(lease)
