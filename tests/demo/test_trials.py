from __future__ import annotations

from datetime import UTC, datetime, timedelta

from homeostat.core import events as ev
from homeostat.core.ledger import Recorded
from homeostat.demo.figures import trials_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = {2: (4, "promoted"), 3: (8, "inconclusive"), 4: (6, "inconclusive")}


def test_trials_are_counted_by_how_they_ended_and_timed():
    events = []
    for challenger in (2, 3, 4, 5):
        started = ev.TrialStarted(loop="flights", challenger=challenger, champion=1, plan={})
        events.append(Recorded(len(events) + 1, BEGIN, None, None, "", started))
        if challenger in ENDED:
            days, outcome = ENDED[challenger]
            ended = ev.TrialEnded(loop="flights", challenger=challenger, champion=1, outcome=outcome, reason="")
            events.append(Recorded(len(events) + 1, BEGIN + timedelta(days=days), None, None, "", ended))
    found = trials_of(events)
    assert (found.opened, found.outcomes, found.days) == (4, {"promoted": 1, "inconclusive": 2}, 6.0)


def test_without_trials_there_is_nothing_to_time():
    found = trials_of([])
    assert (found.opened, found.outcomes, found.days) == (0, {}, None)
