"""Names of loops and runs: what becomes a folder, a file, an address or text is checked in one place."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from homeostat import FrameSource, Loop
from homeostat.cd.serve import endpoint_file
from homeostat.core import events as ev
from homeostat.core.errors import LoopError, UserError
from homeostat.core.ledger import Ledger
from homeostat.core.loop_names import check_loop_name, check_run_name
from homeostat.core.store import Store
from homeostat.core.table.spec import table_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BAD = (
    *("", " ", ".", "..", "../../../escaped", "a/b", "a\\b", "/etc", "C:", "a:b", "a*", "-", "-a", "a-", "a.b", "a_b"),
    *(
        "<script>",
        "a\x1b[31m",
        "a\nb",
        "a\tb",
        "a\x00b",
        "a\x7f",
        "a\u202eb",
        "a\u2028b",
        "\ud800",
        "A",
        "é",
        "١",
        "a" * 64,
    ),
    *("a.", "a ", "con", "nul", "aux", "prn", "com1", "lpt9"),
)
ROWS = pl.DataFrame({"at": [NOW], "y": [1.0]})


@pytest.mark.parametrize("name", BAD)
def test_what_names_a_loop_is_checked_in_one_place_for_every_way_in(tmp_path, name):
    store = Store.open(tmp_path / "store")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="no name of a loop") as refused:
        check_loop_name(name)
    assert str(refused.value).isascii()
    assert str(refused.value).replace("\n", "").isprintable()
    with pytest.raises(LoopError, match="name has other characters"):
        Loop(name=name, source=FrameSource(ROWS, time="at", target="y"))
    fact = ev.LoopStarted(loop=name, who="ann", declaration="0")
    for way in (
        lambda: store.table(name, "rows", table_spec("at", target="y")),
        lambda: store.log_folder(name),
        lambda: endpoint_file(store.path, name),
        lambda: store.ledger.append(fact, time=NOW),
        lambda: store.ledger.append_many([fact], time=NOW),
    ):
        with pytest.raises(UserError, match="no name of a loop"):
            way()
    assert store.ledger.newest() == 0
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["rides", "a", "0", "a-b", "a" * 63, "com10", "console"])
def test_usual_names_pass(name):
    assert check_loop_name(name) == name
    assert Ledger.open(":memory:").append(ev.LoopStarted(loop=name, who="a", declaration="0"), time=NOW).seq == 1


@pytest.mark.parametrize("name", ["", "..", "../a", "a/b", "a\nb", "a..b", "<b>", ".a", "a" * 200, None, 7])
def test_a_run_names_a_journal_and_a_report(name):
    with pytest.raises(UserError, match="no name of a run"):
        check_run_name(name)
    assert check_run_name("run-0123abc") == "run-0123abc"
