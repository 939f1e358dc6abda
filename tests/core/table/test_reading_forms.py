"""Cells as they were declared: numbers of any country, words for the unknown, text that stays text."""

import codecs
import contextlib
import gzip
import io
import os
import random

import polars as pl
import pytest

from homeostat.core import guarded
from homeostat.core.errors import DataError
from homeostat.core.guarded import refusing
from homeostat.core.table.chunks import Chunks
from homeostat.core.table.files import footers, number_forms, read_file
from homeostat.core.table.form import NULLS, form_of
from homeostat.core.table.spec import table_spec

SPEC = table_spec("at", "id", "y")


def read(tmp_path, content, name="a.csv", *, tell=lambda _: None, spec=SPEC, **declared):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_file(path, spec, form_of(**declared), tell)


def column(tmp_path, cells, **declared):
    rows = "".join(f'{number};"{cell}"\n' for number, cell in enumerate(cells))
    return read(tmp_path, "id;x\n" + rows, separator=";", **declared)["x"]


NUMBERS = [
    (["15,5", "-1,25", "3"], {"decimal": ","}, [15.5, -1.25, 3.0]),
    (["1.204,50", "12,5"], {"decimal": ",", "thousands": "."}, [1204.5, 12.5]),
    (["1,204", "12"], {"thousands": ","}, [1204, 12]),
    (["1\u202f204,5", "1\u00a0000"], {"decimal": ",", "thousands": " "}, [1204.5, 1000.0]),
    (["1’204.5", "1'000"], {"thousands": "'"}, [1204.5, 1000.0]),
    (["12,34,567", "1,000"], {"thousands": ","}, [1234567, 1000]),
    (["1,5E+03", ",5"], {"decimal": ","}, [1500.0, 0.5]),
    (["$1,200.50", "($3.00)", "-$4", "5 USD"], {"thousands": {"x": ","}}, [1200.5, -3.0, -4.0, 5.0]),
    (["45%", "3.5 %"], {"decimal": {"x": "."}}, [45.0, 3.5]),
    (["1.204,50-", "€ 3", "\u22124"], {"decimal": {"x": ","}, "thousands": {"x": "."}}, [-1204.5, 3.0, -4.0]),
    (["1", "?", "#N/A", "\\N", "-", "NA", ""], {}, [1, None, None, None, None, None, None]),
    (["true", "None"], {}, [True, None]),
    (["1", "x"], {"nulls": {"x": ["x"]}}, [1, None]),
    (["red", "NA", "None", "?"], {}, ["red", "NA", "None", "?"]),
    (["red", "NA", ""], {"nulls": ["NA"]}, ["red", None, None]),
    (["1", "NA", "2"], {"nulls": []}, ["1", "NA", "2"]),
    (["1", "NA"], {"text": "x"}, ["1", "NA"]),
    (["007", "12"], {}, ["007", "12"]),
    (["1,5", "x"], {}, ["1,5", "x"]),
    (["1.234", "5,5"], {"decimal": ","}, ["1.234", "5,5"]),
    (["1,23", "4,567"], {"thousands": ","}, ["1,23", "4,567"]),
    (["$5", "$6"], {"decimal": ","}, ["$5", "$6"]),
]


@pytest.mark.parametrize(("cells", "declared", "expected"), NUMBERS)
def test_a_column_is_read_as_declared_and_stays_text_if_it_is_anything_else(tmp_path, cells, declared, expected):
    assert column(tmp_path, cells, **declared).to_list() == expected


@pytest.mark.parametrize("word", NULLS)
def test_a_word_for_the_unknown_is_one_among_numbers_and_text_among_text(tmp_path, word):
    assert column(tmp_path, ["1", word]).to_list() == [1, None]
    assert column(tmp_path, ["a", word]).to_list() == ["a", word]


def test_times_know_the_words_for_the_unknown_too(tmp_path):
    rows = read(tmp_path, "id,at\n1,2013-01-01\n2,NA\n", spec=table_spec("at"))
    assert rows["at"].to_list() == ["2013-01-01", None]


