"""What is asked of a ledger: events after a number, runs and steps, results that are kept, and what an anchor says."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from homeostat.core import events as ev
from homeostat.core.errors import NotFoundError
from homeostat.core.ledger import Ledger
from homeostat.core.ledger.anchor import Anchor, anchor_of, broken

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HERE = ev.RunContext(homeostat="1", python="3", platform="p", packages="", commit="none")


def begun(run: str, loop: str = "rides") -> ev.RunStarted:
    trigger = ev.Trigger(key=f"t/{run}", kind="manual", reason="r")
    return ev.RunStarted(
        loop=loop, run=run, trigger=trigger, pipeline="p", steps=("clean",), environment=HERE, settings={}
    )


def step(run: str, output: str, outcome: str = "ran", key: str | None = "k") -> ev.StepFinished:
    facts = {"parts": {}, "why": "new", "started": NOW, "ended": NOW}
    return ev.StepFinished(loop="rides", run=run, step="clean", key=key, outcome=outcome, output=output, **facts)


@pytest.fixture
def ledger() -> Ledger:
    """Five events: two runs of one loop with a step each, and one of another loop."""
    made = Ledger.open(":memory:")
    for place, event in enumerate((begun("ab1"), step("ab1", "aa"), begun("ab2"), step("ab2", "aa", "hit"))):
        made.append(event, time=NOW + timedelta(hours=place))
    made.append(begun("cd1", loop="flights"), time=NOW)
    return made


def test_events_are_those_after_a_number_of_a_loop_and_of_some_kinds(ledger: Ledger) -> None:
    assert [one.seq for one in ledger.events(after=3)] == [4, 5]
    assert [one.seq for one in ledger.events(loop="rides")] == [1, 2, 3, 4]
    assert [one.seq for one in ledger.events(loop="rides", kinds=(ev.RunStarted,), after=1)] == [3]
    with ledger.transaction() as tx:
        assert [one.seq for one in tx.events(loop="flights")] == [5]


def test_the_head_of_every_loop_is_its_newest_event(ledger: Ledger) -> None:
    assert {one.event.loop: one.seq for one in ledger.heads()} == {"rides": 4, "flights": 5}
    assert (ledger.newest(), ledger.loops()) == (5, ["flights", "rides"])


def test_a_run_is_found_by_a_beginning_that_only_it_has(ledger: Ledger) -> None:
    assert ledger.run("ab1").run == "ab1"
    assert ledger.run("c").loop == "flights"
    with pytest.raises(NotFoundError, match="more than one run begins with 'ab'"):
        ledger.run("ab")
    with pytest.raises(NotFoundError, match="no run begins with 'a_1'"):
        ledger.run("a_1")


def test_runs_come_newest_first_and_by_their_status(ledger: Ledger) -> None:
    ended = ev.RunFinished(loop="rides", run="ab1", trigger="t/ab1", status="failed", outputs={}, error="oh")
    ledger.append(ended, time=NOW + timedelta(hours=9))
    assert [row.run for row in ledger.runs("rides")] == ["ab2", "ab1"]
    assert [row.run for row in ledger.runs(status="running")] == ["ab2", "cd1"]
    row = ledger.run("ab1")
    assert (row.status, row.error, row.ended) == ("failed", "oh", NOW + timedelta(hours=9))


def test_the_record_of_a_step_before_a_number_is_an_earlier_one(ledger: Ledger) -> None:
    found = [ledger.last_step("rides", "clean", before=before) for before in (None, 5, 4, 2)]
    assert [one and one.seq for one in found] == [4, 4, 2, None]


def test_a_kept_result_is_of_the_run_that_computed_it_last(ledger: Ledger) -> None:
    kept = ledger.cache_get("k")
    assert kept is not None
    assert (kept.run, kept.output) == ("ab1", "aa")
    ledger.append_many([step("ab2", "bb"), step("ab2", "cc", "failed", key="other")], time=NOW)
    kept = ledger.cache_get("k")
    assert kept is not None
    assert (kept.run, kept.output) == ("ab2", "bb")
    assert ledger.cache_get("other") is None


def test_a_ledger_that_only_grew_holds_all_that_was_anchored(ledger: Ledger) -> None:
    anchor = anchor_of(ledger)
    assert broken(ledger, anchor) == []
    ledger.append(begun("ab3"), time=NOW)
    assert broken(ledger, anchor) == []


def test_a_tail_that_was_cut_off_or_rewritten_is_found_by_the_anchor(tmp_path: Path) -> None:
    made = Ledger.open(tmp_path / "ledger.sqlite")
    for run in ("ab1", "ab2", "ab3"):
        made.append(begun(run), time=NOW)
    anchor = anchor_of(made)
    other = Ledger.open(tmp_path / "other.sqlite")
    for run in ("ab1", "ab2", "xy3"):
        other.append(begun(run), time=NOW)
    assert "was rewritten" in broken(other, anchor)[0]
    made.close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("DELETE FROM events WHERE seq = 3")
    cut = Ledger.open(tmp_path / "ledger.sqlite")
    assert broken(cut, anchor) == ["the ledger ends at event 2, and event 3 of loop rides was anchored"]
    elsewhere = Anchor(heads=(msgspec.structs.replace(anchor_of(cut).heads[0], loop="flights"),))
    assert len(broken(cut, elsewhere)) == 1
