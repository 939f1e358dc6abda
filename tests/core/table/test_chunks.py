"""Tables chunk by chunk: all the rows in order, from any place on, whatever the form and wherever the cuts fall."""

from __future__ import annotations

import gzip

import polars as pl
import pytest

from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.table.chunks import Chunks, Place
from homeostat.core.table.files import read_file
from homeostat.core.table.form import Form
from homeostat.core.table.spec import table_spec

SPEC = table_spec("at", "id")
FORM = Form(text=("note", "code"))
ROWS = pl.DataFrame(
    {
        "id": range(200),
        "at": [f"2026-01-01T{n // 60:02}:{n % 60:02}:00Z" for n in range(200)],
        "note": ['two\nlines, "quoted"' if n % 7 == 0 else f"n{n}" for n in range(200)],
        "code": [f"{n % 5:03}" for n in range(200)],
        "size": [None if n % 10 == 0 else n / 2 for n in range(200)],
    }
)
WRITE = {
    "csv": ROWS.write_csv,
    "jsonl": ROWS.write_ndjson,
    "json": ROWS.write_json,
    "parquet": ROWS.write_parquet,
}


def written(folder, ending):
    path, plain = folder / f"rows.{ending}", folder / f"rows.{ending.removesuffix('.gz')}"
    WRITE[ending.removesuffix(".gz")](plain)
    if plain != path:
        path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def read(source, after=Place(), size=60, block_bytes=1_000):  # noqa: B008 - immutable
    return list(Chunks(source, SPEC, FORM, size=size, block_bytes=block_bytes).read(after))


def whole(chunks):
    return pl.concat([chunk.rows for chunk in chunks], how="vertical_relaxed")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet", "json"])
def test_the_chunks_are_the_table(tmp_path, ending):
    path = written(tmp_path, ending)
    chunks = read(path)
    assert whole(chunks).equals(read_file(path, SPEC, FORM))
    assert len(chunks) == (1 if ending == "json" else 4 if ending == "parquet" else pytest.approx(12, abs=5))


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "parquet"])
def test_from_every_place_the_rest_follows(tmp_path, ending):
    path = written(tmp_path, ending)
    chunks = read(path)
    assert len(chunks) > 1
    for number, chunk in enumerate(chunks, start=1):
        rest = read(path, chunk.after)
        assert [one.after for one in rest] == [one.after for one in chunks[number:]]
        assert [one.rows.to_dicts() for one in rest] == [one.rows.to_dicts() for one in chunks[number:]]


@pytest.mark.parametrize("size", range(40, 60, 3))
def test_a_cut_falls_between_rows_wherever_the_bytes_end(tmp_path, size):
    assert whole(read(written(tmp_path, "csv"), block_bytes=size))["id"].to_list() == list(range(200))


def test_several_files_folders_patterns_and_delta_tables_are_one_table(tmp_path):
    folder = tmp_path / "days"
    folder.mkdir()
    ROWS[:50].write_parquet(folder / "1.parquet")
    ROWS[50:120].write_csv(folder / "2.csv")
    ROWS[120:].write_parquet(folder / "3.parquet")
    (folder / "notes.txt").write_text("no table")
    ROWS.write_delta(str(tmp_path / "delta"))
    for source in (folder, str(folder / "[123].*"), sorted(folder.glob("*.[pc]*")), str(tmp_path / "d*lta")):
        chunks = read(source)
        assert whole(chunks)["id"].sort().to_list() == list(range(200))
        assert chunks[-1].rest == 0
    first, *_, last = read(folder)
    assert (first.where, last.where) == ("1.parquet: ", "3.parquet: rows 61 to 80: ")
    assert read(folder, Place(part=2, offset=60, rows=60))[0].rows["id"].to_list() == list(range(180, 200))


def test_messages_count_from_the_start_of_the_file(tmp_path):
    path = tmp_path / "rows.csv"
    lines = ["id,at,size"] + [f"{n},2026-01-01,{n}" for n in range(500)]
    for wrong, said in (("1,2", "line 402 has 2 fields"), (b"\xff", "line 402 holds the byte 0xff")):
        broken = [line.encode() for line in lines]
        broken[401] = wrong if isinstance(wrong, bytes) else wrong.encode()
        path.write_bytes(b"\n".join(broken))
        with pytest.raises(DataError, match=said):
            read(path)
    path.write_text("\n".join(lines).replace("400,2026-01-01,400", "400,2026-01-01,many"))
    with pytest.raises(DataError, match="'size' mixes numbers and text: row 401 has 'many'"):
        read(path)
    path = path.with_suffix(".jsonl")
    path.write_text("\n".join(['{"id": 1}'] * 400 + ["{broken"] + ['{"id": 1}'] * 400))
    with pytest.raises(DataError, match="line 401 is no JSON"):
        read(path)


def test_a_torn_file_is_one_clear_error(tmp_path):
    torn = written(tmp_path, "csv.gz")
    torn.write_bytes(torn.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"rows\.csv\.gz cannot be read"):
        read(torn)
    for content in ("", "id,at\n", "\n\n"):
        (tmp_path / "empty.csv").write_text(content)
        with pytest.raises(DataError, match="no rows"):
            read(tmp_path / "empty.csv")


def test_what_is_not_there_is_named(tmp_path):
    for nothing in (tmp_path / "rows.csv", str(tmp_path / "*.csv")):
        with pytest.raises(NotFoundError, match="no table"):
            read(nothing)
    with pytest.raises(NotFoundError, match="holds no table"):
        read(tmp_path)


def test_the_fingerprint_follows_the_files(tmp_path):
    path = written(tmp_path, "csv")
    first = Chunks(path, SPEC, FORM, size=60).fingerprint
    assert first == Chunks(path, SPEC, FORM, size=60).fingerprint
    path.write_text(path.read_text().replace("n1,", "n9,", 1))
    assert first != Chunks(path, SPEC, FORM, size=60).fingerprint
    table = tmp_path / "delta"
    ROWS.write_delta(str(table))
    before = Chunks(table, SPEC, FORM, size=60).fingerprint
    ROWS.write_delta(str(table), mode="append")
    assert before != Chunks(table, SPEC, FORM, size=60).fingerprint