@pytest.mark.parametrize(
    ("cells", "declared", "said"),
    [
        (["1,5", "soon"], {"decimal": {"x": ","}}, r"declared as numbers with decimal ',': row 2 has 'soon' \(1 of 2"),
        (["1.5"], {"decimal": {"x": ","}}, "row 1 has '1.5'"),
        (
            [*map(str, range(19)), "soon"],
            {},
            r"mixes numbers and text: row 20 has 'soon'(?s:.*)nulls={'x': \['soon'\]}",
        ),
        ([*["4.5"] * 19, "4,504.5"], {}, r"thousands={'x': ','}"),
        (["9007199254740993", "1.5"], {}, "row 1 has the whole number 9007199254740993, which a fraction cannot hold"),
    ],
)
def test_a_number_that_is_none_is_refused_with_the_way_out(tmp_path, cells, declared, said):
    with pytest.raises(DataError, match=said):
        column(tmp_path, cells, **declared)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"decimal": ";"}, "the decimal mark is ';'"),
        ({"thousands": {"x": "x"}}, "the thousands mark of column 'x' is 'x'"),
        ({"thousands": "."}, r"'.' is both the decimal mark and the thousands mark(?s:.*)decimal=','"),
        ({"nulls": "NA"}, r"nulls is the text 'NA'(?s:.*)nulls=\['NA'\]"),
        ({"decimal": {"x": ","}, "text": ["x"]}, "'x' is declared as text and as a number"),
        ({"encoding": "utf-99"}, "no encoding 'utf-99'"),
        ({"encoding": "base64"}, "no encoding 'base64'"),
        ({"separator": '"'}, "not one character"),
        ({"rename": {"a": "c", "b": "c"}}, "two columns the name 'c'"),
        ({"rename": {"a": ""}}, "an empty name"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(declared, said):
    with pytest.raises(DataError, match=said):
        form_of(**declared)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["15,5", "-1,38"], ["decimal={'x': ','}"]),
        (["4,545.00", "?"], ["decimal={'x': '.'}, thousands={'x': ','}"]),
        (["$5", "$6.50"], ["decimal={'x': '.'}"]),
        (["4,545", "1,000"], ["decimal={'x': ','}", "decimal={'x': '.'}, thousands={'x': ','}"]),
        ([*["1,5"] * 10, *(f"{n},25" for n in range(20)), "off"], ["decimal={'x': ','}, nulls={'x': ['off']}"]),
        (["1", "2"], [""]),
        (["a", "b"], []),
        (["", "NA"], []),
    ],
)
def test_text_that_is_numbers_is_told_with_the_declaration_that_reads_it(cells, told):
    assert [form.told("x") for form in number_forms(pl.Series("x", cells))] == told


def test_the_share_counts_what_is_no_word_for_the_unknown():
    (form,) = number_forms(pl.Series(["1,5", "2,5", "3,5", "x", "NA"]))
    assert (form.share, form.nulls, form.other) == (0.75, ("NA",), "x")


HEADERS = [
    ('id,at,"net\nprice",y\na,2026-11-01,1,0\n', {}, ["id", "at", "net price", "y"]),
    (" id , at,y\na,2026-11-01,0\n", {}, ["id", "at", "y"]),
    ('"sep=,"\nid,at,y\na,2026-11-01,0\n', {}, ["id", "at", "y"]),
    ("\n\nid,at,y\na,2026-11-01,0\n", {}, ["id", "at", "y"]),
    (",id,at\n0,a,2026-11-01\n1,b,2026-11-02\n", {}, ["id", "at"]),
    (",id,at\n1,a,2026-11-01\n2,b,2026-11-02\n", {}, ["id", "at"]),
    ("id,at,\na,2026-11-01,\n", {}, ["id", "at"]),
    (",id,at\n7,a,2026-11-01\n3,b,2026-11-02\n", {"ignore": [""]}, ["id", "at"]),
    (",id,at\n7,a,2026-11-01\n3,b,2026-11-02\n", {"rename": {"": "place"}}, ["place", "id", "at"]),
    ("id,at,Age,age\n1,2026-11-01,2,3\n", {"rename": {"Age": "years"}}, ["id", "at", "years", "age"]),
    ("id,at,Age,age\n1,2026-11-01,2,3\n", {"ignore": ["Age"]}, ["id", "at", "Age", "age"]),
]


@pytest.mark.parametrize(("content", "declared", "names"), HEADERS)
def test_a_header_is_read_with_what_people_write_into_it(tmp_path, content, declared, names):
    assert read(tmp_path, content, **declared).columns == names


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (",id\n7,a\n3,b\n", r"column 1 has no name; row 1 has '7'(?s:.*)ignore=\[''\]"),
        ("id,at,Age,age\n1,2,3,4\n", r"'Age' and 'age' differ in case only(?s:.*)rename={'Age': \"Age_2\"}"),
        ("id,id\n1,2\n", "'id' more than once"),
        ("id,a\x07\n1,2\n", "holds a control character"),
        (f"id,{'x' * 256}\n1,2\n", "has 256 bytes; 255 are the most"),
        ("id,__known\n1,2\n", "one that Homeostat uses itself"),
        (",".join(f"c{n}" for n in range(20_001)) + "\n", "20,001 columns; 20,000 are the most"),
        ("id,at\r1,2\r", "carriage return alone"),
        ('id,"at\n1,2\n', "a quote in the header is never closed"),
    ],
)
def test_a_header_that_no_table_can_have_is_refused(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, content)


