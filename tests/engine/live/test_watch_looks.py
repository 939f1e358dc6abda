"""What one look of the engine sees: the rows since the last one, the labels that are in, and the trial that runs."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest

from homeostat import FrameSource, Loop
from homeostat.cd.deploy import Canary, Split
from homeostat.cd.log import LabelItem, LabelRecord, LogWriter, PredictionRecord, RowRecord, ShadowRecord
from homeostat.cd.monitor import MonitorConfig, ServiceCounts
from homeostat.core import events as ev
from homeostat.core.stats.drift import DriftConfig
from homeostat.core.store import Store
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules, State
from homeostat.engine.live.watch import Watch, monitor_config
from tests.cd.serving import LOOP, NOON, bundle, flights, promote, raw, register

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SOURCE = {"time": "scheduled", "key": "flight_id", "target": "late", "label_time": "landed"}
MONITOR = MonitorConfig(drift=DriftConfig(minimum_rows=50))
AFTER = NOON + 2 * DAY
PLAN = Canary(shadow_rows=20, steps=(0.5,), step_rows=20, horizon=1_000)


class World:
    """A loop with a champion, the log of its server, and the eyes on it."""

    def __init__(self, store: Store, **declared) -> None:
        self.store = store
        made = bundle()
        accepted = made.with_facts(
            created=NOON, train_metrics={}, test_metrics={"roc_auc": 0.8}, lineage=made.manifest.lineage
        )
        promote(store, register(store, accepted))
        self.loop = Loop(**{"name": LOOP, "source": FrameSource(flights(), **SOURCE), "monitor": MONITOR, **declared})
        self.table = store.table(LOOP, "rows", self.loop.source.spec)
        self.table.append(flights())
        self.feed = Feed(store.ledger, Rules.of(self.loop))
        self.watch = Watch(store, self.loop)

    @property
    def state(self) -> State:
        return self.feed.catch_up()

    def answer(self, rows: int, moment: datetime, *, arm: int = 1, seed: int = 5, **also: float) -> list[str]:
        """Rows that a version answered, one a minute; others answered them beside it. Gives their ids."""
        ids = [f"{moment:%d%H}-{row}" for row in range(rows)]
        with LogWriter(self.store.log_folder(LOOP)) as log:
            for one, features in zip(ids, raw(flights(rows, seed=seed)), strict=True):
                features |= {"flight_id": one, "scheduled": moment.isoformat()}
                row = RowRecord(one, arm, 0.5, features, {arm: [1, 0.3, 0.7]})
                log.append(PredictionRecord(f"r-{one}", moment, [row]))
                for version, score in also.items():
                    shadow = {"version": int(version[1:]), "ids": [one], "predictions": [[1, 1 - score, score]]}
                    log.append(ShadowRecord(requests=[f"r-{one}"], time=moment, **shadow))
        return ids

    def label(self, ids: list[str], moment: datetime, label: bool = True) -> None:
        """What rows turned out to be, known at a moment."""
        with LogWriter(self.store.log_folder(LOOP)) as log:
            log.append(LabelRecord(moment, [LabelItem(one, label, moment) for one in ids]))

    def look(self, now: datetime, service: ServiceCounts | None = None) -> ev.Observed:
        """Take what came and observe it."""
        self.watch.take()
        return self.watch.observe(self.state, now, service)

    def on_trial(self, moment: datetime, plan: Canary | Split = PLAN) -> None:
        """A second version goes on trial."""
        register(self.store, bundle(seed=1))
        details = msgspec.json.decode(msgspec.json.encode(plan))
        started = ev.TrialStarted(loop=LOOP, challenger=2, champion=1, plan=details)
        self.store.ledger.append(started, time=moment)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def drift_rows(observed: ev.Observed) -> int:
    return next(one.n for one in observed.signals if (one.kind, one.subject) == ("value_drift", "wind"))


def test_without_a_champion_a_look_counts_what_can_be_trained_on(store: Store) -> None:
    loop = Loop(name=LOOP, source=FrameSource(flights(), **SOURCE))
    store.table(LOOP, "rows", loop.source.spec).append(flights())
    watch, now = Watch(store, loop), NOON + 3 * HOUR
    observed = watch.observe(Feed(store.ledger, Rules.of(loop)).catch_up(), now, None, "v7")
    assert (observed.rows, observed.labelled, observed.trainable) == (0, 0, 61)
    assert (observed.source_version, observed.now, watch.since) == ("v7", now, now)


def test_a_look_counts_the_rows_since_the_last_one_and_compares_all_that_wait(world: World) -> None:
    world.answer(30, AFTER)
    first = world.look(AFTER + HOUR)
    assert (first.rows, drift_rows(first)) == (30, 30)
    world.answer(20, AFTER + HOUR)
    second = world.look(AFTER + 2 * HOUR)
    assert (second.rows, drift_rows(second)) == (20, 50)
    world.answer(7, AFTER + 3 * HOUR)
    third = world.look(AFTER + 4 * HOUR)
    assert (third.rows, drift_rows(third)) == (7, 7)
    assert third.newest == AFTER + 3 * HOUR


def test_labelled_rows_are_learned_once_and_counted_by_when_they_were_known(world: World) -> None:
    before = world.table.count_trainable(AFTER + DAY)
    ids = world.answer(10, AFTER)
    world.label(ids[:4], AFTER + HOUR)
    world.label(ids[4:6], AFTER + 5 * HOUR)
    first = world.look(AFTER + 2 * HOUR)
    assert (first.labelled, first.trainable) == (4, before + 4)
    second = world.look(AFTER + 6 * HOUR)
    assert (second.labelled, second.trainable) == (2, before + 6)
    assert world.table.rows == 400 + 6
    world.label(ids[:4], AFTER + 7 * HOUR)
    assert world.look(AFTER + 8 * HOUR).trainable == before + 6
    assert world.watch.traffic.counts.set_aside == {}


def test_the_champion_is_held_against_its_own_acceptance(world: World) -> None:
    ids = world.answer(60, AFTER)
    world.label(ids[::2], AFTER + HOUR)
    world.label(ids[1::2], AFTER + HOUR, label=False)
    (performance,) = world.look(AFTER + 30 * DAY).performance
    assert (performance.version, performance.metric, performance.n) == (1, "roc_auc", 60)
    assert performance.reference == 0.8
    assert performance.value == 0.5


def test_a_trial_is_judged_on_the_rows_since_it_began(world: World) -> None:
    early = world.answer(30, AFTER, v2=0.9)
    world.on_trial(AFTER + HOUR)
    late = world.answer(25, AFTER + HOUR, v2=0.9)
    world.label([*early, *late], AFTER + 2 * HOUR)
    assert world.watch.observe(world.state, AFTER, None).judgement is not None
    judgement = world.look(AFTER + 30 * DAY).judgement
    assert judgement is not None
    assert (judgement.champion, judgement.challenger, judgement.pairs) == (1, 2, 25)
    assert judgement.difference is not None
    assert judgement.difference < 0
    assert {check.subject for check in judgement.guardrails} >= {"challenger errors", "challenger invalid"}
    assert not any(check.alarmed for check in judgement.guardrails)
    assert judgement.arms == ()


def test_without_a_trial_nobody_is_judged(world: World) -> None:
    world.label(world.answer(30, AFTER, v2=0.9), AFTER + HOUR)
    assert world.look(AFTER + 30 * DAY).judgement is None


def test_a_challenger_that_makes_nothing_of_its_rows_breaks_a_guardrail(world: World) -> None:
    world.on_trial(AFTER)
    world.label(world.answer(60, AFTER, v2=float("nan")), AFTER + HOUR)
    judgement = world.look(AFTER + 2 * HOUR).judgement
    assert judgement is not None
    alarmed = {check.subject for check in judgement.guardrails if check.alarmed}
    assert alarmed >= {"challenger errors", "challenger invalid"}


def test_arms_of_their_own_are_judged_by_their_own_rows_and_their_ratio(world: World) -> None:
    world.on_trial(AFTER, Split(share=0.5, rows=20))
    ids = world.answer(20, AFTER) + world.answer(60, AFTER + HOUR, arm=2)
    world.label(ids, AFTER + 2 * HOUR)
    judgement = world.look(AFTER + 30 * DAY).judgement
    assert judgement is not None
    assert [(arm.version, arm.rows) for arm in judgement.arms] == [(1, 20), (2, 60)]
    assert "sample ratio" in {check.subject for check in judgement.guardrails}


def test_a_trial_is_judged_by_the_plan_that_it_began_with(world: World) -> None:
    world.on_trial(AFTER, Split(share=0.5, rows=20, horizon=30))
    ids = world.answer(20, AFTER) + world.answer(60, AFTER + HOUR, arm=2)
    world.label(ids, AFTER + 2 * HOUR)
    judgement = world.look(AFTER + 30 * DAY).judgement
    assert judgement is not None
    assert (judgement.pairs, judgement.matured) == (30, 80)


def test_undeclared_labels_are_waited_for_as_long_as_those_of_past_rows_took() -> None:
    loop = Loop(name=LOOP, source=FrameSource(flights(), **SOURCE))
    learned = monitor_config(loop, flights()).window.maturity.wait
    assert learned == 4 * HOUR, "twice as long"
    assert monitor_config(loop, flights().clear()) == MonitorConfig()
    declared = Loop(name=LOOP, source=FrameSource(flights(), **SOURCE), monitor=MONITOR)
    assert monitor_config(declared, flights()) is MONITOR


def test_the_server_is_looked_at_with_what_it_counted(world: World) -> None:
    observed = world.look(AFTER, ServiceCounts(requests=100, rows=100, errors=40))
    assert [one.value for one in observed.signals if (one.kind, one.subject) == ("service_fault", "errors")] == [0.4]


def test_after_a_restart_only_what_came_since_the_last_recorded_look_is_new(world: World) -> None:
    ids = world.answer(60, AFTER)
    world.store.ledger.append(world.look(AFTER + HOUR), time=AFTER + HOUR)
    again = Watch(world.store, world.loop)
    again.resume(world.store.ledger)
    assert again.since == AFTER + HOUR
    world.answer(5, AFTER + 2 * HOUR)
    world.label(ids[:3], AFTER + 2 * HOUR)
    again.take()
    observed = again.observe(world.state, AFTER + 3 * HOUR, None)
    assert (observed.rows, observed.labelled, drift_rows(observed)) == (5, 3, 5)


def test_rows_that_cannot_be_learned_from_are_told_once_and_alarm_nobody(world: World) -> None:
    ids = world.answer(4, AFTER)
    with LogWriter(world.store.log_folder(LOOP)) as log:
        log.append(LabelRecord(AFTER + HOUR, [LabelItem(one, "late", AFTER + HOUR) for one in ids[:3]]))
    world.label(ids[3:], AFTER + HOUR)
    told = [
        one for one in world.look(AFTER + 2 * HOUR).signals if one.subject == "labels" and one.kind == "schema_skew"
    ]
    assert [(one.value, one.alarmed) for one in told] == [(3.0, False)]
    again = world.look(AFTER + 3 * HOUR).signals
    assert not [one for one in again if one.subject == "labels" and one.kind == "schema_skew"]
    assert world.table.rows == 401
