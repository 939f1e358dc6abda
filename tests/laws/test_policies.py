from __future__ import annotations

import copy
from datetime import timedelta
from itertools import pairwise
from typing import Literal

import msgspec
import pytest

from homeostat import FileSource, Loop, when
from homeostat.cd.deploy import Split
from homeostat.core import events as ev
from homeostat.core.errors import LoopError
from homeostat.engine.decide.feed import Feed, decided, replayed
from tests.engine.driver import START, Driver, drifted, scored
from tests.laws.toys import Streak

STREAK = Streak(length=2)
EXAMPLES = (
    when.never(),
    when.every("3h"),
    when.rows(150),
    when.new_version(),
    when.drift(psi=0.2),
    when.degraded(roc_auc=0.03),
    when.drift(psi=0.2) | STREAK,
    STREAK & when.rows(1),
    when.vote(2, STREAK, when.every("2h"), when.drift(psi=0.5)),
    STREAK.cooldown("2h"),
    STREAK.warmup("2h"),
    (STREAK | when.rows(1)).at_most(1, per="12h"),
    STREAK,
)
NAMES = [msgspec.to_builtins(policy)["when"] for policy in EXAMPLES]
ALARMS = (True, True, False, True, True, True, False, False, True, True)
"""Whether the observation of each hour has an alarm."""


def given(hour: int) -> dict[str, object]:
    """What the monitor sees at an hour, beside its time."""
    return {
        "trainable": 100 * hour,
        "signals": (drifted(0.3 if ALARMS[hour] else 0.01),),
        "performance": (scored(0.70 if ALARMS[hour] else 0.75),),
        "source_version": f"v{hour // 4}",
    }


def looks() -> list[when.Look]:
    """One observation an hour."""
    return [
        when.Look(
            loop="loop",
            now=START + timedelta(hours=hour),
            rows=0,
            labelled=0,
            past=when.Past(started=START, fires=(START + timedelta(hours=1),) if hour > 1 else ()),
            **given(hour),
        )
        for hour in range(len(ALARMS))
    ]


def played(policy: when.Policy) -> Driver:
    """A loop that the policy is in charge of for some hours."""
    driver = Driver(policy)
    driver.first_champion()
    for hour in range(len(ALARMS)):
        driver.observe(**given(hour))
        if driver.feed.state.inflight is not None:
            driver.register(gates=refusal(hour), trainable=100 * hour)
    return driver


def refusal(hour: int) -> tuple[ev.GateResult, ...]:
    """Candidates are refused, so that no trial holds the policy back."""
    return (ev.GateResult(gate="at_least", passed=False, reason=f"hour {hour}", numbers={}),)


def told(decisions: list[tuple[int, ev.Decided]]) -> bytes:
    """Decisions as they stand in a ledger."""
    return msgspec.json.encode(decisions, order="deterministic")


def test_every_policy_of_the_table_has_an_example():
    assert set(NAMES) == set(when.POLICIES)


@pytest.mark.parametrize("policy", EXAMPLES, ids=NAMES)
def test_a_step_is_pure(policy: when.Policy):
    memory, seen = None, looks()
    assert seen
    for look in seen:
        before = copy.deepcopy(memory)
        first = policy.step(memory, look)
        assert memory == before
        assert policy.step(before, look) == first
        memory = first[0]


@pytest.mark.parametrize("policy", EXAMPLES, ids=NAMES)
def test_a_memory_that_was_written_as_json_goes_on_as_if_it_had_not_been(policy: when.Policy):
    kept, stored, seen = None, None, looks()
    assert seen
    for look in seen:
        kept, reading = policy.step(kept, look)
        stored, same = policy.step(msgspec.json.decode(msgspec.json.encode(stored)), look)
        assert (stored, same) == (kept, reading)
        assert reading.reason
        assert msgspec.json.encode(reading.evidence)


@pytest.mark.parametrize("policy", EXAMPLES, ids=NAMES)
def test_a_loop_that_starts_again_remembers_what_the_running_one_does(policy: when.Policy):
    driver = played(policy)
    again = Feed(driver.ledger, driver.rules)
    assert again.catch_up() == driver.feed.catch_up()
    assert again.state.reading is not None


@pytest.mark.parametrize("policy", EXAMPLES, ids=NAMES)
def test_a_replay_decides_as_the_loop_did(policy: when.Policy):
    driver = played(policy)
    recorded = list(driver.ledger.events(loop="loop"))
    assert told([(seq, one.decided) for seq, one in replayed(driver.rules, recorded)]) == told(decided(recorded))


def test_a_policy_of_ones_own_remembers_in_a_loop_and_fires_when_it_says():
    recorded = [one.event for one in played(STREAK).ledger.events(loop="loop", kinds=(ev.Observed, ev.Decided))]
    fired = [
        after.action == "retrain"
        for before, after in pairwise(recorded)
        if isinstance(before, ev.Observed) and isinstance(after, ev.Decided)
    ]
    assert fired == [False, True, False, False, True, False, False, False, False, True]
    loop = Loop(name="rides", source=FileSource("bikes.csv", time="time", target="rides"), when=STREAK | when.never())
    assert loop.when.label == "streak|never"


@pytest.mark.parametrize(("overlap", "action"), [("queue", "retrain"), ("skip", "keep")])
def test_a_time_at_which_a_trial_ends_fell_into_it(overlap: Literal["queue", "skip"], action: str):
    driver = Driver(when.every("3h", overlap=overlap), plan=Split(rows=100))
    driver.first_champion()
    driver.register()
    decided_upon = driver.observe(hours=3, judgement=driver.judged(500, "promote"))
    assert [one.action for one in decided_upon] == ["promote", action]


def test_a_policy_that_is_joined_with_one_that_forgets_keeps_its_memory():
    joined, memory = when.rows(1_000) | STREAK, None
    readings = []
    for look in looks()[:2]:
        memory, reading = joined.step(memory, look)
        readings.append(reading.fired)
    assert readings == [False, True]


def test_a_policy_that_is_held_back_goes_on_remembering():
    held, free, seen = STREAK.warmup("9d"), STREAK, looks()
    counted = remembered = None
    assert seen
    for look in seen:
        remembered, reading = held.step(remembered, look)
        counted, _ = free.step(counted, look)
        assert (remembered, reading.fired) == (counted, False)


def test_a_name_is_taken_once():
    with pytest.raises(LoopError, match="there is a policy 'drift' already"):

        @when.POLICIES.register
        class Another(when.Policy, tag="drift", frozen=True):
            """Of the same name as one of the house's."""

    with pytest.raises(LoopError, match="there is no policy 'drifts'") as refused:
        when.POLICIES["drifts"]
    assert refused.value.hint == "did you mean 'drift'?"
