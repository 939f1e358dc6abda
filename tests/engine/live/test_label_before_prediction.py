"""A label that is told before its row is predicted joins it when it comes, and everybody who is asked says the same."""

from __future__ import annotations

import polars as pl
import pytest

from homeostat.cd.labels.files import deliver, read_labels
from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LabelRecord, LogReader, retire
from homeostat.cd.log.archive import Archive
from homeostat.engine.views.request import explain
from tests.cd.serving import LOOP, NOON, Client, bundle, flights, promote, raw, register, serving

FRAME = flights(3, seed=9)
ROWS = raw(FRAME)
IDS = FRAME["flight_id"].to_list()
TYPES = {"scheduled": pl.Datetime("us", "UTC"), "carrier": pl.String(), "distance": pl.Int64(), "wind": pl.Float64()}
TYPES |= {"flight_id": pl.String()}


@pytest.fixture
def world(store):
    made = bundle()
    promote(store, register(store, made))
    return store, made.manifest.signature


def from_a_file(store, signature, folder):
    (folder / "labels.csv").write_text("flight_id,late\n" + "".join(f"{one},true\n" for one in IDS))
    items, empty = read_labels(folder / "labels.csv", signature, NOON)
    return deliver(items, store.log_folder(LOOP), Archive(store, LOOP), NOON, empty=empty)


def by_http(store, *_):
    with serving(store) as app:
        assert Client(app).post("/labels", [{"id": one, "label": True} for one in IDS]).status_code == 200


@pytest.mark.parametrize("told", [from_a_file, by_http])
@pytest.mark.parametrize("watching", [True, False], ids=["while the loop looks on", "before it looks"])
def test_an_early_label_joins(world, tmp_path, told, watching):
    store, signature = world
    traffic = Traffic(store.log_folder(LOOP))
    told(store, signature, tmp_path)
    if watching:
        traffic.take()
        assert traffic.counts.unknown_labels == 3
    with serving(store) as app:
        Client(app).predict(ROWS)
    arrived = traffic.take()
    assert [label for _, label, _ in arrived.labelled] == [True] * 3
    counts = traffic.counts
    assert (counts.joined, counts.unknown_labels, traffic.waiting) == (3, 0, 0)
    assert [label.counts for label in explain(store, LOOP, IDS[0]).rows[0].labels] == [True]
    again = from_a_file(store, signature, tmp_path)
    assert (again.repeated, again.recorded) == (3, 0)


def test_a_label_that_only_a_table_knows_by_now_is_recorded_again_for_a_row_of_the_log(world, tmp_path):
    store, signature = world
    first = from_a_file(store, signature, tmp_path)
    position = Archive(store, LOOP).fill(TYPES, pl.Boolean())
    with serving(store) as app:
        Client(app).predict(ROWS)
    assert retire(store.log_folder(LOOP), position) > 0
    assert not [one for one in LogReader(store.log_folder(LOOP)).read().records if isinstance(one, LabelRecord)]
    second = from_a_file(store, signature, tmp_path)
    assert (first.unknown, second.joined, second.recorded) == (3, 3, 3)
    traffic = Traffic(store.log_folder(LOOP))
    assert len(traffic.take().labelled) == 3
