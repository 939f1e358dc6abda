"""What every refusal of a table has in common."""

from __future__ import annotations

import re

from homeostat.core.errors import HomeostatError

LONGEST = 4_000
_FOREIGN = re.compile(r"Traceback|panick|PanicException|polars\.exceptions|\.rs:\d+|RUST_BACKTRACE|fault in Homeostat")


def one_sentence(error: HomeostatError | str) -> None:
    """It says what happened in our own words, is bounded, and can be printed."""
    said = str(error)
    assert said.strip()
    assert len(said) < LONGEST, said[:500]
    assert not _FOREIGN.search(said), said
    said.encode()
