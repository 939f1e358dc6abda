"""A run's records are grouped and yet survive its process; the record of a dead run is closed by the next start."""

from __future__ import annotations

import msgspec
import pytest

from homeostat.ci.pipeline import Pipeline, mark_interrupted
from homeostat.ci.pipeline.inflight import inflight_of
from homeostat.ci.pipeline.record import Recorder, alive_name
from homeostat.core import events as ev
from homeostat.core.clock import SystemClock, VirtualClock
from homeostat.core.errors import StoreError
from tests.ci.small_loop import NOW

ENVIRONMENT = ev.RunContext(homeostat="0", python="3", platform="x", packages="p", commit="none")
TRIGGER = ev.Trigger(key="k", kind="manual", reason="r")
STARTED = ev.RunStarted(
    loop="x",
    run="run-1",
    pipeline="p",
    steps=("one", "two"),
    trigger=TRIGGER,
    environment=ENVIRONMENT,
    settings={},
)
FINISHED = ev.RunFinished(loop="x", run="run-1", trigger="k", status="succeeded", outputs={"one": "a"})


def record(step="one", outcome="ran"):
    return ev.StepFinished(
        loop="x",
        run="run-1",
        step=step,
        key=f"key {step}",
        parts={},
        outcome=outcome,
        why="new",
        output="a" * 64,
        started=NOW,
        ended=NOW,
    )


def line(event):
    """A line of a run's journal."""
    return msgspec.json.encode({"time": NOW, "event": event}) + b"\n"


@pytest.fixture
def recorder(store):
    return Recorder(store, "run-1", VirtualClock(NOW), inflight_of(store.path))


def kinds(store):
    return [each.event.__struct_config__.tag for each in store.ledger.events()]


def test_records_and_the_end_are_committed_in_order(store, recorder):
    recorder.begin(STARTED)
    recorder.step(record("one"))
    recorder.step(record("two"))
    recorder.finish(FINISHED)
    assert kinds(store) == ["run_started", "step_finished", "step_finished", "run_finished"]
    assert store.ledger.cache_get("key two").run == "run-1"
    store.ledger.verify()


def test_a_finished_run_leaves_no_journal(store, recorder):
    recorder.begin(STARTED)
    recorder.step(record())
    recorder.finish(FINISHED)
    assert list((store.path / "runs").iterdir()) == []


def test_a_run_ends_once(store, recorder):
    recorder.begin(STARTED)
    recorder.finish(FINISHED)
    late = Recorder(store, "run-1", VirtualClock(NOW), inflight_of(store.path))
    late.finish(msgspec.structs.replace(FINISHED, status="failed"))
    assert store.ledger.run("run-1").status == "succeeded"


def test_records_that_were_not_committed_are_brought_in_from_the_journal(store):
    journal = store.path / "runs" / "run-1.jsonl"
    store.ledger.append(STARTED, time=NOW)
    journal.parent.mkdir()
    journal.write_bytes(line(record("one")) + line(record("two"))[:-9])
    assert mark_interrupted(store, SystemClock()) == ["run-1"]
    assert [each.event.step for each in store.ledger.steps("run-1")] == ["one"]
    assert store.ledger.run("run-1").status == "interrupted"
    assert not journal.exists()


def test_a_run_of_which_nothing_was_committed_is_brought_in_with_its_beginning(store):
    journal = store.path / "runs" / "run-1.jsonl"
    journal.parent.mkdir()
    journal.write_bytes(line(STARTED) + line(record("one")))
    assert mark_interrupted(store, SystemClock(), loop="x") == ["run-1"]
    assert kinds(store) == ["run_started", "step_finished", "run_finished"]
    row = store.ledger.run("run-1")
    assert (row.started, row.trigger, row.status) == (NOW, "k", "interrupted")


@pytest.mark.parametrize("torn", [b"", b'{"time":"2013'])
def test_a_journal_without_a_whole_line_changes_nothing(store, torn):
    journal = store.path / "runs" / "run-1.jsonl"
    journal.parent.mkdir()
    journal.write_bytes(torn)
    assert mark_interrupted(store, SystemClock()) == []
    assert store.ledger.newest() == 0


def test_the_journal_of_a_run_that_has_ended_changes_nothing(store, recorder):
    recorder.begin(STARTED)
    recorder.finish(FINISHED)
    (store.path / "runs" / "run-1.jsonl").write_bytes(line(STARTED) + line(record("one")))
    assert mark_interrupted(store, SystemClock()) == []
    assert kinds(store) == ["run_started", "run_finished"]
    assert not (store.path / "runs" / "run-1.jsonl").exists()


def test_records_that_were_committed_are_not_doubled(store):
    journal = store.path / "runs" / "run-1.jsonl"
    store.ledger.append(STARTED, time=NOW)
    store.ledger.append(record("one"), time=NOW)
    journal.parent.mkdir()
    journal.write_bytes(line(record("one")))
    mark_interrupted(store, SystemClock())
    assert kinds(store) == ["run_started", "step_finished", "run_finished"]


def test_a_run_that_is_alive_is_left_alone(store):
    store.ledger.append(STARTED, time=NOW)
    inflight_of(store.path).try_enter(alive_name("run-1"))
    assert mark_interrupted(store, SystemClock()) == []
    assert store.ledger.run("run-1").status == "running"
    inflight_of(store.path).leave(alive_name("run-1"))


def test_only_the_runs_of_the_loop_that_was_asked_for_are_closed(store):
    store.ledger.append(STARTED, time=NOW)
    assert mark_interrupted(store, SystemClock(), loop="other") == []
    assert mark_interrupted(store, SystemClock(), loop="x") == ["run-1"]
    assert mark_interrupted(store, SystemClock(), loop="x") == []


def test_a_store_whose_journal_cannot_be_written_is_refused_before_anything_runs(store):
    (store.path / "runs").write_bytes(b"")
    ran = []
    with pytest.raises(StoreError, match="journal"):
        Pipeline(lambda_step(ran)).run(store, loop="x")
    assert ran == []
    assert store.ledger.newest() == 0


def lambda_step(ran):
    def once():
        ran.append(1)
        return 0

    return once


def test_a_run_on_a_virtual_clock_has_its_times(store):
    def once():
        return 0

    finished = Pipeline(once).run(store, loop="x", clock=VirtualClock(NOW))
    row = store.ledger.run(finished.id)
    assert (row.started, row.ended) == (NOW, NOW)
