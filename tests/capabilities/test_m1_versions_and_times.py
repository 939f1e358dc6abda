"""M1: every run records what it ran on and every step when it began and ended; an empty field fails the run."""

from __future__ import annotations

import msgspec
import pytest

from homeostat.ci.pipeline import check_run, current_environment
from homeostat.core import events as ev
from homeostat.core.errors import IntegrityError, InternalError
from homeostat.engine.views.why import why
from tests.ci import small_loop

FIELDS = ev.RunContext.__struct_fields__


def started(store, run):
    events = [each.event for each in store.ledger.events(loop="flights", kinds=(ev.RunStarted,))]
    return next(each for each in events if each.run == run)


def test_a_run_records_versions_commit_and_environment(store):
    environment = started(store, small_loop.run(store).id).environment
    assert environment == current_environment()
    assert all(getattr(environment, name) for name in FIELDS)
    assert environment.commit == "none" or len(environment.commit.partition("+")[0]) in (40, 64)
    assert len(environment.packages) == 64


def test_every_step_records_start_end_and_duration(store):
    finished = small_loop.run(store)
    records = [each.event for each in store.ledger.steps(finished.id)]
    assert {record.step for record in records} == set(finished.outputs)
    row = store.ledger.run(finished.id)
    for record in records:
        assert row.started <= record.started <= record.ended <= row.ended
    for record in records:
        said = why(store.ledger, "flights", f"{finished.id}/{record.step}")
        assert said.facts["seconds"] == f"{(record.ended - record.started).total_seconds():.3f}"
    check_run(store, finished.id)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("nothing", ["", None])
def test_an_empty_version_field_fails_the_run(store, field, nothing):
    environment = msgspec.structs.replace(current_environment(), **{field: nothing})
    with pytest.raises(InternalError, match=f"has no `{field}`"):
        small_loop.run(store, environment=environment)
    row = store.ledger.runs("flights")[0]
    assert row.status == "failed"
    assert field in (row.error or "")
    assert store.ledger.verify() == store.ledger.newest()


def test_an_empty_field_in_the_record_of_a_step_is_found(store):
    finished = small_loop.run(store)
    record = store.ledger.steps(finished.id)[0].event
    store.ledger.append(msgspec.structs.replace(record, why=""), time=small_loop.NOW)
    with pytest.raises(IntegrityError, match=f"record of step `{record.step}` has no `why`"):
        check_run(store, finished.id)


def test_a_step_without_a_record_is_found(store):
    finished = small_loop.run(store)
    begun = started(store, finished.id)
    more = msgspec.structs.replace(begun, run="run-partial", steps=(*begun.steps, "deploy"))
    store.ledger.append(more, time=small_loop.NOW)
    with pytest.raises(IntegrityError, match="step `deploy` left no record"):
        check_run(store, "run-partial")
