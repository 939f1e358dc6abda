"""Labels from files and tables: whose they are, what becomes of each, and that giving them twice changes nothing."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from homeostat.cd.labels.files import Delivered, LabelColumns, deliver, read_labels
from homeostat.cd.labels.join import Traffic
from homeostat.cd.log import LabelItem, LogReader, LogWriter, retire
from homeostat.cd.log.archive import Archive
from homeostat.core.errors import DataError
from homeostat.core.model.signature import Signature
from homeostat.core.schema import Column
from tests.cd.log_records import LATER, NOON, asked, told

KEY = Column(name="flight", kind="text", nullable=False)
SIGNATURE = Signature(
    inputs=(KEY, Column(name="wind", kind="number", nullable=False)),
    key=("flight",),
    time=None,
    target="late",
    task="classification",
    classes=(False, True),
)
NUMBERS = Signature(inputs=(KEY,), key=("flight",), time=None, target="delay", task="regression")
WORDS = Signature(
    inputs=(KEY,), key=("flight",), time=None, target="class", task="classification", classes=("1", "2", "business")
)


def read(content, name="labels.csv", signature=SIGNATURE, folder=None, **more):
    path = folder / name
    path.write_text(content)
    items, empty = read_labels(path, signature, LATER, **more)
    return [(item.id, item.label, item.time) for item in items], empty


def test_a_table_with_the_models_own_names_needs_no_more(tmp_path):
    content = (
        "flight,wind,late,landed\n007,1.5,true,2013-03-01T15:00:00Z\n8,2.5,,\nUA/9,2.5,false,2013-03-01T16:00:00Z\n"
    )
    items, empty = read(content, folder=tmp_path, label_time="landed")
    assert items == [("007", True, NOON + timedelta(hours=3)), ("UA/9", False, NOON + timedelta(hours=4))]
    assert empty == 1


def test_columns_may_be_called_as_one_likes(tmp_path):
    content = '{"request": "r1", "outcome": 1, "seen": "2013-03-02"}\n{"request": "r2", "outcome": 0, "seen": null}\n'
    items, _ = read(content, "labels.jsonl", folder=tmp_path, named=LabelColumns("request", "outcome", "seen"))
    assert items == [("r1", True, NOON + timedelta(hours=12)), ("r2", False, LATER)]


def test_the_plain_names_are_id_label_and_time(tmp_path):
    assert read("id,label,time\nr1,2.5,2013-03-01 12:00\n", folder=tmp_path, signature=NUMBERS)[0] == [
        ("r1", 2.5, NOON)
    ]


def test_classes_that_look_like_numbers_stay_texts(tmp_path):
    items, _ = read("flight,class\na,1\nb,2\n", folder=tmp_path, signature=WORDS)
    assert [label for _, label, _ in items] == ["1", "2"]


def test_a_delta_table_and_a_parquet_file_are_tables_too(tmp_path):
    rows = pl.DataFrame({"flight": ["a", "b"], "late": [True, False]})
    rows.write_parquet(tmp_path / "labels.parquet")
    rows.write_delta(str(tmp_path / "table"))
    for source in (tmp_path / "labels.parquet", tmp_path / "table", rows):
        items, _ = read_labels(source, SIGNATURE, LATER)
        assert items == [LabelItem("a", True, LATER), LabelItem("b", False, LATER)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("flight,lateness\na,true\n", r"no column 'label' \(--label\)"),
        ("flights,late\na,true\n", r"no column 'id' \(--id\)"),
        ("id,label\na,perhaps\n", r"row 1, column 'label': should be one of False, True; found the text 'perhaps'"),
        ("id,label\na,true\n,true\n", r"row 2: the id '' is empty"),
        ("id,label,time\na,true,2013-03-01\nb,true,soon\n", r"row 2 has 'soon', which is no date or time"),
    ],
)
def test_a_table_with_problems_is_refused_whole_and_all_of_them_are_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(content, folder=tmp_path)


@pytest.fixture
def world(store):
    folder = store.log_folder("world")
    with LogWriter(folder) as log:
        log.append(asked("gone"))
    archive = Archive(store, "world")
    position = archive.fill({"wind": pl.Float64(), "carrier": pl.String()}, pl.Boolean())
    with LogWriter(folder) as log:
        for record in (asked("a"), asked("b"), asked("c"), told("b", label=True), told("c", label=True)):
            log.append(record)
    assert retire(folder, position) > 0
    return folder, archive


GIVEN = [LabelItem(one, label, LATER) for one, label in [("a", True), ("b", True), ("c", False)]]
GIVEN += [LabelItem("gone", True, LATER), LabelItem("nobody", True, LATER), LabelItem("a", False, LATER)]
EXPECTED = Delivered(joined=1, late=1, repeated=1, conflicting=2, unknown=1, recorded=5)


def test_every_label_is_counted_once_by_what_becomes_of_it(world):
    folder, archive = world
    dry = deliver(GIVEN, folder, archive, LATER, dry_run=True)
    traffic = Traffic(folder)
    traffic.take()
    before = len(LogReader(folder).read().records)
    found = deliver(GIVEN, folder, archive, LATER)
    arrived = traffic.take()
    assert (dry.recorded, before) == (0, 5)
    assert (found, len(arrived.labelled)) == (EXPECTED, 1)
    counts = traffic.counts
    assert (counts.joined, counts.conflicting_labels, counts.unknown_labels) == (3, 2, 2)


@pytest.mark.parametrize("archived", [False, True])
def test_the_same_labels_given_twice_change_nothing(world, archived):
    folder, archive = world
    deliver(GIVEN, folder, archive, LATER)
    if archived:
        position = archive.fill({"wind": pl.Float64(), "carrier": pl.String()}, pl.Boolean())
        with LogWriter(folder):
            retire(folder, position)
    before = LogReader(folder).read().records
    again = deliver(GIVEN, folder, archive, LATER + timedelta(hours=1))
    assert again == Delivered(repeated=len(GIVEN))
    assert LogReader(folder).read().records == before


CODES = Signature(inputs=(KEY,), key=("flight",), time=None, target="class", task="classification", classes=(0, 1))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "flight,class\na,1\nb,maybe\nc,0\n"),
        ("labels.json", '[{"flight":"a","class":1},{"flight":"b","class":"maybe"},{"flight":"c","class":0}]'),
    ],
)
@pytest.mark.parametrize("signature", [CODES, NUMBERS], ids=["classes", "numbers"])
def test_only_the_row_that_is_no_label_is_blamed(tmp_path, name, content, signature):
    with pytest.raises(DataError) as refused:
        read(content.replace("class", signature.target), name, folder=tmp_path, signature=signature)
    assert "row 2, column" in refused.value.what
    assert "maybe" in refused.value.what
    assert "row 1" not in refused.value.what
    assert "row 3" not in refused.value.what


@pytest.mark.parametrize("mark", [";", "|"])
def test_another_separator_is_told(tmp_path, mark):
    with pytest.raises(DataError) as refused:
        read(f"flight{mark}late\na{mark}true\n", folder=tmp_path)
    assert f"--separator {mark!r}" in (refused.value.hint or "")
