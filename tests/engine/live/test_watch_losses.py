"""What a loop makes of rows that cannot be learned from, of few rows, of full memory, and of its own restart."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LabelItem, LabelRecord, LogWriter, PredictionRecord, RowRecord
from homeostat.core import events as ev
from homeostat.core.store import Store
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules, State
from homeostat.engine.live.watch import Watch
from tests.engine.live_world import START
from tests.engine.played import Played

pytestmark = pytest.mark.slow
AFTER = START + timedelta(days=40)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(played: Played, tmp_path: Path) -> Store:
    """What the live run left, to go on with."""
    shutil.copytree(played.store.path, tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture
def state(store: Store, played: Played) -> State:
    return Feed(store.ledger, Rules.of(played.loop)).catch_up()


@pytest.fixture
def watch(store: Store, played: Played, state: State) -> Watch:
    """A watch that has looked at all there was."""
    watch = begun(store, played)
    seen(store, watch, state, AFTER - HOUR)
    return watch


def begun(store: Store, played: Played) -> Watch:
    watch = Watch(store, played.loop)
    watch.resume(store.ledger)
    watch.take()
    return watch


def seen(store: Store, watch: Watch, state: State, now: datetime) -> ev.Observed:
    """Take, observe and record, as a live step does."""
    watch.take()
    observed = watch.observe(state, now, None)
    store.ledger.append(observed, time=now)
    return observed


def answer(store: Store, names: list[str], moment: datetime, labels: list[Any] | None = None, **more: Any) -> None:
    """Another server run that answers rows, which get these labels an hour later."""
    with LogWriter(store.log_folder("world")) as log:
        for name in names:
            features = {"id": name, "at": moment, "x": 0.5, "kind": "a"} | more
            log.append(PredictionRecord(f"r-{name}", moment, [RowRecord(name, 1, 1.0, features, {1: [1, 0.3, 0.7]})]))
        items = [LabelItem(name, label, moment + HOUR) for name, label in zip(names, labels or [], strict=False)]
        if items:
            log.append(LabelRecord(moment + HOUR, items))


def told(observed: ev.Observed, subject: str) -> list[ev.Signal]:
    return [signal for signal in observed.signals if signal.subject == subject and signal.kind != "value_drift"]


def test_rows_that_cannot_be_learned_from_are_told_once_and_the_others_learned(
    store: Store, watch: Watch, state: State
) -> None:
    before = watch.table.rows
    answer(store, ["good", "text", "half"], AFTER, [1, "late", 0.5])
    answer(store, ["keyless"], AFTER, [1], id=None)
    answer(store, ["early"], AFTER, [1], at=AFTER + timedelta(days=1))
    observed = seen(store, watch, state, AFTER + 2 * HOUR)
    [signal] = [one for one in told(observed, "labels") if one.kind == "schema_skew"]
    assert (signal.value, signal.alarmed) == (4.0, False)
    assert "2 with a label that is no Int64" in signal.detail
    assert sum(watch.traffic.counts.set_aside.values()) == 4
    assert watch.table.rows == before + 1
    again = seen(store, watch, state, AFTER + 3 * HOUR)
    assert [one.kind for one in told(again, "labels")] == ["new_data"]


def test_inputs_of_another_type_do_not_end_the_observation(store: Store, watch: Watch, state: State) -> None:
    answer(store, ["odd"], AFTER, [1], x="strong")
    observed = seen(store, watch, state, AFTER + 2 * HOUR)
    assert observed.rows == 1
    assert watch.traffic.counts.set_aside == {"inputs of another type": 1}


def drift_rows(observed: ev.Observed) -> list[tuple[int, bool]]:
    return [
        (one.n, one.value is not None) for one in observed.signals if (one.kind, one.subject) == ("value_drift", "x")
    ]


def test_few_rows_are_kept_until_there_are_enough_to_compare_also_over_a_restart(
    store: Store, played: Played, watch: Watch, state: State
) -> None:
    held = drift_rows(seen(store, watch, state, AFTER - HOUR / 2))[0][0]
    answer(store, [f"a{row}" for row in range(60)], AFTER)
    first = seen(store, watch, state, AFTER + HOUR)
    assert (first.rows, drift_rows(first)) == (60, [(held + 60, False)])
    watch = begun(store, played)
    answer(store, [f"b{row}" for row in range(150)], AFTER + HOUR)
    second = seen(store, watch, state, AFTER + 2 * HOUR)
    assert (second.rows, drift_rows(second)) == (150, [(held + 210, True)])
    assert drift_rows(seen(store, watch, state, AFTER + 3 * HOUR)) == [(0, False)]


def test_rows_that_left_memory_without_a_label_are_told_once(store: Store, watch: Watch, state: State) -> None:
    watch.traffic = Traffic(store.log_folder("world"), keep=100)
    watch.take()
    already = watch.traffic.counts.forgotten_rows
    answer(store, [f"a{row}" for row in range(400)], AFTER)
    observed = seen(store, watch, state, AFTER + HOUR)
    lost = watch.traffic.counts.forgotten_rows - already
    assert lost > 0
    assert sum(one.value or 0 for one in told(observed, "forgotten")) == pytest.approx(already + lost)
    assert told(seen(store, watch, state, AFTER + 2 * HOUR), "forgotten") == []


def test_the_wait_for_labels_depends_on_the_champion_alone(
    store: Store, played: Played, watch: Watch, state: State
) -> None:
    assert state.champion is not None
    wait = watch.config(state.champion).window.maturity.wait
    assert wait == 2 * HOUR
    late = pl.DataFrame({"id": [f"l{row}" for row in range(500)], "at": AFTER, "x": 0.5, "kind": "a", "y": 1})
    watch.table.append(late.with_columns(known=AFTER + timedelta(days=20)))
    assert begun(store, played).config(state.champion).window.maturity.wait == wait
