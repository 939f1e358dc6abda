"""Every decision says in a field of its own whether it was done, refused or held; nobody has to read its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from homeostat.cd.deploy import Immediately
from homeostat.core import events as ev
from homeostat.ct import when
from homeostat.engine.views.why import why
from tests.engine.driver import REFUSED, Driver

if TYPE_CHECKING:
    from collections.abc import Callable

WHO = {"loop": "loop", "user": "ann", "reason": "refused: or so it begins"}


def crowned() -> Driver:
    driver = Driver(plan=Immediately(), policy=when.rows(10))
    driver.first_champion()
    driver.confirm()
    return driver


def asked(event: Callable[..., ev.AnyEvent], **more: Any) -> Callable[[Driver], list[ev.Decided]]:
    return lambda driver: driver.give(event(**WHO, **more))


def registered(**more: Any) -> Callable[[Driver], list[ev.Decided]]:
    def act(driver: Driver) -> list[ev.Decided]:
        driver.register(**more)
        return [one.event for one in driver.ledger.events(kinds=(ev.Decided,))][-1:]

    return act


def fired_twice(driver: Driver) -> list[ev.Decided]:
    driver.observe(trainable=100)
    return driver.observe(trainable=200)


def skewed(driver: Driver) -> list[ev.Decided]:
    signal = ev.Signal(kind="schema_skew", subject="source", value=None, n=0, alarmed=True, detail="no such column")
    return driver.observe(signals=(signal,))[:1]


CASES: dict[str, tuple[Callable[[Driver], list[ev.Decided]], ev.DecisionOutcome]] = {
    "a run that is asked for": (asked(ev.RetrainRequested, request="1"), "done"),
    "the champion again": (asked(ev.PromotionRequested, version=1, direct=True), "refused"),
    "a version that is not there": (asked(ev.PromotionRequested, version=9, direct=True), "refused"),
    "no earlier champion": (asked(ev.RollbackRequested, version=None), "refused"),
    "nothing to cancel": (asked(ev.CancelRequested), "refused"),
    "a policy that is quiet": (lambda driver: driver.observe(), "done"),
    "a policy that fires while a run is in flight": (fired_twice, "held"),
    "rows that do not fit": (skewed, "refused"),
    "a candidate that its gates refuse": (registered(gates=REFUSED), "refused"),
    "a candidate that was compared with another champion": (registered(parent=None), "held"),
    "a candidate that passes": (registered(), "done"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_decision_says_what_became_of_what_was_wanted(case: str) -> None:
    act, outcome = CASES[case]
    (decided,) = act(crowned())
    assert decided.outcome == outcome


def test_a_refused_request_is_explained_as_one() -> None:
    driver = crowned()
    driver.give(ev.CancelRequested(**WHO))
    answer = why(driver.ledger, "loop", "last")
    assert answer.answer == "Refused: nothing is in flight."
    assert answer.facts["outcome"] == "refused"