def test_what_was_left_out_is_told(tmp_path):
    told = []
    read(tmp_path, ",id,\n0,a,\n1,b,\n", tell=told.append)
    assert told == [
        "a.csv: column 1 has no name and only counts the rows, and was left out",
        "a.csv: column 3 has no name and no values, and was left out",
    ]


@pytest.mark.parametrize(("mark", "encoding"), [(codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")])
def test_utf_16_that_says_so_is_read_and_told(tmp_path, mark, encoding):
    told = []
    rows = read(tmp_path, mark + "id,at\né,2026-11-01\n".encode(encoding), tell=told.append)
    assert rows["id"].to_list() == ["é"]
    assert told == ["a.csv: the file is UTF-16, as its first bytes say, and was read so"]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("é".encode("cp1252"), "cp1252"),
        ("é".encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF8 + "é".encode(), "utf-8"),
    ],
)
def test_a_declared_encoding_is_read(tmp_path, data, encoding):
    head = "id\n".encode(encoding)
    marked = data if not data.startswith(codecs.BOM_UTF8) else data[3:]
    content = (codecs.BOM_UTF8 if data is not marked else b"") + head + marked + "\n".encode(encoding)
    assert read(tmp_path, content, encoding=encoding).to_dicts() == [{"id": "é"}]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(b"id\n1\n", mtime=0), "packed by gzip"),
        (b"PK\x03\x04..", "zip archive"),
        (b"PAR1\x15\0", "is Parquet"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_told_by_its_first_bytes(tmp_path, data, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, data)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("city", ["Ulm", "Köln"])
def test_wide_text_without_a_mark_is_refused_with_the_declaration_that_reads_it(tmp_path, encoding, city):
    data = f"id,city\n1,{city}\n".encode(encoding)
    with pytest.raises(DataError, match=f"encoding='{encoding}'"):
        read(tmp_path, data)
    told = []
    assert read(tmp_path, data, encoding=encoding, tell=told.append)["city"].to_list() == [city]
    assert told == []


JSON = [
    ('{"id":1}\n{"id":2,"id":3}\n', "a.jsonl", "line 2 has 'id' more than once in one object"),
    ('[{"id":1},{"id":2,"id":3}]', "a.json", "the file has 'id' more than once"),
    ('{"id":"\\ud83d"}\n', "a.jsonl", "line 1 holds half a character"),
    ('{"id":' + "[" * 100_000 + "]" * 100_000 + "}\n", "a.jsonl", "line 1 is nested too deeply"),
    (
        '{"x":9007199254740993}\n{"x":1.5}\n',
        "a.jsonl",
        "'x' holds fractions, and row 1 the whole number 9007199254740993",
    ),
    ('{"Age":1,"age":2}\n', "a.jsonl", "differ in case only"),
    ('{"":1}\n', "a.jsonl", "the name of a column is ''"),
]


@pytest.mark.parametrize(("content", "name", "said"), JSON)
def test_json_that_is_no_table_is_refused(tmp_path, content, name, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, content, name)


def test_keys_in_json_text_are_no_keys(tmp_path):
    assert read(tmp_path, '{"id":"a\\":b","x":"\\"c\\": "}\n', "a.jsonl").to_dicts() == [{"id": 'a":b', "x": '"c": '}]


def test_bytes_are_text_if_that_was_declared(tmp_path):
    pl.DataFrame({"id": [b"a", "é".encode()]}).write_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    with pytest.raises(DataError, match=r"'id' holds bytes(?s:.*)text=\('id',\)"):
        read(tmp_path, content, "a.parquet")
    assert read(tmp_path, content, "a.parquet", text=("id",))["id"].to_list() == ["a", "é"]
    pl.DataFrame({"id": [b"\xff"]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no UTF-8"):
        read(tmp_path, (tmp_path / "x.parquet").read_bytes(), "a.parquet", text="id")


def test_declared_numbers_and_words_are_read_in_text_of_typed_files_too(tmp_path):
    pl.DataFrame({"x": ["1,5", "off"], "c": ["off", "NA"]}).write_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    rows = read(tmp_path, content, "a.parquet", decimal={"x": ","}, nulls={"x": ["off"]})
    assert rows.to_dict(as_series=False) == {"x": [1.5, None], "c": ["off", "NA"]}


@pytest.fixture
def small(monkeypatch):
    """A bound that a test's bombs pass in no time."""
    monkeypatch.setattr(guarded, "UNPACKED_AT_WILL", 1 << 20)


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path, small):
    with pytest.raises(DataError, match="unpack to more than"):
        read(tmp_path, gzip.compress(b"\0" * (3 << 20), 9), "a.csv.gz")


def test_several_gzip_members_are_one_file(tmp_path):
    data = gzip.compress(b"id,at\n1,2013-01-01\n") + gzip.compress(b"2,2013-01-01\n")
    assert read(tmp_path, data, "a.csv.gz")["id"].to_list() == [1, 2]
    with pytest.raises(DataError, match="no whole gzip file"):
        read(tmp_path, data[:-4], "a.csv.gz")


@pytest.mark.parametrize(
    "error", [RecursionError("deep"), MemoryError(), OverflowError("big"), ValueError("odd"), OSError(5, "I/O")]
)
def test_whatever_a_reader_raises_names_the_file(error):
    with pytest.raises(DataError, match=r"a\.csv cannot be read"), refusing("a.csv"):
        raise error


def test_a_panic_is_refused_and_what_ends_a_process_is_not():
    panic = type("PanicException", (BaseException,), {})
    with pytest.raises(DataError, match="cannot be read: index out of bounds"), refusing("a.csv"):
        raise panic("index out of bounds")
    with pytest.raises(KeyboardInterrupt), refusing("a.csv"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pl.select(id=pl.repeat("x" * (3 << 20), 1)), "unpack to more than"),
        (pl.select(id=pl.repeat(1, 2_000_000, dtype=pl.Int8)), "2,000,000 rows of 1 columns"),
    ],
    ids=["one long text", "one number, often"],
)
def test_a_parquet_bomb_is_refused_by_its_footer_alone(tmp_path, small, rows, said):
    path = tmp_path / "a.parquet"
    rows.write_parquet(path, compression="zstd")
    for read_it in (lambda: read_file(path, SPEC, form_of()), lambda: Chunks(path, SPEC, form_of(), size=5)):
        with pytest.raises(DataError, match=said):
            read_it()


