"""The log as tables: types, what does not fit, going on where it ended, and each row exactly once."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from homeostat.cd.log import LogWriter, PredictionRecord, RowRecord
from homeostat.cd.log.archive import Archive, drain
from homeostat.core.store import Store
from tests.cd.log_records import LATER, NOON, asked, told

INPUTS = {"wind": pl.Float64(), "carrier": pl.String()}
LABEL = pl.Boolean()


def row_of(features, dtype, said=2.5, label=None):
    """What a table makes of one input, and of one predicted value."""

    def read(folder):
        with LogWriter(folder) as log:
            log.append(PredictionRecord("r", NOON, [RowRecord("a", 1, 1.0, features, {1: [said]})]))
        return drain(folder, None, {"x": dtype}, label or pl.Float64()).predictions.row(0, named=True)

    return read


def test_draining_gives_tables_and_goes_on_where_it_ended(tmp_path):
    with LogWriter(tmp_path) as log:
        log.append(asked("a"))
        log.append(told("a"))
        first = drain(tmp_path, None, INPUTS, LABEL)
        log.append(asked("b"))
        second = drain(tmp_path, first.position, INPUTS, LABEL)
    assert first.predictions.to_dicts() == [
        {
            "request": "r-a",
            "id": "a",
            "time": NOON,
            "version": 1,
            "propensity": 0.5,
            "value": True,
            "scores": "[0.25,0.75]",
            "input_wind": 3.5,
            "input_carrier": "UA",
        }
    ]
    assert first.labels.to_dicts() == [{"id": "a", "label": True, "label_time": LATER, "received": LATER}]
    assert (second.predictions["id"].to_list(), second.labels.height) == (["b"], 0)


def test_draining_nothing_gives_empty_tables_of_the_same_types(tmp_path):
    empty = drain(tmp_path / "none", None, INPUTS, LABEL)
    assert (empty.predictions.schema["input_wind"], empty.predictions.schema["value"]) == (pl.Float64, pl.Boolean)
    assert (empty.predictions.height, empty.labels.height, empty.damaged) == (0, 0, 0)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1.5, pl.Float64(), 1.5),
        (2, pl.Float64(), 2.0),
        ("fast", pl.Float64(), None),
        (float("inf"), pl.Float64(), None),
        (2.0, pl.Int64(), 2),
        (2.5, pl.Int64(), None),
        (NOON, pl.Datetime("us", "UTC"), NOON),
        ("soon", pl.Datetime("us", "UTC"), None),
        (NOON, pl.Date(), NOON.date()),
        (None, pl.String(), None),
    ],
)
def test_an_input_has_the_type_of_the_table_or_is_null(tmp_path, value, dtype, expected):
    assert row_of({"x": value}, dtype)(tmp_path)["input_x"] == expected


def test_a_regression_has_a_value_and_no_scores(tmp_path):
    row = row_of({"x": 1.0}, pl.Float64(), said=30.7)(tmp_path)
    assert (row["value"], row["scores"]) == (30.7, None)


def test_an_input_may_be_called_like_one_of_our_own_columns(tmp_path):
    with LogWriter(tmp_path) as log:
        log.append(PredictionRecord("r", NOON, [RowRecord("a", 1, 1.0, {"id": "mine"}, {1: [2.0]})]))
    row = drain(tmp_path, None, {"id": pl.String()}, pl.Float64()).predictions.row(0, named=True)
    assert (row["id"], row["input_id"]) == ("a", "mine")


@pytest.fixture
def world(tmp_path):
    store = Store.open(tmp_path / "store")
    return store, store.log_folder("world")


def ids(table):
    return sorted(table.read()["id"].to_list())


def test_the_tables_are_filled_bit_by_bit(world):
    store, folder = world
    archive = Archive(store, "world")
    with LogWriter(folder) as log:
        log.append(asked("a"))
        archive.fill(INPUTS, LABEL)
        log.append(asked("b"))
        log.append(told("a"))
        archive.fill(INPUTS, LABEL)
    assert (ids(archive.predictions), ids(archive.labels)) == (["a", "b"], ["a"])


def test_filling_goes_on_in_another_process(world):
    store, folder = world
    with LogWriter(folder) as log:
        log.append(asked("a"))
        position = Archive(store, "world").fill(INPUTS, LABEL)
        log.append(asked("b"))
        again = Archive(store, "world")
        assert again.position == position
        assert again.fill(INPUTS, LABEL).records == 2
    assert ids(again.predictions) == ["a", "b"]


@pytest.mark.parametrize("lost", ["", "{", '{"records": "many"}'])
def test_a_log_that_is_drained_again_from_the_start_changes_nothing(world, lost):
    store, folder = world
    with LogWriter(folder) as log:
        for record in (asked("a"), asked("b"), told("a"), told("a", label=False)):
            log.append(record)
    archive = Archive(store, "world")
    archive.fill(INPUTS, LABEL)
    before = archive.predictions.snapshot(), archive.labels.snapshot()
    (folder / "drained.json").write_text(lost)
    Archive(store, "world").fill(INPUTS, LABEL)
    assert (archive.predictions.snapshot(), archive.labels.snapshot()) == before


def test_repeated_predictions_are_one_row_and_conflicting_labels_are_two(world):
    store, folder = world
    with LogWriter(folder) as log:
        log.append(asked("a", "first"))
        log.append(asked("a", "second"))
        log.append(told("a", label=True))
        log.append(told("a", label=False))
        log.append(told("a", label=True, received=LATER + timedelta(hours=1)))
    archive = Archive(store, "world")
    archive.fill(INPUTS, LABEL)
    assert archive.predictions.read()["request"].to_list() == ["first"]
    assert archive.labels.read().sort("received", "label")["label"].to_list() == [False, True, True]


def test_a_count_that_is_predicted_as_a_fraction_keeps_it(world):
    store, folder = world
    with LogWriter(folder) as log:
        log.append(PredictionRecord("r", NOON, [RowRecord("a", 1, 1.0, {"wind": 1.0}, {1: [30.7]})]))
        log.append(told("a", label=31.0))
    archive = Archive(store, "world")
    archive.fill({"wind": pl.Float64()}, pl.Int64())
    assert archive.predictions.read()["value"].to_list() == [30.7]
    assert archive.labels.read()["label"].to_list() == [31.0]
