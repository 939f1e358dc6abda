"""X2: the events of a recorded live run, replayed, give the same decisions, with the same evidence and facts."""

from __future__ import annotations

import msgspec
import pytest

from homeostat.core import events as ev
from homeostat.engine.decide.feed import decided, replayed
from homeostat.engine.decide.state import Rules
from tests.engine.played import Played

pytestmark = pytest.mark.slow


def test_the_events_of_a_live_run_replayed_give_the_same_decisions(played: Played) -> None:
    loop = played.loop
    rules = Rules(loop=loop.name, when=loop.when, deploy=loop.deploy)
    recorded = list(played.store.ledger.events(loop=loop.name))
    stand = decided(recorded)
    again = [(seq, decision.decided) for seq, decision in replayed(rules, recorded)]
    plain = [msgspec.json.encode(pair, order="sorted") for pair in stand]
    assert [msgspec.json.encode(pair, order="sorted") for pair in again] == plain
    facts = [one.event for one in recorded if one.cause is not None and not isinstance(one.event, ev.Decided)]
    assert [fact for _, decision in replayed(rules, recorded) for fact in decision.facts] == facts
    actions = {decision.action for _, decision in stand}
    assert {"retrain", "promote", "deploy", "keep", "roll_back"} <= actions


def test_another_policy_would_have_decided_otherwise(played: Played) -> None:
    from homeostat.ct import when

    rules = Rules(loop=played.loop.name, when=when.never(), deploy=played.loop.deploy)
    recorded = list(played.store.ledger.events(loop=played.loop.name))
    retrains = [decision for _, decision in replayed(rules, recorded) if decision.decided.action == "retrain"]
    assert len(retrains) == 1, "only the first model"
