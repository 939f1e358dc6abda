"""What a live run keeps of its log in tables, when, and what it deletes of the log then."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from homeostat.cd.labels.join import Traffic, read_counts
from homeostat.cd.log import LabelItem, LabelRecord, LogReader, LogWriter, PredictionRecord, RowRecord
from homeostat.cd.log.archive import Archive
from homeostat.core.store import Store
from homeostat.engine.live import watch as module
from homeostat.engine.live.watch import Watch
from tests.engine.live_world import START
from tests.engine.played import Played

pytestmark = pytest.mark.slow
KEEP = 100
AFTER = START + timedelta(days=40)


@pytest.fixture
def store(played: Played, tmp_path: Path) -> Store:
    """What the live run left, to go on with."""
    shutil.copytree(played.store.path, tmp_path / "store")
    return Store.open(tmp_path / "store")


@pytest.fixture
def watch(store: Store, played: Played) -> Watch:
    return begun(store, played)


def begun(store: Store, played: Played) -> Watch:
    """A watch as a start makes it, that remembers few rows."""
    watch = Watch(store, played.loop)
    watch.traffic = Traffic(store.log_folder("world"), keep=KEEP)
    watch.resume(store.ledger)
    watch.take()
    return watch


def answer(store: Store, rows: int, moment: datetime, *, labelled: bool) -> None:
    """Another server run, in a segment of its own."""
    ids = [f"{moment:%d%H}-{row}" for row in range(rows)]
    with LogWriter(store.log_folder("world")) as log:
        for one in ids:
            features = {"id": one, "at": moment, "x": 0.5, "kind": "a"}
            log.append(PredictionRecord(f"r-{one}", moment, [RowRecord(one, 1, 1.0, features, {1: [1, 0.3, 0.7]})]))
        if labelled:
            log.append(LabelRecord(moment, [LabelItem(one, 1, moment + timedelta(hours=1)) for one in ids]))


def kept(store: Store) -> tuple[int, int]:
    archive = Archive(store, "world")
    return archive.predictions.rows, archive.labels.rows


def in_log(store: Store) -> set[str]:
    records = LogReader(store.log_folder("world")).read().records
    return {row.id for record in records if isinstance(record, PredictionRecord) for row in record.rows}


def test_a_run_that_ended_keeps_every_answer_and_every_label(played: Played) -> None:
    archive = Archive(played.store, "world")
    predictions, labels = archive.predictions.read(), archive.labels.read()
    drilled = {one["id"] for answers in played.drill.values() for one in answers}
    assert set(predictions["id"]) == set(played.answered) | drilled
    said = {one: (answer["value"], answer["version"]) for one, answer in played.answered.items()}
    found = zip(predictions["id"], predictions["value"], predictions["version"], strict=True)
    assert {one: (int(value), version) for one, value, version in found if one in said} == said
    assert dict(labels.select("id", "label").iter_rows()) == dict(played.rows.select("id", "y").iter_rows())


def test_little_that_is_new_is_not_copied_yet(store: Store, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.archive(AFTER, at_once=True)
    before = kept(store)
    answer(store, 10, AFTER, labelled=True)
    watch.take()
    watch.archive(AFTER)
    assert kept(store) == before
    monkeypatch.setattr(module, "_ARCHIVE_RECORDS", 11)
    watch.archive(AFTER)
    assert kept(store) == (before[0] + 10, before[1] + 10)


def test_what_became_of_the_labels_is_left_for_the_verbs(store: Store, watch: Watch) -> None:
    answer(store, 10, AFTER, labelled=True)
    before = watch.traffic.counts.joined
    watch.take()
    counts = read_counts(store.log_folder("world"))
    assert counts == watch.traffic.counts
    assert counts is not None
    assert counts.joined == before + 10


def test_an_hour_is_long_enough(store: Store, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.archive(AFTER, at_once=True)
    answer(store, 10, AFTER, labelled=False)
    monkeypatch.setattr(module, "_ARCHIVE_SECONDS", 0.0)
    before = kept(store)
    watch.archive(AFTER)
    assert kept(store) == (before[0] + 10, before[1])


def test_what_was_labelled_and_looked_at_is_deleted_once_it_is_copied_and_forgotten(
    store: Store, played: Played, watch: Watch
) -> None:
    old = in_log(store)
    for hour in range(2):
        answer(store, KEEP, AFTER + timedelta(hours=hour), labelled=True)
    watch.take()
    much_later = AFTER + timedelta(days=30)
    watch.archive(much_later, at_once=True)
    assert old <= in_log(store)
    watch.since = AFTER
    watch.archive(much_later, at_once=True)
    assert not old & in_log(store)
    assert kept(store)[0] == len(old) + 2 * KEEP
    table = store.table("world", "rows", played.loop.source.spec)
    assert table.rows == 20 * 240 + len(played.rows) + 2 * KEEP
    again = begun(store, played)
    mine, theirs = (one.traffic.outcomes(last=KEEP) for one in (watch, again))
    assert mine.labels.tolist() == theirs.labels.tolist() == [1] * KEEP
    assert mine.times.tolist() == theirs.times.tolist()


def test_rows_without_a_label_stay_as_long_as_the_loop_says(store: Store, watch: Watch) -> None:
    answer(store, KEEP, AFTER, labelled=False)
    for hour in (1, 2):
        answer(store, KEEP, AFTER + timedelta(hours=hour), labelled=True)
    watch.take()
    watch.since = AFTER + timedelta(days=1)
    watch.archive(AFTER + timedelta(days=30), at_once=True)
    assert f"{AFTER:%d%H}-0" in in_log(store)
    watch.archive(AFTER + timedelta(days=30, seconds=1), at_once=True)
    assert f"{AFTER:%d%H}-0" not in in_log(store)
    assert f"{AFTER:%d%H}-0" in Archive(store, "world").predictions.read()["id"]
