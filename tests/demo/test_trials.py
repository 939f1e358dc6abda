from __future__ import annotations

from datetime import UTC, datetime, timedelta

from homeostat.core import events as ev
from homeostat.core.ledger import Ledger
from homeostat.demo.figures import trials_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def test_trials_are_counted_by_how_they_ended_and_timed(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    for challenger, days, outcome in ((2, 4, "promoted"), (3, 8, "inconclusive"), (4, 6, "inconclusive"), (5, 0, None)):
        started = ev.TrialStarted(loop="flights", challenger=challenger, champion=1, plan={})
        ledger.append(started, time=BEGIN)
        if outcome is not None:
            ended = ev.TrialEnded(loop="flights", challenger=challenger, champion=1, outcome=outcome, reason="")
            ledger.append(ended, time=BEGIN + timedelta(days=days))
    found = trials_of(ledger, "flights")
    assert found.opened == 4
    assert found.outcomes == {"promoted": 1, "inconclusive": 2}
    assert found.days == 6.0


def test_without_trials_there_is_nothing_to_time(tmp_path):
    found = trials_of(Ledger.open(tmp_path / "ledger.sqlite"), "flights")
    assert (found.opened, found.outcomes, found.days) == (0, {}, None)
