"""The page of a data report: self-contained, complete, escaped, and loud about what matters."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser

import polars as pl
import pytest

from homeostat.ci.analyze import analyze, table_report
from homeostat.core.errors import LoopError
from tests.ci.analyze.test_analyze_statistics import SPEC, flights

VOID = {"meta", "br"}


class Balanced(HTMLParser):
    """Fails on a tag that is not closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself leaves nothing open."""

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(html: str) -> str:
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    return " ".join(parser.text)


def test_the_page_is_whole_and_names_every_column() -> None:
    text = text_of(analyze(flights(), SPEC).html)
    assert all(name in text for name in flights().columns)
    assert "5,000 rows from 2013-01-01 00:00 to 2013-01-04 11:19 UTC" in text
    assert "This is the first run" in text
    assert "Nothing needs attention" in text


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = analyze(flights(), SPEC).html
    assert re.findall(r"https?:|<script|<link|@import|url\(", html) == []


def test_what_deserves_a_look_stands_at_the_top() -> None:
    first = analyze(flights(), SPEC)
    rows = flights(2, warmer=30).with_columns(arrived=pl.col("late") * 30.0, constant=pl.lit(1), empty=pl.lit(None))
    text = text_of(analyze(rows.with_columns(pl.col("empty").cast(pl.String)), SPEC, first.statistics).html)
    top, _, rest = text.partition("Since the previous run")
    for part in ("'arrived' alone tells 100% of 'late'", "has the same value in every row", "is empty", "changed:"):
        assert part in top
    assert "temperature" in rest


def test_names_and_values_from_the_data_are_escaped() -> None:
    evil = "<script>alert('x')</script>"
    rows = flights().with_columns(pl.lit(evil).alias(evil), pl.Series("w", [evil, "b"] * 2_500))
    first = analyze(rows, SPEC)
    assert "<script" not in first.html
    assert "<script" not in analyze(rows.with_columns(w=pl.lit("b")), SPEC, first.statistics).html
    assert evil in text_of(first.html)


def test_the_same_rows_make_the_same_page() -> None:
    first = analyze(flights(), SPEC)
    assert analyze(flights(), SPEC).html == first.html


def test_a_wide_table_makes_a_bounded_page() -> None:
    rows = flights().head(100).with_columns(**{f"x{n}": pl.lit(n) for n in range(400)})
    html = analyze(rows, SPEC).html
    assert "and 108 more columns" in html
    assert len(html) < 500_000


def test_without_skrub_the_interactive_report_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skrub", None)
    with pytest.raises(LoopError, match=r"skrub, which is not installed(.|\n)*homeostat\[report\]"):
        table_report(flights().head(20))


def test_the_interactive_report_of_skrub_is_there_on_demand() -> None:
    html = table_report(flights().head(200).drop("landed"), title="Flights")
    assert "<html" in html or "<skrub-table-report" in html
    assert "temperature" in html
