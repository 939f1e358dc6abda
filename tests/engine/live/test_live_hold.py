"""A process that lost its loop to another one notices, and one that merely takes long keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.core.errors import ConflictError
from homeostat.core.ledger import Ledger
from homeostat.engine.live.hold import TTL, Hold

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_lease_that_another_process_took_and_gave_back_is_not_ours(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    first = Hold(ledger, ledger.acquire("engine/loop", "first", ttl=TTL, now=NOW))
    second = ledger.acquire("engine/loop", "second", ttl=TTL, now=NOW + timedelta(minutes=1))
    ledger.release(second)
    assert ledger.lease_holder("engine/loop", now=NOW) is None
    assert not first.let_go()


def test_a_loss_that_the_renewal_noticed_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeostat.engine.live.hold._RENEW_SECONDS", 0.01)
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    lease = ledger.acquire("engine/loop", "first", ttl=TTL, now=NOW)
    ledger.acquire("engine/loop", "second", ttl=TTL, now=NOW + timedelta(minutes=1))
    hold = Hold(ledger, lease)
    hold._thread.join(timeout=30)
    with pytest.raises(ConflictError, match="passed to another process"):
        hold.check()


def test_a_lease_that_ran_out_and_that_nobody_took_is_still_ours(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    hold = Hold(ledger, ledger.acquire("engine/loop", "first", ttl=TTL, now=NOW - timedelta(days=1)))
    hold.check()
    assert hold.let_go()
