"""A follower scores what the log says awaits its version: each row once, whatever dies in between."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from homeostat.cd.log import LogReader, LogWriter, PredictionRecord, RowRecord, ShadowRecord
from homeostat.cd.serve.scoring.version import LoadedVersion
from homeostat.cd.serve.shadow.follower import Follower, FollowerNotes
from tests.cd.serving import NOON, bundle, flights, raw

ROWS = raw(flights(60, seed=9))
TYPED = flights(60, seed=9).drop("late", "landed").to_dicts()


@pytest.fixture(scope="module")
def served():
    return LoadedVersion(2, bundle(seed=1).model())


@pytest.fixture
def log(tmp_path):
    FollowerNotes(tmp_path, 2).begin()
    with LogWriter(tmp_path) as writer:
        yield writer


def answered(log, *numbers, awaits=(2,), arm=1):
    """Requests of one row each, as the server writes them."""
    for number in numbers:
        row = RowRecord(f"row{number}", arm, 1.0, TYPED[number], {arm: [True, 0.1, 0.9]})
        log.append(PredictionRecord(f"r{number}", NOON + timedelta(seconds=number), [row], awaits))


def follower(tmp_path, log, served, **more):
    return Follower(tmp_path, 2, lambda: served, log.append, **more)


def run(one):
    while one.step():
        pass


def shadows(tmp_path):
    return [record for record in LogReader(tmp_path).read().records if isinstance(record, ShadowRecord)]


def scored(tmp_path):
    return [name for record in shadows(tmp_path) if record.error is None for name in record.ids]


def test_what_it_says_of_a_logged_row_is_what_the_version_says_of_the_row_itself(tmp_path, log, served):
    answered(log, *range(60))
    run(follower(tmp_path, log, served))
    (record,) = shadows(tmp_path)
    assert record.predictions == served.score(served.decoder.rows(ROWS))
    assert record.requests == [f"r{number}" for number in range(60)]
    assert record.time == NOON + timedelta(seconds=59)


def test_only_rows_that_await_it_and_that_it_did_not_answer_are_scored(tmp_path, log, served):
    answered(log, 0, awaits=())
    answered(log, 1, awaits=(3,))
    answered(log, 2, awaits=(2, 3))
    both = [RowRecord(f"row{n}", arm, 0.5, TYPED[n], {arm: [True, 0.1, 0.9]}) for n, arm in ((3, 1), (4, 2))]
    log.append(PredictionRecord("r", NOON, both, (1, 2)))
    run(follower(tmp_path, log, served))
    assert scored(tmp_path) == ["row2", "row3"]


def test_what_was_logged_before_its_trial_began_is_not_scored(tmp_path, served):
    with LogWriter(tmp_path) as log:
        answered(log, 0)
        FollowerNotes(tmp_path, 2).begin()
        answered(log, 1)
        run(follower(tmp_path, log, served))
    assert scored(tmp_path) == ["row1"]


def test_a_follower_that_died_at_any_instant_is_followed_by_one_that_scores_nothing_twice(tmp_path, log, served):
    """Each of them does one step and is never heard of again; what it noted may be old."""
    for begin in range(0, 60, 10):
        answered(log, *range(begin, begin + 10))
        one = follower(tmp_path, log, served)
        one.step()
        if begin == 20:
            one.note()
    assert scored(tmp_path) == [f"row{number}" for number in range(60)]


def test_what_is_at_hand_when_a_process_dies_fails_and_is_not_tried_again(tmp_path, log, served):
    answered(log, 0, 1)

    def dies():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Follower(tmp_path, 2, dies, log.append).step()
    answered(log, 2)
    after = follower(tmp_path, log, served, ended="SIGSEGV")
    run(after)
    failed, good = shadows(tmp_path)
    assert (failed.ids, failed.predictions) == (["row0", "row1"], [])
    assert "SIGSEGV" in failed.error
    assert good.ids == ["row2"]
    assert (after.stats.failed, after.stats.scored, after.stats.restarts) == (2, 1, 1)


def test_rows_of_a_process_that_was_ended_with_its_server_are_scored_by_the_next(tmp_path, log, served):
    answered(log, 0, 1)

    def dies():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Follower(tmp_path, 2, dies, log.append).step()
    run(follower(tmp_path, log, served))
    assert scored(tmp_path) == ["row0", "row1"]


def test_what_does_not_fit_in_the_queue_is_dropped_counted_and_noted(tmp_path, log, served):
    answered(log, *range(8))
    one = follower(tmp_path, log, served, queue_rows=5)
    run(one)
    dropped, _ = shadows(tmp_path)
    assert (dropped.ids, dropped.error) == (["row5", "row6", "row7"], "dropped")
    assert (one.stats.scored, one.stats.dropped, one.stats.waiting) == (5, 3, 0)


def crashing(rows):
    if rows["distance"].max() >= 5_000:
        raise RuntimeError("the shadow crashed")
    return rows.with_columns(pl.col("distance") * 2)


def test_a_version_that_raises_is_noted_and_goes_on(tmp_path, log):
    version = LoadedVersion(2, bundle(features=crashing).model(crashing))
    far = RowRecord("far", 1, 1.0, {**TYPED[0], "distance": 6_000}, {1: [True, 0.1, 0.9]})
    log.append(PredictionRecord("r", NOON, [far], (2,)))
    one = follower(tmp_path, log, version)
    run(one)
    answered(log, 1)
    run(one)
    failed, good = shadows(tmp_path)
    assert (failed.requests, failed.ids, failed.predictions) == (["r"], ["far"], [])
    assert "the shadow crashed" in failed.error
    assert good.ids == ["row1"]
    assert (one.stats.failed, one.stats.scored) == (1, 1)


def test_a_version_that_cannot_be_loaded_fails_its_rows(tmp_path, log):
    answered(log, 0)

    def load():
        raise ValueError("no such model")

    run(Follower(tmp_path, 2, load, log.append))
    assert [record.error for record in shadows(tmp_path)] == ["no such model"]


def test_a_slow_version_gets_few_rows_at_a_time(tmp_path, log, served, monkeypatch):
    answered(log, *range(7))
    monkeypatch.setattr(served, "seconds", 0.4)
    one = follower(tmp_path, log, served)
    run(one)
    answered(log, *range(7, 14))
    run(one)
    assert [len(record.ids) for record in shadows(tmp_path)] == [7, 2, 2, 2, 1]


def test_what_waits_when_a_follower_notes_how_far_it_came_is_scored_by_the_next(tmp_path, log, served, monkeypatch):
    answered(log, 0)
    one = follower(tmp_path, log, served)
    run(one)
    monkeypatch.setattr(served, "seconds", 0.4)
    answered(log, *range(1, 8))
    one.step()
    one.note()
    assert (scored(tmp_path), one.stats.waiting) == (["row0", "row1", "row2"], 5)
    run(follower(tmp_path, log, served))
    assert scored(tmp_path) == [f"row{number}" for number in range(8)]
