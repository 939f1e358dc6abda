"""What `verify` finds, with an anchor and without; and stores under any name, and on a disk that is read-only."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from homeostat.core.ledger import Ledger
from homeostat.core.ledger.anchor import anchor_of, broken
from homeostat.core.store import Store
from tests.cli.bad import Verb, csv, refused, rides, write


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one version; made once, and copied to be spoiled."""
    from tests.cli.conftest import in_a_process

    folder = tmp_path_factory.mktemp("whole")
    write(folder, data=csv(rides(800)))
    assert in_a_process("run", cwd=folder).code == 0
    return folder


@pytest.fixture
def trained(whole: Path, tmp_path: Path) -> Path:
    """The same project in this test's folder."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def ledger_of(folder: Path) -> Ledger:
    return Ledger.open(folder / ".homeostat" / "ledger.sqlite", create=False)


# --------------------------------------------------------------------------------------------------- verify and anchor


def test_a_table_that_is_missing_or_has_fewer_rows_is_found(homeostat: Verb, trained: Path) -> None:
    assert homeostat("verify").code == 0
    (log,) = trained.glob(".homeostat/tables/rides/rows/_delta_log")
    shutil.rmtree(log.parent)
    refused(homeostat("verify"), "table rides/rows is missing, and 800 rows were appended to it", code=1)
    shutil.copytree(trained / ".homeostat", trained / "aside")
    table = [{"at": "2026-01-01", "ride": "r0", "late": 0, "done": "2026-01-02", "carrier": "AA", "wind": 1.0}]
    from polars import DataFrame

    from homeostat.core.store import Store
    from homeostat.loop import load_loop

    Store.open(trained / ".homeostat").table("rides", "rows", load_loop("loop.py").source.spec).append(DataFrame(table))
    refused(homeostat("verify"), "table rides/rows has 1 rows, and 800 were appended to it", code=1)


def test_an_emptied_ledger_beside_artifacts_is_found(homeostat: Verb, trained: Path) -> None:
    file = trained / ".homeostat" / "ledger.sqlite"
    file.unlink()
    refused(homeostat("verify"), "the ledger of the store .homeostat is gone")
    refused(homeostat("run"), "the ledger of the store .homeostat is gone")
    Ledger.open(file).close()
    refused(homeostat("verify"), "artifacts lie beside it: it was emptied", code=1)


def test_a_damaged_page_of_the_ledger_is_found(homeostat: Verb, trained: Path) -> None:
    file = trained / ".homeostat" / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        page = database.execute("select rootpage from sqlite_master where name = 'events_by_kind'").fetchone()[0]
        size = database.execute("pragma page_size").fetchone()[0]
    data = bytearray(file.read_bytes())
    data[(page - 1) * size : page * size] = bytes(size)
    file.write_bytes(data)
    refused(homeostat("verify"), "the ledger", "backup", code=homeostat("verify").code)
    assert homeostat("verify").code in (1, 2)


def test_an_anchor_shows_a_tail_that_was_cut_off_or_rewritten(homeostat: Verb, trained: Path) -> None:
    earlier = trained / "earlier.json"
    earlier.write_text(homeostat("anchor", "--json").out)
    (head,) = json.loads(earlier.read_text())["heads"]
    assert (head["loop"], head["seq"]) == ("rides", ledger_of(trained).newest())
    assert head["hash"][:12] in homeostat("anchor").out
    assert homeostat("verify", "--anchor", str(earlier)).code == 0
    assert homeostat("retrain", "--reason", "more").code == 0
    assert homeostat("verify", "--anchor", str(earlier)).code == 0  # what came since is no harm
    file = trained / ".homeostat" / "ledger.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("delete from events where seq >= ?", (head["seq"],))
    Ledger.open(file).rebuild()
    assert ledger_of(trained).verify() == head["seq"] - 1  # the chain itself is whole
    refused(homeostat("verify", "--anchor", str(earlier)), f"event {head['seq']} of loop rides was anchored", code=1)


def test_an_anchor_shows_another_history(tmp_path: Path) -> None:
    from tests.core.ledger.test_ledger_replaced import NOW, fact

    first, second = Ledger.open(tmp_path / "first"), Ledger.open(tmp_path / "second")
    for ledger, who in ((first, "ann"), (second, "eve")):
        for _ in range(2):
            ledger.append(fact(who), time=NOW)
    anchor = anchor_of(first)
    assert broken(first, anchor) == []
    assert broken(second, anchor) == ["event 2 of loop rides is not the one that was anchored: it was rewritten"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"heads": 1}', '{"heads": [], "heads": []}', "[" * 9_000, None])
def test_what_is_no_anchor_is_refused(homeostat: Verb, trained: Path, text: str | None) -> None:
    if text is not None:
        (trained / "anchor.json").write_text(text)
    refused(homeostat("verify", "--anchor", "anchor.json"), "anchor.json", "homeostat anchor --json")


# -------------------------------------------------------------------------------------------------------- odd places

PLACES = ("a?b#c", "a%20b", "[a] {b}", "ä/ß €", "a?mode=memory&b", "-~$HOME'\"")


@pytest.mark.parametrize("place", PLACES)
def test_a_store_may_lie_under_any_name(homeostat: Verb, tmp_path: Path, place: str) -> None:
    write(tmp_path, data=csv(rides(800)))
    before = {path.name for path in tmp_path.iterdir()}
    store = ["--store", f"./{place}"]
    assert homeostat("run", *store).code == 0
    assert homeostat("run", *store).code == 0  # reads the table back
    assert homeostat("verify", *store).code == 0
    assert homeostat("status", *store).code == 0
    assert {path.name for path in tmp_path.iterdir()} - before == {place.partition("/")[0]}
    assert (tmp_path / place / "ledger.sqlite").is_file()
    assert next((tmp_path / place).glob("tables/rides/rows/_delta_log/*.json"), None) is not None


@pytest.fixture
def read_only(trained: Path):
    """The project's store on a disk that nobody can write, root neither."""
    store = trained / ".homeostat"
    told = ["mount", "--bind", "-o", "ro", str(store), str(store)]
    if shutil.which("mount") is None or subprocess.run(told, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a folder read-only")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(store)], check=True, capture_output=True)
        with pytest.raises(OSError, match="Read-only"):
            (store / "x").write_bytes(b"")
        yield trained
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)


