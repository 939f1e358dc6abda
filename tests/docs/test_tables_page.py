"""The page on tables names every argument of a source, and every word for the unknown."""

import inspect
from pathlib import Path

from homeostat import FileSource
from homeostat.core.table.form import NULLS

PAGE = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
DECLARED = {"self", "pattern", "time", "key", "target", "label_time"}


def test_every_argument_of_a_source_has_its_row():
    named = PAGE.partition("| argument |")[2].partition("\n\n")[0]
    assert {name for name in inspect.signature(FileSource).parameters if name not in DECLARED} == {
        name for name in inspect.signature(FileSource).parameters if f"`{name}`" in named
    }


def test_every_word_for_the_unknown_is_listed():
    listed = PAGE.partition("words are too: ")[2].partition(".\n")[0]
    assert listed.replace("`", "").split() == list(NULLS)
