"""Files as they lie in folders: what a column is counts over all of them, and none of them can end a loop."""

import os
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from arro3.core import Array, DataType

from homeostat.ci.collect import collect
from homeostat.connect import FileSource, FrameSource
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import DataError, HomeostatError
from homeostat.core.events import RowsAppended
from homeostat.core.ports import Part
from homeostat.loop import load_loop

NOW = datetime(2013, 3, 1, tzinfo=UTC)
COLUMNS = {"time": "at", "key": "id", "target": "y"}


def bring(source, store):
    return collect(source, store.table("t", "rows", source.spec), store.ledger, "t", VirtualClock(NOW))


def stored(source, store, column):
    return store.table("t", "rows", source.spec).read().sort("id")[column].to_list()


def write(path, cells, first=0):
    rows = "".join(f"{n},2013-01-{n + 1:02},{n % 2},{cell}\n" for n, cell in enumerate(cells, start=first))
    path.write_text("id,at,y,c\n" + rows)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([["NA", "NA"], ["BW", "ZA"]], ["NA", "NA", "BW", "ZA"]),
        ([["NA", "NA"], ["1.5", "2.5"]], [None, None, 1.5, 2.5]),
        ([["12", "13"], ["7A", "9B"]], ["12", "13", "7A", "9B"]),
        ([["None", "true"], ["a", "NA"]], ["None", "true", "a", "NA"]),
        ([["1", "2"], ["1.5", "NA"]], [1.0, 2.0, 1.5, None]),
    ],
)
def test_what_a_column_is_counts_over_all_files_at_once_or_one_after_another(tmp_path, store, files, expected):
    source = FileSource(tmp_path / "in", **COLUMNS)
    (tmp_path / "in").mkdir()
    for number, cells in enumerate(files):
        write(tmp_path / "in" / f"{number}.csv", cells, first=2 * number)
    bring(source, store)
    assert stored(source, store, "c") == expected


@pytest.mark.parametrize("later", [["NA", "NA"], ["12", "13"], ["true", "false"]])
def test_a_later_file_is_read_as_the_table_is(tmp_path, store, later):
    source = FileSource(tmp_path / "in", **COLUMNS)
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "0.csv", ["BW", "NA"])
    bring(source, store)
    write(tmp_path / "in" / "1.csv", later, first=2)
    bring(source, store)
    assert stored(source, store, "c") == ["BW", "NA", *later]


def test_a_class_may_be_called_none(tmp_path, store):
    (tmp_path / "a.csv").write_text("id,at,y\n1,2013-01-01,None\n2,2013-01-02,Mild\n3,2013-01-03,\n")
    source = FileSource(tmp_path / "a.csv", **COLUMNS)
    bring(source, store)
    assert stored(source, store, "y") == ["None", "Mild", None]


def test_what_was_left_out_is_in_the_ledger(tmp_path, store):
    (tmp_path / "a.csv").write_text(",id,at,y\n0,1,2013-01-01,0\n1,2,2013-01-02,1\n")
    bring(FileSource(tmp_path / "a.csv", **COLUMNS), store)
    (recorded,) = store.ledger.events(kinds=(RowsAppended,))
    assert recorded.event.notes == ("a.csv: column 1 has no name and only counts the rows, and was left out",)


def test_partition_folders_are_columns_and_equal_files_in_two_of_them_are_two(tmp_path, store):
    for region in ("north", "south"):
        (tmp_path / f"region={region}").mkdir()
        (tmp_path / f"region={region}" / "0.csv").write_text("id,at,y\n1,2013-01-01,0\n2,2013-01-02,1\n")
    source = FileSource(tmp_path / "**" / "*.csv", partitions=True, time="at", key=("region", "id"), target="y")
    assert bring(source, store).rows == 4
    assert stored(source, store, "region") == ["north", "south", "north", "south"]


@pytest.mark.parametrize("declared", [{"rename": {"Age": "years"}}, {"rename": {"age": "years"}}, {"ignore": ["Age"]}])
def test_names_that_differ_in_case_can_be_told_apart(tmp_path, store, declared):
    (tmp_path / "a.csv").write_text("id,at,y,Age,age\n1,2013-01-01,0,4,5\n2,2013-01-02,1,6,7\n")
    assert bring(FileSource(tmp_path / "a.csv", **COLUMNS, **declared), store).rows == 2


