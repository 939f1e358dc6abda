"""Sources of a stream: what grows, rotates and arrives is read once and in order, and again from any position."""

from __future__ import annotations

import gzip
import os

import polars as pl
import pytest

from homeostat.connect import FolderSource, InputSource, TailSource
from homeostat.core.errors import NotFoundError
from homeostat.core.table.form import form_of
from tests.cd.serving import bundle, flights

ROWS = flights(300, seed=3).drop("late", "landed")


def numbers(first, last):
    return "".join(f'{{"n": {n}}}\n' for n in range(first, last))


def taken(source, after=None, limit=7):
    """Everything that is there behind a position, and the position behind that."""
    found, after, unread, lost = [], after or {}, [], []
    while True:
        part = source.take(after, limit)
        found += [row.get("n", row) for row in part.rows]
        unread += part.unread
        lost += [part.lost] if part.lost else []
        if part.after == after and not part.rows:
            return found, after, unread, lost
        after = part.after


def test_a_file_is_followed_as_it_grows(tmp_path):
    path = tmp_path / "rows.jsonl"
    source = TailSource(path)
    assert taken(source)[0] == []
    path.write_text(numbers(0, 20) + '{"n": 2')
    assert len(source.take({}, 7).rows) == 7
    first, after, _, _ = taken(source)
    assert first == list(range(20))
    with path.open("a") as file:
        file.write('0}\n{"n": 21}\n')
    assert taken(TailSource(path), after)[0] == [20, 21]


@pytest.mark.parametrize("how", ["renamed", "copied and cut"])
@pytest.mark.parametrize("read", [0, 5, 10])
def test_a_rotated_file_is_read_to_its_end_before_the_new_one(tmp_path, how, read):
    path = tmp_path / "rows.jsonl"
    path.write_text(numbers(0, 10))
    after = {}
    for _ in range(read):
        after = TailSource(path).take(after, 1).after
    with path.open("a") as file:
        file.write(numbers(10, 12) + '{"n": 12}')  # its last line never gets its end
    if how == "renamed":
        path.rename(tmp_path / "rows.jsonl.1")
    else:
        (tmp_path / "rows.jsonl.1").write_bytes(path.read_bytes())
    path.write_text(numbers(13, 20))
    if not read:  # a stream that begins now begins with the newest file
        assert taken(TailSource(path))[0] == list(range(13, 20))
        return
    found, _, _, lost = taken(TailSource(path), after)
    assert found == list(range(read, 20))
    assert lost == []


