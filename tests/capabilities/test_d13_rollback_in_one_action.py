"""D13: one action restores the version before, in the registry and in the traffic; its answers are the same bytes."""

from __future__ import annotations

import json

import pytest

from homeostat.core import events as ev
from tests.engine.driver import Driver
from tests.engine.played import Played


def test_one_request_restores_the_previous_version() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register()
    driver.give(ev.PromotionRequested(loop="loop", version=2, user="ann", reason="good"))
    assert driver.arms() == {2: 1.0}
    (decided,) = driver.give(ev.RollbackRequested(loop="loop", version=None, user="bob", reason="complaints"))
    assert (decided.action, decided.fired) == ("roll_back", True)
    assert driver.arms() == {1: 1.0}
    assert (driver.state_of(1), driver.state_of(2)) == ("champion", "rolled_back")
    champion = driver.ledger.champion("loop")
    assert champion is not None
    assert (champion.version, champion.previous, champion.epoch) == (1, 2, 3)


@pytest.mark.slow
def test_after_a_rollback_the_live_server_answers_with_the_same_bytes(played: Played) -> None:
    def plain(name: str) -> bytes:
        answers = [{key: value for key, value in one.items() if key != "id"} for one in played.drill[name]]
        return json.dumps(answers, sort_keys=True).encode()

    assert plain("before") == plain("after")
    assert plain("promoted") != plain("before")
    assert played.drill_seconds < 30
