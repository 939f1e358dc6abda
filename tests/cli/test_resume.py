"""The advice that a failed run prints is good: `run --resume` goes on with it, and registers."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeostat.core.ledger import Ledger
from tests.cli.test_run import LOOP, ROWS, flights

CHECK = 'if not Path("mended").exists():\n        raise OSError("the weather is not there")\n    return'
MENDED_LATER = LOOP.replace("return", CHECK).replace("from sklearn", "from pathlib import Path\n\nfrom sklearn", 1)


@pytest.fixture
def failed(homeostat, tmp_path: Path) -> str:
    """A run that failed, by its id."""
    (tmp_path / "flights").mkdir()
    flights(ROWS).write_parquet(tmp_path / "flights" / "a.parquet")
    (tmp_path / "loop.py").write_text(MENDED_LATER)
    answer = homeostat("run")
    assert answer.code != 0
    run = homeostat("runs", "--json").json[0]["run"]
    assert f"homeostat run --resume {run}" in answer.err
    return run


def outcomes(facts) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in facts["steps"]}


def test_a_failed_run_that_is_resumed_registers_and_repeats_no_finished_step(homeostat, tmp_path: Path, failed: str):
    (tmp_path / "mended").touch()
    resumed = homeostat("run", "--resume", failed, "--json")
    assert resumed.code == 0, resumed.err
    facts = resumed.json
    assert facts["version"]["version"] == 1
    assert facts["run"]["reason"] == f"resume of {failed}"
    ledger = Ledger.open(tmp_path / ".homeostat" / "ledger.sqlite")
    finished = {one.event.step for one in ledger.steps(failed) if one.event.outcome == "ran"}
    assert finished
    assert {outcomes(facts)[step] for step in finished} == {"hit"}
    assert ledger.champion("flights").version == 1


def test_a_resumed_run_that_fails_again_can_be_resumed_again(homeostat, tmp_path: Path, failed: str):
    assert homeostat("run", "--resume", failed).code != 0
    again = homeostat("runs", "--json").json[0]["run"]
    assert again != failed
    (tmp_path / "mended").touch()
    facts = homeostat("run", "--resume", again, "--json").json
    assert facts["version"]["version"] == 1
    assert outcomes(facts)["rows"] == "hit"


def test_rows_that_came_meanwhile_are_taken_in_by_a_resumed_run(homeostat, tmp_path: Path, failed: str):
    flights(400, first=ROWS).write_parquet(tmp_path / "flights" / "b.parquet")
    (tmp_path / "mended").touch()
    facts = homeostat("run", "--resume", failed, "--json").json
    assert outcomes(facts)["rows"] == "ran"


def test_a_run_that_succeeded_is_not_resumed(homeostat, tmp_path: Path, failed: str):
    (tmp_path / "mended").touch()
    done = homeostat("run", "--json").json["run"]["run"]
    answer = homeostat("run", "--resume", done)
    assert answer.code == 2
    assert f"run {done} succeeded: it made version 1" in answer.err
