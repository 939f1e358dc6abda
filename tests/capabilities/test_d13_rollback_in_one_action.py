"""D13 (decision half): one action restores the champion before; the registry and the traffic agree."""

from __future__ import annotations

from homeostat.core import events as ev
from tests.engine.driver import Driver


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
