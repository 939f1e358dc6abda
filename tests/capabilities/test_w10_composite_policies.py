"""W10: policies combine by or, and, vote, warm-up, cool-down and a bound; one run at a time; cancelling has limits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from homeostat.core import events as ev
from homeostat.core.errors import RefusedError
from homeostat.core.ledger import Ledger
from homeostat.ct import when
from homeostat.ct.when import Past
from homeostat.engine.decide.feed import ended_key
from tests.engine.driver import START, Driver, drifted, scored


def seen(psi: float, auc: float) -> ev.Observed:
    observed = {"now": START, "rows": 1, "labelled": 1, "trainable": 0}
    return ev.Observed(loop="loop", signals=(drifted(psi),), performance=(scored(auc),), **observed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("psi", "auc", "either", "both"),
    [(0.5, 0.6, True, True), (0.5, 0.75, True, False), (0.0, 0.6, True, False), (0.0, 0.75, False, False)],
)
def test_or_and_and_vote_are_what_they_say(psi: float, auc: float, either: bool, both: bool) -> None:
    drift, degraded, never = when.drift(psi=0.2), when.degraded(roc_auc=0.03), when.never()
    history = Past(started=START)
    assert (drift | degraded).read(seen(psi, auc), history).fired is either
    assert (drift & degraded).read(seen(psi, auc), history).fired is both
    assert when.vote(2, drift, degraded, never).read(seen(psi, auc), history).fired is both


def retrains(driver: Driver, hours: int) -> int:
    count = 0
    for _ in range(hours):
        count += any(one.action == "retrain" for one in driver.observe(signals=(drifted(0.9),)))
        if driver.feed.state.inflight is not None:
            driver.register(gates=())
    return count


def test_cool_down_warm_up_and_bounds_are_honoured() -> None:
    policy = when.drift(psi=0.2)
    quiet = Driver(policy.cooldown("24h"))
    quiet.first_champion()
    assert retrains(quiet, 72) == 3
    bounded = Driver(policy.at_most(3, per="100h"))
    bounded.first_champion()
    assert retrains(bounded, 99) == 2, "the initial training counts as the first"
    warm = Driver(policy.warmup("48h"))
    warm.first_champion()
    assert retrains(warm, 47) == 0
    assert retrains(warm, 1) == 1


def test_a_hundred_simultaneous_triggers_make_one_run(tmp_path: Path) -> None:
    driver = Driver(ledger=Ledger.open(tmp_path / "ledger.sqlite"))
    driver.first_champion()

    def ask(number: int) -> list[ev.Decided]:
        other = Driver(ledger=driver.ledger)
        return other.give(ev.RetrainRequested(loop="loop", user="ann", reason="now", request=str(number)))

    with ThreadPoolExecutor(8) as pool:
        decided = [one for batch in pool.map(ask, range(100)) for one in batch]
    assert sum(bool(one.commands) for one in decided) == 1
    assert len(decided) == 100
    assert sum("in flight" in one.reason for one in decided) == 99


def test_cancel_ends_a_run_in_flight() -> None:
    driver = Driver()
    driver.first_champion()
    driver.confirm()
    driver.give(ev.RetrainRequested(loop="loop", user="ann", reason="now", request="r"))
    (decided,) = driver.give(ev.CancelRequested(loop="loop", user="ann", reason="wrong data"))
    (command,) = decided.commands
    assert isinstance(command, ev.Cancel)
    ended = ev.TrainingEnded(loop="loop", trigger=command.trigger, run=None, status="cancelled", error="cancelled")
    driver.give(ended, key=ended_key(command.trigger))
    assert driver.feed.state.inflight is None
    with pytest.raises(RefusedError, match="was ended"):
        driver.register(trigger=command.trigger)


def test_cancel_is_refused_while_the_model_is_being_replaced() -> None:
    driver = Driver()
    driver.first_champion()
    driver.register()
    (refused,) = driver.give(ev.CancelRequested(loop="loop", user="ann", reason="stop"))
    assert not refused.fired
    assert "replacing" in refused.reason
    driver.confirm()
    (allowed,) = driver.give(ev.CancelRequested(loop="loop", user="ann", reason="stop"))
    assert allowed.fired
    assert driver.arms() == {1: 1.0}


def test_a_policy_that_fires_while_a_run_is_in_flight_starts_no_second_one() -> None:
    driver = Driver(when.drift(psi=0.2))
    driver.first_champion()
    first, second = (driver.observe(signals=(drifted(0.9),)) for _ in range(2))
    assert [(one.action, one.fired) for one in (*first, *second)] == [("retrain", True), ("keep", False)]
    assert "in flight" in second[0].reason
