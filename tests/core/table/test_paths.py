"""Paths are paths, whatever letters they have; what lies there and is no file is refused, not waited for."""

import os
import socket
from pathlib import Path

import polars as pl
import pytest

from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.table.chunks import Chunks
from homeostat.core.table.files import SUFFIXES, read_file
from homeostat.core.table.form import form_of
from homeostat.core.table.paths import find
from homeostat.core.table.spec import table_spec
from homeostat.core.table.table import Table

SPEC = table_spec("at", "id", "y")
ROWS = pl.DataFrame({"id": ["a", "b"], "at": ["2013-01-01", "2013-01-02"], "y": [0, 1]})
NAMES = [
    "my project",
    "a#b",
    "a?b",
    "a%20b",
    "100%",
    "a[1]b",
    "*",
    "é ü",
    "new\nline",
    "q'\"",
    "~x",
    "a=b&c",
    "back\\slash",
    "{x}",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_can_be_in_any_folder(tmp_path, name):
    table = Table(tmp_path / name / "rows", SPEC)
    table.append(ROWS)
    table.append(ROWS.with_columns(id=pl.lit("c") + pl.col("id")))
    again = Table(tmp_path / name / "rows", SPEC)
    assert again.read()["id"].sort().to_list() == ["a", "b", "ca", "cb"]
    assert again.read(table.snapshot(0)).height == 2
    assert again.compact(over=1)
    assert again.content_digest() == table.snapshot().digest
    assert sorted(path.name for path in (tmp_path).iterdir()) == [name]
    (chunk,) = Chunks(tmp_path / name / "rows", SPEC, form_of(), size=10).read()
    assert chunk.rows.height == 4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_file_can_have_any_name(tmp_path, name, ending):
    path = tmp_path / name / f"{name}.{ending}"
    path.parent.mkdir()
    with path.open("wb") as file:
        {"csv": ROWS.write_csv, "parquet": ROWS.write_parquet, "jsonl": ROWS.write_ndjson}[ending](file)
    for pattern in (path, path.parent, path.parent / f"*.{ending}"):
        assert [one.path for one in find(str(pattern), SUFFIXES)] == [path]
        (chunk,) = Chunks(str(pattern), SPEC, form_of(), size=10).read()
        assert chunk.rows.equals(ROWS)
    assert read_file(path, SPEC, form_of()).equals(ROWS)


def test_a_file_that_is_called_like_a_pattern_wins_over_it(tmp_path):
    for name in ("rows[1].csv", "rows1.csv"):
        (tmp_path / name).write_text("id\n1\n")
    assert [one.path.name for one in find(str(tmp_path / "rows[1].csv"), SUFFIXES)] == ["rows[1].csv"]
    (tmp_path / "rows[1].csv").unlink()
    assert [one.path.name for one in find(str(tmp_path / "rows[1].csv"), SUFFIXES)] == ["rows1.csv"]


def fifo(path):
    os.mkfifo(path)


def link_to_nothing(path):
    path.symlink_to(path.parent / "gone.csv")


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(path.parent)
        listening.bind(path.name)
        os.chdir(before)


@pytest.mark.parametrize("make", [fifo, link_to_nothing, link_to_a_device, a_socket])
def test_what_looks_like_a_file_and_is_none_is_refused_by_name(tmp_path, make):
    (tmp_path / "good.csv").write_text("id\n1\n")
    make(tmp_path / "x.csv")
    for pattern in (tmp_path, tmp_path / "*.csv", tmp_path / "x.csv"):
        with pytest.raises(DataError, match=r"x\.csv is (no regular file|a link to nothing)"):
            find(str(pattern), SUFFIXES)


def test_hidden_and_temporary_files_and_folders_are_none_of_the_data(tmp_path):
    (tmp_path / "good.csv").write_text("id\n1\n")
    for name in (".x.csv", "~$x.csv", "x.csv.tmp", ".x.csv.swp"):
        (tmp_path / name).write_text("half\n")
    (tmp_path / "folder.csv").mkdir()
    for pattern in (tmp_path, tmp_path / "*", tmp_path / "*.csv"):
        assert [one.path.name for one in find(str(pattern), SUFFIXES)] == ["good.csv"]


def test_a_name_that_is_no_text_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.csv")).write_text("id\n1\n")
    with pytest.raises(DataError, match="is no UTF-8"):
        find(str(tmp_path), SUFFIXES)


def test_a_file_larger_than_memory_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "x.csv").open("wb") as file:
        file.truncate(1 << 43)
    with pytest.raises(DataError, match=r"more than the [0-9,]+ of this machine's memory"):
        read_file(tmp_path / "x.csv", SPEC, form_of())


def hive(folder):
    for region, month in (("blue", 10), ("red sea", 11), ("__HIVE_DEFAULT_PARTITION__", 12)):
        inside = folder / f"region={region.replace(' ', '%20')}" / f"month={month}"
        inside.mkdir(parents=True)
        ROWS.write_parquet(inside / "0.parquet")
    return str(folder / "**" / "*.parquet")


def test_folders_called_key_and_value_are_columns_only_if_that_was_declared(tmp_path):
    pattern = hive(tmp_path / "data")
    with pytest.raises(DataError, match=r"tell 'region' and 'month'(?s:.*)partitions=True"):
        find(pattern, SUFFIXES)
    with pytest.raises(DataError, match="partitions=True"):
        Chunks(pattern, SPEC, form_of(), size=10)
    rows = pl.concat(one.rows for one in Chunks(pattern, SPEC, form_of(partitions=True, text="region"), size=10).read())
    assert rows["region"].unique().sort().to_list() == [None, "blue", "red sea"]
    assert rows["month"].unique().sort().to_list() == [10, 11, 12]
    plain = pl.concat(one.rows for one in Chunks(pattern, SPEC, form_of(partitions=False), size=10).read())
    assert plain.columns == ROWS.columns


def test_an_equals_sign_above_the_pattern_is_no_column(tmp_path):
    (tmp_path / "a=b").mkdir()
    ROWS.write_csv(tmp_path / "a=b" / "x.csv")
    assert find(str(tmp_path / "a=b" / "*.csv"), SUFFIXES)[0].folders == ()


def test_a_folder_whose_subfolders_hold_the_files_says_how_to_mean_them(tmp_path):
    (tmp_path / "deep").mkdir()
    ROWS.write_csv(tmp_path / "deep" / "x.csv")
    with pytest.raises(NotFoundError, match=r"holds no data files(?s:.*)\*\*/\*\.csv"):
        find(str(tmp_path), SUFFIXES)


def test_a_delta_table_is_no_folder_of_files(tmp_path):
    Table(tmp_path / "rows", SPEC).append(ROWS)
    with pytest.raises(DataError, match="is a Delta table"):
        find(str(tmp_path / "rows"), SUFFIXES)