@pytest.mark.parametrize(
    "options", [{}, {"row_group_size": 1}, {"compression": "uncompressed"}, {"statistics": "full"}]
)
def test_the_footer_and_pages_of_any_table_are_walked_over(tmp_path, options):
    path = tmp_path / "a.parquet"
    rows = pl.DataFrame(
        {"id": [1, 2], "at": [["x"], None], "s": [{"a": 1.5, "b": True}, None], "long": ["x" * 9_999, ""]}
    )
    rows.write_parquet(path, **options)
    with path.open("rb") as file:
        footer = footers._footer(file, path.stat().st_size)
        assert footer is not None
        assert footer[3] == 2
        columns = [chunk[3] for group in footer[4] for chunk in group[1]]
        assert [footers._unpacked(column, file) for column in columns] == [
            pytest.approx(column[6], abs=200) for column in columns
        ]
        footers.refuse_parquet_bomb(file)


def test_a_page_that_says_what_cannot_be_is_refused_before_room_is_made_for_it(tmp_path):
    """A changed byte made the reader ask for more memory than there is, which ends a process."""
    pl.DataFrame({"id": list("abc") * 5}).write_parquet(tmp_path / "x.parquet", compression="uncompressed")
    whole = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").unlink()
    place = whole.rindex(b"\x15\x1e", 0, whole.index(b"schema"))
    with pytest.raises(DataError, match="a page of column 'id' says that it has -39 values"):
        read(tmp_path, whole[:place] + b"\x15\x4d" + whole[place + 2 :], "a.parquet")


@pytest.mark.parametrize("seed", range(3))
def test_a_footer_with_changed_bytes_is_refused_or_left_to_the_reader(tmp_path, seed):
    pl.DataFrame({"id": list("abc") * 5, "n": range(15)}).write_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    numbers = random.Random(seed)
    for _ in range(200):
        torn = bytearray(whole)
        torn[numbers.randrange(len(torn))] = numbers.randrange(256)
        with contextlib.suppress(DataError):
            footers.refuse_parquet_bomb(io.BytesIO(torn))


@pytest.mark.parametrize(("printed", "passed_on"), [(b"thread x panicked at y\n", b""), (b"a word\n", b"a word\n")])
def test_the_message_of_a_panic_is_held_back_and_any_other_is_not(capfd, printed, passed_on):
    with guarded.without_panic_messages():
        os.write(2, printed)
    os.write(2, b"after\n")
    assert capfd.readouterr().err.encode() == passed_on + b"after\n"
