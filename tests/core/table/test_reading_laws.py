"""Laws of the readers: a text means the same to the reader of whole files, of chunks cut anywhere, and of one value."""

from __future__ import annotations

import codecs
import gzip
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.errors import DataError
from homeostat.core.table.chunks import Chunks
from homeostat.core.table.files import read_file
from homeostat.core.table.form import NULLS, form_of
from homeostat.core.table.rows import stored_form
from homeostat.core.table.spec import table_spec
from homeostat.core.times.columns import possible_forms, read_time

FORMS = [None, "%d/%m/%Y", "%m/%d/%Y %I:%M:%S %p", "%d.%m.%y %H:%M", "%Y%m%d", "%d %b %Y", "s", "ms"]
MARKS = [(".", ""), (",", ""), (",", "."), (".", ","), (",", " "), (".", "'")]
MOMENTS = st.integers(631_152_000, 2_840_140_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8) | st.sampled_from(
    [*NULLS, "007", "1.5", '"', ",", ";", "a\nb", "true", "-", " x "]
)


def written_time(moment, form):
    if form in ("s", "ms"):
        return str(int(moment.timestamp()) * (1 if form == "s" else 1_000))
    return moment.strftime(form or "%Y-%m-%dT%H:%M:%SZ")


def written_number(value, decimal, thousands):
    whole, _, fraction = f"{value:,.2f}".partition(".")
    return whole.replace(",", thousands) + decimal + fraction


@st.composite
def tables(draw):
    """Bytes of a CSV file, how it is declared, and the numbers and moments that were written into it."""
    form, (decimal, thousands) = draw(st.sampled_from(FORMS)), draw(st.sampled_from(MARKS))
    separator, encoding = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    count = draw(st.integers(1, 25))
    moments = draw(st.lists(MOMENTS, min_size=count, max_size=count))
    numbers = draw(st.lists(st.none() | st.floats(-1e9, 1e9), min_size=count, max_size=count))
    numbers = [None if one is None else round(one, 2) for one in numbers]
    texts = draw(st.lists(TEXT, min_size=count, max_size=count))

    def cell(text):
        return '"' + text.replace('"', '""') + '"'

    lines = [separator.join(["at", "x", cell("the\nnote")])]
    for moment, number, text in zip(moments, numbers, texts, strict=True):
        plain = draw(st.sampled_from(["", "NA", "?"])) if number is None else written_number(number, decimal, thousands)
        lines.append(separator.join([cell(written_time(moment, form)), cell(plain), cell(text)]))
    data = (end.join(lines) + draw(st.sampled_from(["", end]))).encode(encoding)
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding)
    data = (mark or draw(st.sampled_from([b"", codecs.BOM_UTF8]))) + data
    declared = form_of(
        separator=separator,
        decimal={"x": decimal},
        thousands={"x": thousands} if thousands else "",
        text="the note",
    )
    return data, table_spec("at", dates=form), declared, numbers, moments, texts


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 400), st.booleans())
def test_a_table_means_the_same_whole_and_in_chunks_of_any_size(table, block, packed):
    data, spec, form, numbers, moments, texts = table
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.csv.gz" if packed else "a.csv")
        path.write_bytes(gzip.compress(data, 1) if packed else data)
        whole = read_file(path, spec, form)
        chunks = list(Chunks(path, spec, form, size=10, block_bytes=block).read())
        resumed = list(Chunks(path, spec, form, size=10, block_bytes=block).read(chunks[0].after))
    rows, problems = stored_form(whole, spec.times)
    assert not problems
    assert rows["x"].cast(pl.Float64).to_list() == numbers
    unit = {"%d/%m/%Y": "day", "%Y%m%d": "day", "%d %b %Y": "day", "%d.%m.%y %H:%M": "minute"}.get(
        dict(spec.dates).get("at")
    )
    zero = {"day": {"hour": 0, "minute": 0, "second": 0}, "minute": {"second": 0}}.get(unit, {})
    assert rows["at"].to_list() == [moment.replace(**zero) for moment in moments]
    assert rows["the note"].to_list() == [text or None for text in texts]
    parts = [stored_form(chunk.rows, spec.times)[0].with_columns(pl.col("x").cast(pl.Float64)) for chunk in chunks]
    assert pl.concat(parts).equals(rows.with_columns(pl.col("x").cast(pl.Float64)))
    assert sum(chunk.rows.height for chunk in resumed) == whole.height - chunks[0].rows.height
    assert [read_time(text, spec.times["at"]) for text in whole["at"]] == rows["at"].to_list()


@settings(max_examples=40, deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=20), st.sampled_from(FORMS))
def test_the_forms_that_are_possible_hold_the_one_that_was_written(moments, form):
    written = pl.Series([written_time(moment, form) for moment in moments])
    readings = [[read_time(text, one or None) for text in written] for one in possible_forms(written)]
    assert [read_time(text, form) for text in written] in readings


def refusal(read):
    """What a reader refuses, if it does; anything else that it raises is a fault."""
    try:
        read()
    except DataError as error:
        return error.what
    return None


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from(["csv", "csv.gz", "jsonl", "json", "json.gz", "parquet"]), st.booleans()
)
def test_any_bytes_are_a_table_or_one_refusal(data, ending, packed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{ending}"
        path.write_bytes(gzip.compress(data) if packed and ending.endswith("gz") else data)
        for read in (
            lambda: read_file(path, table_spec("at"), form_of()),
            lambda: list(Chunks(path, table_spec("at"), form_of(), size=5, block_bytes=40).read()),
        ):
            said = refusal(read)
            assert said is None or "a." in said


MANGLED = b'id,at,x\n1,2013-01-01,"a"\n2,2013-01-02,\n3,2013-01-03,1.5\n'


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(MANGLED) - 1), st.integers(0, 255)), max_size=6))
def test_a_mangled_table_is_a_table_or_one_refusal(changes):
    data = bytearray(MANGLED)
    for place, byte in changes:
        data[place] = byte
    test_any_bytes_are_a_table_or_one_refusal.hypothesis.inner_test(bytes(data), "csv", packed=False)
