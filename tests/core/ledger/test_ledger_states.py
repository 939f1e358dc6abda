"""The state of a version follows from the events about it; an event that asks for an illegal move changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from homeostat.core import events as ev
from homeostat.core.errors import ConflictError, NotFoundError, RefusedError
from homeostat.core.ledger import Ledger
from homeostat.core.ledger.states import MOVES, STATES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TRIAL = {"shadow", "canary", "split", "bandit"}
ENDS = {"rolled_back", "inconclusive", "cancelled"}
PASSED = ev.GateResult(gate="beats_champion", passed=True, reason="better", numbers={})
MISSED = ev.GateResult(gate="at_least", passed=False, reason="too low", numbers={}, binding=False)
BARRED = ev.GateResult(gate="complete", passed=False, reason="NaN", numbers={}, binding=True)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger.open(":memory:")


def register(ledger: Ledger, gates=(PASSED,), loop: str = "rides") -> int:
    event = ev.VersionRegistered(
        loop=loop,
        version=0,
        run="run",
        trigger=ev.Trigger(key=f"{loop}/{ledger.newest()}", kind="manual", reason="test"),
        manifest="m" * 64,
        parent=None,
        train_metrics={},
        test_metrics={},
        gates=gates,
        how="refit",
        trained_rows=100,
        trainable=0,
        window_start=None,
        window_end=None,
    )
    with ledger.transaction() as tx:
        recorded, _ = tx.register(event, time=NOW)
    return recorded.event.version  # type: ignore[union-attr]


def promote(ledger: Ledger, version: int, epoch: int) -> None:
    ledger.promote("rides", version, expected_epoch=epoch - 1, who="ann", reason="test", time=NOW)


def divide(ledger: Ledger, **roles: str) -> None:
    """Give versions their roles, as in `v2="canary"`."""
    arms = tuple(ev.Arm(version=int(name[1:]), role=role, share=1 / len(roles)) for name, role in roles.items())
    ledger.append(ev.ArmsSet(loop="rides", arms=arms, salt="s", reason="test"), time=NOW)


def end(ledger: Ledger, version: int, outcome: str) -> None:
    ended = ev.TrialEnded(loop="rides", challenger=version, champion=1, outcome=outcome, reason="test")
    ledger.append(ended, time=NOW)


def states(ledger: Ledger) -> dict[int, str]:
    return {row.version: row.state for row in ledger.versions("rides")}


def test_every_state_is_explained_and_only_these_moves_are_legal() -> None:
    answering = TRIAL | {"champion"}
    legal = {"candidate": answering, "refused": answering, "champion": {"retired", "rolled_back"}}
    legal |= dict.fromkeys(TRIAL, answering | ENDS) | dict.fromkeys({"retired"} | ENDS, answering)
    assert {state: set(next_ones) for state, next_ones in MOVES.items()} == legal
    assert set(STATES) == set(MOVES)


@pytest.mark.parametrize(("gates", "state"), [((PASSED,), "candidate"), ((PASSED, MISSED), "refused")])
def test_a_new_version_is_what_its_gates_say(ledger: Ledger, gates, state: str) -> None:
    register(ledger, gates)
    assert states(ledger) == {1: state}


def test_versions_are_counted_by_loop(ledger: Ledger) -> None:
    assert [register(ledger, loop=loop) for loop in ("rides", "flights", "rides", "flights")] == [1, 1, 2, 2]
    assert [row.version for row in ledger.versions("rides")] == [2, 1]


def test_a_version_goes_its_way_from_shadow_to_champion_and_its_predecessor_retires(ledger: Ledger) -> None:
    register(ledger), register(ledger)
    promote(ledger, 1, 1)
    seen = []
    for role in ("shadow", "canary"):
        divide(ledger, v1="champion", v2=role)
        seen.append(states(ledger))
    promote(ledger, 2, 2)
    seen.append(states(ledger))
    assert [one[2] for one in seen] == ["shadow", "canary", "champion"]
    assert [one[1] for one in seen] == ["champion", "champion", "retired"]
    champion = ledger.champion("rides")
    assert champion is not None
    assert (champion.version, champion.previous, champion.epoch) == (2, 1, 2)


def test_a_champion_that_is_rolled_back_is_called_so(ledger: Ledger) -> None:
    register(ledger), register(ledger)
    promote(ledger, 1, 1)
    promote(ledger, 2, 2)
    event = ev.RolledBack(loop="rides", version=1, previous=2, epoch=3, who="ann", reason="worse")
    ledger.append(event, time=NOW)
    assert states(ledger) == {1: "champion", 2: "rolled_back"}


@pytest.mark.parametrize("outcome", sorted(ENDS))
def test_a_trial_that_ends_says_how(ledger: Ledger, outcome: str) -> None:
    register(ledger), register(ledger)
    promote(ledger, 1, 1)
    divide(ledger, v1="champion", v2="canary")
    end(ledger, 2, outcome)
    assert states(ledger)[2] == outcome


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (lambda ledger: divide(ledger, v1="canary"), "is champion and cannot become canary"),
        (lambda ledger: divide(ledger, v2="shadow", v1="shadow"), "is champion and cannot become shadow"),
        (lambda ledger: end(ledger, 2, "rolled_back"), "is candidate and cannot become rolled_back"),
        (lambda ledger: end(ledger, 3, "inconclusive"), "is refused and cannot become inconclusive"),
        (lambda ledger: promote(ledger, 4, 2), "refused for good by complete"),
    ],
)
def test_an_illegal_move_is_refused_and_nothing_of_it_stays(ledger: Ledger, move, said: str) -> None:
    for gates in ((PASSED,), (PASSED,), (MISSED,), (BARRED,)):
        register(ledger, gates)
    promote(ledger, 1, 1)
    before, newest = states(ledger), ledger.newest()
    with pytest.raises(RefusedError, match=said):
        move(ledger)
    assert (states(ledger), ledger.newest()) == (before, newest)


def test_what_a_gate_refused_that_guards_no_promise_a_person_may_promote(ledger: Ledger) -> None:
    register(ledger, (PASSED, MISSED))
    promote(ledger, 1, 1)
    assert states(ledger) == {1: "champion"}


def test_a_version_that_is_not_there_goes_nowhere(ledger: Ledger) -> None:
    register(ledger)
    with pytest.raises(NotFoundError, match="no version 2"):
        divide(ledger, v1="canary", v2="shadow")
    with pytest.raises(NotFoundError, match="no version 2"):
        promote(ledger, 2, 1)


def test_a_loop_has_one_first_champion(ledger: Ledger) -> None:
    register(ledger), register(ledger)
    promote(ledger, 1, 1)
    with pytest.raises(ConflictError, match="has a champion already"):
        promote(ledger, 2, 1)
    assert states(ledger) == {1: "champion", 2: "candidate"}
