"""What a person writes for a place is a folder, a URL, or refused with the ways that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeostat.connect import FolderSource, InputSource, JsonLinesSink, OutputSink, ParquetSink, TailSource
from homeostat.core.errors import StoreError, UserError
from homeostat.core.table.form import Form
from homeostat.loop.open import open_store, open_stream_sink, open_stream_source, store_folder
from tests.cd.serving import bundle


@pytest.mark.parametrize("name", ["store", "a b", "a?b", "50%", "\u00e9", "a#b"])
def test_a_store_is_the_same_by_its_path_and_by_its_url(tmp_path: Path, name: str) -> None:
    made = open_store(tmp_path / name)
    again = open_store((tmp_path / name).as_uri(), create=False)
    assert again.path == made.path
    assert again.ledger.newest() == 0


@pytest.mark.parametrize("place", ["s3://bucket/store", "postgresql://host/db", "http://x", "S3://bucket"])
def test_another_scheme_is_refused_and_the_ways_that_there_are_are_said(place: str) -> None:
    with pytest.raises(UserError, match="is no store that can be opened") as refused:
        open_store(place)
    assert "a folder, or its URL: file://" in (refused.value.hint or "")


@pytest.mark.parametrize("place", ["file://elsewhere/store", "file://"])
def test_a_url_that_names_no_folder_here_is_refused(place: str) -> None:
    with pytest.raises(UserError, match="is no store that can be opened"):
        store_folder(place)


def test_where_nothing_may_be_made_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        open_store(f"file://{tmp_path}/none", create=False)
    assert list(tmp_path.iterdir()) == []


def test_streams_are_opened_by_what_their_places_are(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    schema = bundle().manifest.schema
    sources = {"-": InputSource, str(tmp_path / "in"): FolderSource, str(tmp_path / "rows.jsonl"): TailSource}
    assert {place: type(open_stream_source(place, schema, Form())) for place in sources} == sources
    sinks = {"-": OutputSink, str(tmp_path / "out.jsonl"): JsonLinesSink, str(tmp_path / "out"): ParquetSink}
    assert {place: type(open_stream_sink(place, None, "-")) for place in sinks} == sinks
