"""The table of values stands in the documents as the code has it."""

from __future__ import annotations

from pathlib import Path

from homeostat.core.values import RULES

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def test_the_documented_table_of_values_is_the_one_that_every_door_holds():
    lines = [f"| {one.kind} | {one.what} | {'taken' if one.taken else 'refused'} | {one.note} |" for one in RULES]
    page = PAGE.read_text()
    assert "| column | value | | |\n| --- | --- | --- | --- |\n" + "\n".join(lines) + "\n\n" in page


def test_no_rule_stands_there_twice():
    names = [(one.kind, one.what) for one in RULES]
    assert len(set(names)) == len(names)
