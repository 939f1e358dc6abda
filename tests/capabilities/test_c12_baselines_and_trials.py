"""C12: a candidate that only ties the simple or the persistence baseline is blocked, and every trial is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from homeostat import FrameSource, Loop, how, where
from homeostat.ci.evaluate import evaluate
from homeostat.ci.gates import beats_baseline, judge
from homeostat.core import events as ev
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import LoopError
from homeostat.core.model import Bundle
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.training import carry_out
from tests.core.model_rows import rows, trained

TRAIN, TEST = rows(2_400), rows(1_200, seed=4, start=2_400)


def report_of(model, train=TRAIN, test=TEST, **settings):
    return evaluate(trained(train, test, model=model, **settings).model(), train, test)


def test_a_model_that_learned_more_than_the_baselines_passes():
    assert beats_baseline().check(report_of(HistGradientBoostingClassifier(max_iter=40))).passed


def test_a_tie_with_the_simple_model_is_blocked():
    verdict = beats_baseline("simple").check(report_of(LogisticRegression()))
    assert not verdict.passed
    assert "not better beyond noise than simple" in verdict.reason


def test_a_tie_with_the_constant_answer_is_blocked_without_any_gate():
    refused = {verdict.gate for verdict in judge(report_of(DummyClassifier()), ()) if not verdict.passed}
    assert "not_trivial" in refused


def sticky(table: pl.DataFrame) -> pl.DataFrame:
    """Labels that stay for two days, known at once, and a feature that is the label that was known last."""
    y = (pl.col("at").dt.ordinal_day() // 2 % 2) == 0
    made = table.with_columns(y=y, known=pl.col("at") + timedelta(minutes=1))
    return made.with_columns(last=pl.col("y").shift(1).fill_null(value=False))


def test_a_tie_with_persistence_is_blocked():
    table = sticky(rows(1_200))
    train, test = table.head(800), table.tail(400)

    def features(raw: pl.DataFrame) -> pl.DataFrame:
        return raw.select("last")

    model = trained(train, test, features=features).model(features)
    report = evaluate(model, train, test, metric="accuracy")
    assert report.test["accuracy"] > 0.95
    assert report.kappa_per == pytest.approx(0.0, abs=1e-9)
    verdict = beats_baseline("persistence").check(report)
    assert not verdict.passed
    assert "persistence" in verdict.reason


def test_every_trial_is_stored_with_the_model(tmp_path):
    settings = [{"max_depth": depth} for depth in (1, 2, 4)]
    bundle = trained(TRAIN, TEST, model=HistGradientBoostingClassifier(max_iter=20), candidates=settings)
    blobs = ArtifactStore(tmp_path)
    trials = Bundle.read(blobs, bundle.save(blobs)).manifest.candidates
    assert [trial.params for trial in trials] == [{}, *settings]
    assert all(trial.metric == "roc_auc" and trial.score is not None for trial in trials)
    assert sum(trial.chosen for trial in trials) == 1


def test_a_model_without_trials_says_so():
    trials = trained(TRAIN, TEST, model=LogisticRegression()).manifest.candidates
    assert [(trial.params, trial.chosen) for trial in trials] == [({}, True)]


def version_of(store, table, **declared):
    """What a loop without gates of its own registers when a person asks for a run: number, refusals, the champion."""
    source = FrameSource(table, time="at", key="id", target="y", label_time="known")
    loop = Loop(name="world", source=source, where=where.Local(), **declared)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    feed = Feed(store.ledger, Rules(loop="world", when=loop.when, deploy=loop.deploy))
    feed.give(ev.RetrainRequested(loop="world", user="ada", reason="a try", request="request-1"), time=now)
    number = carry_out(store, loop, feed.catch_up().inflight.key, clock=VirtualClock(now))
    feed.catch_up()
    (made,) = (one.event for one in store.ledger.events(loop="world", kinds=(ev.VersionRegistered,)))
    refused = {result.gate for result in made.gates if not result.passed}
    return number, refused, store.ledger.champion("world")


def test_a_loop_that_declares_no_gates_blocks_a_tie_with_the_simple_model(store):
    _, refused, champion = version_of(store, rows(2_400), model=LogisticRegression())
    assert (refused, champion) == ({"beats_baseline"}, None)


def last_only(raw: pl.DataFrame) -> pl.DataFrame:
    """Nothing but the label that was known last."""
    return raw.select("last")


def test_a_loop_that_declares_no_gates_blocks_a_tie_with_persistence(store):
    model = HistGradientBoostingClassifier(max_iter=20)
    _, refused, champion = version_of(store, sticky(rows(1_200)), features=last_only, model=model, metric="accuracy")
    assert "beats_baseline" in refused
    assert champion is None


def test_a_loop_keeps_every_trial_with_its_version_and_a_better_model_passes(store):
    trials = [{"max_depth": depth} for depth in (1, 2, 4)]
    model = HistGradientBoostingClassifier(max_iter=40)
    number, refused, champion = version_of(store, rows(2_400), model=model, candidates=trials)
    assert refused == set()
    assert champion.version == number
    kept = Bundle.read(store.artifacts, store.ledger.version("world", number).manifest).manifest.candidates
    assert [trial.params for trial in kept] == [{}, *trials]
    assert sum(trial.chosen for trial in kept) == 1


def test_a_model_that_learns_online_takes_no_trials():
    source = FrameSource(rows(10), time="at", target="y")
    with pytest.raises(LoopError, match=r"candidates need how\.Refit"):
        Loop(name="world", source=source, how=how.Online(), candidates=[{"max_depth": 2}])