@pytest.mark.parametrize(
    "declared",
    [
        {"rename": {"C": "d"}},
        {"text": "cc"},
        {"decimal": {"cc": ","}},
        {"thousands": {"cc": ","}},
        {"nulls": {"cc": ["x"]}},
        {"dates": {"cc": "s"}},
        {"ignore": "cc"},
    ],
)
def test_a_declaration_of_a_column_that_is_not_there_is_refused(tmp_path, store, declared):
    write(tmp_path / "a.csv", ["1", "2"])
    with pytest.raises(DataError, match=r"column '(d|cc)'(?s:.*)(did you mean|there are id)"):
        bring(FileSource(tmp_path / "a.csv", **declared, **COLUMNS), store)


def test_a_frame_is_declared_like_a_file(store):
    frame = pl.DataFrame({"ID": [b"a", b"b"], "when": ["31/01/2013", "01/02/2013"], "y": [0, 1]})
    source = FrameSource(frame, rename={"ID": "id", "when": "at"}, text="id", dates="%d/%m/%Y", **COLUMNS)
    bring(source, store)
    assert stored(source, store, "id") == ["a", "b"]


def fifo(path):
    os.mkfifo(path)


def link_to_nothing(path):
    path.symlink_to("gone.csv")


def link_to_itself(path):
    path.symlink_to(path.name)


def half_written(path):
    path.write_text("id,at,y,c\n9,2013-01-09,1")


def empty(path):
    path.write_text("")


def parquet_that_is_none(path):
    path.with_suffix(".parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")


def parquet_without_columns(path):
    pl.DataFrame().write_parquet(path.with_suffix(".parquet"))


def deep_json(path):
    path.with_suffix(".json").write_text("[" * 100_000)


def gzip_of_something(path):
    path.with_suffix(".csv.gz").write_bytes(b"\x1f\x8b\x08" + bytes(50))


NASTY = [fifo, link_to_nothing, link_to_itself, half_written, empty, parquet_that_is_none, parquet_without_columns]
NASTY += [deep_json, gzip_of_something]


@pytest.mark.parametrize("make", NASTY)
def test_nothing_that_lies_in_a_folder_is_more_than_a_refusal_and_once_it_is_gone_all_goes_on(tmp_path, store, make):
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.csv", ["1", "2"])
    source = FileSource(folder, **COLUMNS)
    before = set(folder.iterdir())
    make(folder / "x.csv")
    with pytest.raises(DataError, match=r"x\.(csv|parquet|json)"):
        bring(source, store)
    assert not store.table("t", "rows", source.spec).rows
    for path in set(folder.iterdir()) - before:
        path.unlink()
    assert bring(source, store).rows == 2


@pytest.mark.parametrize("wrong", [KeyError("x"), RecursionError(), OverflowError("big"), ConnectionError("gone")])
def test_whatever_a_source_of_ones_own_raises_is_a_refusal(store, wrong):
    class Own(FrameSource):
        def parts(self):
            def read(*_):
                raise wrong

            yield Part("mine", "digest", read)

    with pytest.raises(DataError, match="mine cannot be read"):
        bring(Own(pl.DataFrame(), time="at", target="y"), store)


def test_a_file_that_changes_while_it_is_read_is_taken_at_the_next_look(tmp_path, store):
    write(tmp_path / "a.csv", ["1", "2"])
    source = FileSource(tmp_path / "a.csv", **COLUMNS)
    (part,) = source.parts()
    write(tmp_path / "a.csv", ["1", "2", "3"])
    with pytest.raises(DataError, match=r"a\.csv changed while it was read"):
        part.read()
    assert bring(source, store).rows == 3


