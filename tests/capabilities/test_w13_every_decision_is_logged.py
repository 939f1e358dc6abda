"""W13: every decision is in the ledger, fire and no-fire, with inputs and thresholds."""

from __future__ import annotations

from homeostat.core import events as ev
from homeostat.ct import when
from tests.engine.driver import Driver, drifted, scored


def test_any_past_tick_can_be_explained_with_inputs_and_thresholds() -> None:
    driver = Driver(when.drift(psi=0.2) | when.degraded(roc_auc=0.03))
    driver.first_champion()
    for psi, auc in ((0.05, 0.75), (0.5, 0.75), (0.05, 0.75)):
        driver.observe(signals=(drifted(psi),), performance=(scored(auc),))
    ticks = list(driver.ledger.events(kinds=(ev.Observed,)))
    decisions = {one.cause: one.event for one in driver.ledger.events(kinds=(ev.Decided,))}
    assert [decisions[tick.seq].action for tick in ticks] == ["keep", "retrain", "keep"]
    for tick in ticks:
        decided = decisions[tick.seq]
        assert isinstance(decided, ev.Decided)
        policies = {one["policy"]: one for one in decided.evidence["policies"]}
        assert policies["drift"]["threshold"] == 0.2
        assert policies["drift"]["largest"]["x"]["value"] in (0.05, 0.5)
        assert policies["degraded"]["limit"] == 0.72
        assert decided.reason
    assert [decisions[tick.seq].fired for tick in ticks] == [False, True, False]