def test_files_that_were_rotated_several_times_are_read_in_order(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(numbers(0, 3))
    after = taken(TailSource(path))[1]
    for turn, name in enumerate(("rows.jsonl.2", "rows.jsonl.1"), start=1):
        path.rename(tmp_path / name)
        os.utime(tmp_path / name, ns=(turn, turn))
        path.write_text(numbers(turn * 3, turn * 3 + 3))
    assert taken(TailSource(path), after)[0] == list(range(3, 9))


def test_what_was_rotated_away_unread_is_told(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(numbers(0, 30))
    after = TailSource(path).take({}, 5).after
    path.unlink()
    path.write_text(numbers(100, 110))
    found, _, _, lost = taken(TailSource(path), after)
    assert found == list(range(100, 110))
    assert lost == ["rows.jsonl was rotated away before it was read to its end"]


def test_a_line_that_is_no_json_is_told_and_passed_over(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 1}\n{broken\n\n\xff\xfe\n{"n": NaN}\n{"n": 2}\n')
    found, _, unread, _ = taken(TailSource(path))
    assert found == [1, 2]
    assert [one.text for one in unread] == ["{broken", "��", '{"n": NaN}']
    assert all("is no JSON" in one.reason for one in unread)


def test_a_pipe_is_read_to_its_end(tmp_path):
    out, into = os.pipe()
    source = InputSource(out)
    assert source.take({}, 10).rows == []
    os.write(into, b'{"n": 1}\n{"n": 2}\n{"n"')
    assert source.take({}, 1).rows == [{"n": 1}]
    part = source.take({}, 10)
    assert (part.rows, part.ended) == ([{"n": 2}], False)
    os.write(into, b": 3}")
    os.close(into)
    part = source.take({}, 10)
    assert (part.rows, part.names, part.ended) == ([{"n": 3}], ["line 3"], True)
    os.close(out)


def folder_source(folder):
    return FolderSource(folder, bundle().manifest.schema)


def arrive(folder, name, rows):
    hidden = folder / f".{name}"
    kind = name.removesuffix(".gz").rpartition(".")[2]
    {"csv": rows.write_csv, "parquet": rows.write_parquet, "jsonl": rows.write_ndjson, "json": rows.write_json}[kind](
        hidden.with_suffix("") if name.endswith(".gz") else hidden
    )
    if name.endswith(".gz"):
        hidden.write_bytes(gzip.compress(hidden.with_suffix("").read_bytes()))
    count = len(list(folder.glob("[!.]*")))
    os.utime(hidden, ns=(count, count))
    hidden.rename(folder / name)


KINDS = ["b.parquet", "a.csv", "d.jsonl", "c.jsonl.gz", "e.json", "f.csv.gz"]


def test_files_that_arrive_are_read_once_each_oldest_first(tmp_path):
    for place, name in enumerate(KINDS):
        arrive(tmp_path, name, ROWS[place * 50 : place * 50 + 50])
    (tmp_path / "notes.txt").write_text("no table")
    (tmp_path / "half.csv.tmp").write_text("no table yet")
    found, after, unread, _ = taken(folder_source(tmp_path))
    assert [row["flight_id"] for row in found] == ROWS["flight_id"].to_list()
    assert unread == []
    assert taken(folder_source(tmp_path), after)[0] == []
    arrive(tmp_path, "0.csv", ROWS[:3])
    assert [row["flight_id"] for row in taken(folder_source(tmp_path), after)[0]] == ROWS["flight_id"][:3].to_list()


@pytest.mark.parametrize("name", KINDS)
def test_from_every_position_in_a_file_the_rest_follows(tmp_path, name):
    arrive(tmp_path, name, ROWS[:40])
    source, after, seen = folder_source(tmp_path), {}, 0
    while part := source.take(after, 15).rows:
        after = source.take(after, 15).after
        seen += len(part)
        rest = [row["flight_id"] for row in taken(folder_source(tmp_path), after, limit=40)[0]]
        assert rest == ROWS["flight_id"][seen:40].to_list()
    assert seen == 40


def test_a_file_that_cannot_be_read_is_told_and_passed_over(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    arrive(tmp_path, "b.csv", ROWS[:5])
    found, _, unread, _ = taken(folder_source(tmp_path))
    assert len(found) == 5
    assert [one.name for one in unread] == ["a.parquet"]


def test_a_file_that_is_moved_away_is_forgotten(tmp_path):
    arrive(tmp_path, "a.csv", ROWS[:5])
    after = taken(folder_source(tmp_path))[1]
    assert after == {"done": ["a.csv"]}
    (tmp_path / "a.csv").rename(tmp_path / "a.read")
    arrive(tmp_path, "b.csv", ROWS[:5])
    assert taken(folder_source(tmp_path), after)[1] == {"done": ["b.csv"]}


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="no folder"):
        folder_source(tmp_path / "nowhere")


def test_numbers_that_are_none_are_known(tmp_path):
    arrive(tmp_path, "a.parquet", ROWS[:2].with_columns(wind=pl.Series([1.0, float("nan")])))
    assert not folder_source(tmp_path).take({}, 10).finite


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_files_that_arrive_are_read_as_the_source_declares_them(tmp_path, ending):
    rows = pl.DataFrame({"Dist": ["1.204,5"], "carrier": ["NA"]})
    {"csv": rows.write_csv, "jsonl": rows.write_ndjson}[ending](tmp_path / f"a.{ending}")
    form = form_of(rename={"Dist": "distance"}, decimal={"distance": ","}, thousands={"distance": "."})
    found, _, unread, _ = taken(FolderSource(tmp_path, bundle().manifest.schema, form))
    assert not unread
    assert found == [{"distance": 1204.5 if ending == "csv" else "1.204,5", "carrier": "NA"}]