def test_a_folder_that_nobody_may_read_is_named(tmp_path):
    (tmp_path / "in").mkdir(mode=0o000)
    if os.access(tmp_path / "in", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(HomeostatError, match="Permission denied"):
        FileSource(tmp_path / "in", **COLUMNS).files()


def test_a_loop_means_the_same_files_from_every_folder(tmp_path, store, monkeypatch):
    project = tmp_path / "my [project]"
    project.mkdir()
    write(project / "a.csv", ["1", "2"])
    (project / "loop.py").write_text(
        "from homeostat import FileSource, Loop\n"
        'loop = Loop(name="t", source=FileSource("*.csv", time="at", key="id", target="y"))\n'
    )
    names = []
    for here in (tmp_path, project, tmp_path / "my [project]" / ".." / "my [project]"):
        monkeypatch.chdir(here)
        (part,) = load_loop(project / "loop.py").source.parts()
        names.append(part.name)
        assert part.read().height == 2
    assert names == ["a.csv"] * 3


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (pl.Series([time(1), None]), "has the type Time"),
        (pl.Series([timedelta(1), None]), "has the type Duration"),
        (pl.Series([[1], None]), "has the type List"),
        (pl.Series([{"a": 1}, None]), "has the type Struct"),
        (pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)), "has the type Array"),
        (pl.Series([1, 2**70], dtype=pl.Int128), "beyond 64-bit"),
        (pl.Series([1, 2**64 - 1], dtype=pl.UInt64), "beyond 64-bit"),
        (pl.Series([Decimal("1.5"), None]), [1.5, None]),
        (pl.Series([1.5, 2.0], dtype=pl.Float16), [1.5, 2.0]),
        (pl.Series(["a", None], dtype=pl.Categorical), ["a", None]),
        (pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), ["a", "b"]),
        (pl.Series([None, None]), [None, None]),
    ],
)
def test_a_type_of_parquet_is_stored_or_refused_in_one_sentence(tmp_path, store, series, said):
    rows = pl.DataFrame({"id": ["a", "b"], "at": ["2013-01-01", "2013-01-02"], "y": [0, 1], "c": series})
    rows.write_parquet(tmp_path / "a.parquet")
    source = FileSource(tmp_path / "a.parquet", **COLUMNS)
    if isinstance(said, list):
        bring(source, store)
        assert stored(source, store, "c") == said
        return
    with pytest.raises(DataError, match=said):
        bring(source, store)


def test_parquet_times_with_a_fixed_offset_are_times(tmp_path, store):
    micros = np.array([1_356_998_400_000_000, 1_357_084_800_000_000])
    at = Array(micros, DataType.int64()).cast(DataType.timestamp("us", tz="+05:30"))
    pl.DataFrame({"id": ["a", "b"], "at": pl.Series(at), "y": [0, 1]}).write_parquet(tmp_path / "a.parquet")
    source = FileSource(tmp_path / "a.parquet", **COLUMNS)
    bring(source, store)
    assert stored(source, store, "at")[0] == datetime(2013, 1, 1, tzinfo=UTC)
    assert store.table("t", "rows", source.spec).conform(pl.read_parquet(tmp_path / "a.parquet")).height == 2


FIRST = "id,at,x,y\na,2013-01-01,1,0\nb,2013-01-02,2,1\nc,2013-01-03,3,\n"


@pytest.mark.parametrize(
    ("again", "changed"),
    [
        ("a,2013-01-01,9,0\n", 1),
        ("a,2013-01-01,1,1\nb,2013-01-02,2,0\n", 2),
        ("b,2013-01-05,2,1\n", 1),
        ("c,2013-01-03,4,\n", 1),
        ("d,2013-01-04,4,1\nd,2013-01-04,5,1\nd,2013-01-04,4,1\n", 1),
        ("a,2013-01-01,1,0\n", 0),
        ("b,2013-01-02,2,\n", 0),
        ("c,2013-01-03,3,1\n", 0),
        ("c,2013-01-03,3,\nc,2013-01-03,3,1\n", 0),
    ],
)
def test_a_row_that_comes_again_with_other_values_is_told_and_the_stored_one_stays(tmp_path, store, again, changed):
    source = FileSource(tmp_path / "in", **COLUMNS)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text(FIRST)
    bring(source, store)
    (tmp_path / "in" / "2.csv").write_text("id,at,x,y\n" + again)
    bring(source, store)
    (*_, last) = store.ledger.events(loop="t", kinds=(RowsAppended,))
    told = [note for note in last.event.notes if f"2.csv: {changed:,} rows have the key of another row" in note]
    assert len(told) == len(last.event.notes) == (changed > 0)
    assert stored(source, store, "x")[:3] == [1, 2, 3]
