"""Editing `features()` is no dead end: what cannot be compared says how it is promoted, and `up` says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_run import LOOP, ROWS, flights


@pytest.fixture
def edited(homeostat, tmp_path: Path) -> Path:
    """A project with a champion, whose `features()` was edited since."""
    (tmp_path / "flights").mkdir()
    flights(ROWS).write_parquet(tmp_path / "flights" / "a.parquet")
    (tmp_path / "loop.py").write_text(LOOP)
    first = homeostat("run", "--json")
    assert first.json["decided"]["action"] == "promote", first.err
    (tmp_path / "loop.py").write_text(LOOP.replace('rows.drop("scheduled")', 'rows.drop("scheduled", "carrier")'))
    return tmp_path


def test_a_live_loop_does_not_start_with_a_champion_that_cannot_answer(homeostat, edited: Path):
    refused = homeostat("up", "--port", "0")
    assert refused.code == 2
    assert "version 1, the champion, cannot answer: features() is not the one" in refused.err
    assert "homeostat promote N" in refused.err
    assert homeostat("status", "--json").json["in_charge"] is None


def test_a_candidate_that_cannot_be_compared_says_how_it_is_promoted_and_is(homeostat, edited: Path):
    facts = homeostat("run", "--json").json
    gate = next(gate for gate in homeostat("versions", "--json").json[0]["gates"] if gate["gate"] == "beats_champion")
    assert not gate["passed"], facts
    assert "promote it by hand after review: homeostat promote N" in gate["reason"]
    promoted = homeostat("promote", "2", "--reason", "reviewed")
    assert promoted.code == 0, promoted.err
    assert homeostat("status", "--json").json["champion"]["version"] == 2