def test_verbs_that_only_read_work_on_a_read_only_disk(homeostat: Verb, read_only: Path) -> None:
    run = homeostat("runs", "--json").json[0]["run"]
    for verb in (
        *(
            ["status"],
            ["runs"],
            ["versions"],
            ["verify"],
            ["anchor"],
            ["why"],
            ["why", run],
            ["why", "1"],
            ["why", "last"],
        ),
        *(["card", "1"], ["explain", "r1"], ["replay", "--block", "2d", "--picture", str(read_only / "replay.svg")]),
        *(["export", "1", str(read_only / "exported")], ["doctor"], ["versions", "--json"]),
    ):
        answer = homeostat(*verb)
        assert "Traceback" not in answer.err
        assert answer.code == 0 or verb[0] in {"explain", "doctor"}, (verb, answer.err)
    assert "Read-only" not in homeostat("explain", "r1").err
    refused(homeostat("run"), code=2)
    refused(homeostat("promote", "1", "--reason", "x"))


def test_a_verb_takes_a_url_for_its_store(homeostat, tmp_path: Path) -> None:
    Store.open(tmp_path / "store").close()
    assert homeostat("verify", "--store", f"file://{tmp_path}/store").code == 0
    refused = homeostat("verify", "--store", "s3://bucket/store")
    assert refused.code == 2
    assert "s3://bucket/store is no store that can be opened" in refused.err
