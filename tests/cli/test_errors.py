from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from homeostat import cli
from homeostat.cli import options_of, verbs
from tests.cli.conftest import in_a_process

ASKED_FOR = {
    "init",
    "run",
    "up",
    "status",
    "why",
    "runs",
    "versions",
    "promote",
    "rollback",
    "retrain",
    "infer",
    "replay",
}


def test_all_verbs_are_there():
    assert verbs() >= ASKED_FOR | {"cancel", "demo", "doctor", "verify"}


def test_every_verb_has_a_file_of_its_name_and_no_other_file_is_there():
    files = {path.stem.rstrip("_").replace("_", "-") for path in Path(cli.__file__).parent.glob("[!_]*.py")}
    assert files - {"app", "options", "output", "outcome"} == verbs()


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_every_verb_has_json(verb: str):
    assert "--json" in options_of(verb)


def test_a_missing_store_is_one_message_and_exit_2(homeostat):
    answer = homeostat("runs")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: there is no store at .homeostat\nhint: `homeostat run` makes one; or pass --store\n"


def test_a_missing_loop_file_says_how_to_get_one(homeostat):
    answer = homeostat("run")
    assert answer.code == 2
    assert "there is no file loop.py" in answer.err
    assert "homeostat init" in answer.err


@pytest.mark.parametrize("verb", sorted(verbs() - {"anchor", "demo", "init", "verify", "doctor"}))
def test_help_promises_a_loops_name_only_where_it_is_taken(verb: str, homeostat, history):
    promised = "its name in the store" in " ".join(homeostat(verb, "--help").out.split())
    given = {"infer": ["rows.csv"], "promote": ["2", "--reason", "x"], "why": ["last"]}
    given |= {"card": ["1"], "export": ["1", "exported"], "import": ["exported"], "package": ["serve"]}
    wanted = given.get(verb, ["--reason", "x"] if verb in ("retrain", "rollback", "cancel", "accept-schema") else [])
    answer = homeostat(verb, *wanted, "--loop", "rides")
    assert ("there is no file rides" in answer.err) is not promised


def test_a_loop_file_that_does_not_import_names_its_line(homeostat, tmp_path: Path):
    (tmp_path / "loop.py").write_text("import os\n\nloop = Lop()\n")
    answer = homeostat("run")
    assert answer.code == 2
    assert "loop.py, line 3" in answer.err
    assert "Traceback" not in answer.err


def test_a_store_that_is_a_file_is_refused(homeostat, tmp_path: Path):
    (tmp_path / "store").write_text("")
    assert homeostat("runs", "--store", "store").code == 2


def test_a_ledger_that_is_none_is_refused(homeostat, tmp_path: Path):
    (tmp_path / ".homeostat").mkdir()
    (tmp_path / ".homeostat" / "ledger.sqlite").write_bytes(b"not a database at all" * 100)
    answer = homeostat("runs")
    assert answer.code == 2
    assert answer.err.startswith("error: ")


def test_an_altered_ledger_is_our_fault_not_the_users(homeostat, history, tmp_path: Path):
    import sqlite3

    with sqlite3.connect(tmp_path / ".homeostat" / "ledger.sqlite") as database:
        database.execute("update events set data = replace(data, 'test', 'tost') where seq = 1")
    answer = homeostat("verify")
    assert answer.code == 1
    assert "altered at event 1" in answer.err


def test_a_fault_of_ours_is_one_line_and_a_file_with_the_traceback(tmp_path: Path):
    broken = [
        "import homeostat.cli.runs as runs",
        "def broken(store, loop): raise ZeroDivisionError('oh')",
        "runs.open_named = broken",
    ]
    (tmp_path / "sitecustomize.py").write_text("\n".join(broken))
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    answer = in_a_process("runs", cwd=tmp_path, PYTHONPATH=paths, TMPDIR=str(tmp_path))
    assert answer.code == 1
    assert answer.err.startswith("error: ZeroDivisionError: oh")
    assert "Traceback" not in answer.err
    (written,) = tmp_path.glob("homeostat-error-*")
    assert "Traceback" in written.read_text()
    shown = in_a_process("runs", cwd=tmp_path, PYTHONPATH=paths, HOMEOSTAT_DEBUG="1")
    assert "Traceback" in shown.err


def test_a_reader_that_leaves_early_is_no_error(history, tmp_path: Path):
    command = f"{sys.executable} -m homeostat versions | true"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_an_unknown_verb_is_exit_2(homeostat):
    answer = homeostat("versoins")
    assert answer.code == 2
    assert "versions" in answer.err
