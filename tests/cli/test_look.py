from __future__ import annotations

from pathlib import Path

import pytest

from homeostat.cd.labels.join import Counts, write_counts


def test_versions_as_a_table_and_as_json(homeostat, history):
    table = homeostat("versions")
    assert table.code == 0
    assert "champion" in table.out
    assert "refused by at_least" in table.out
    found = homeostat("versions", "--json").json
    assert [(one["version"], one["state"]) for one in found] == [(2, "refused"), (1, "champion")]
    assert found[1]["test_metrics"] == {"roc_auc": 0.7}


def test_status_says_what_became_of_the_labels(homeostat, history):
    assert homeostat("status", "--json").json["joined"] is None
    folder = Path(".homeostat/log/rides")
    folder.mkdir(parents=True)
    counts = Counts(predictions=1_500, labels=1_200, joined=1_190)
    counts.repeated_labels, counts.conflicting_labels, counts.unknown_labels = 7, 1, 2
    write_counts(folder, counts)
    assert homeostat("status", "--json").json["joined"]["conflicting_labels"] == 1
    told = "1,190 joined, 7 repeated, 1 conflicting, 2 unknown; 310 of 1,500 answered rows have none"
    assert told in homeostat("status").out


def test_status_says_who_answers_and_what_was_decided_last(homeostat, history):
    found = homeostat("status", "--json").json
    assert found["champion"]["version"] == 1
    assert found["arms"] == [{"version": 1, "role": "champion", "share": 1.0}]
    assert found["in_charge"] is None
    assert found["last_decision"]["event"]["action"] == "keep"
    assert "nobody" in homeostat("status").out


def test_why_without_a_name_explains_the_newest_decision(homeostat, history):
    answer = homeostat("why")
    assert answer.code == 0
    assert "No retraining was decided" in answer.out


def test_why_as_json_has_facts_and_a_cause(homeostat, history):
    answer = homeostat("why", "2", "--json").json
    assert answer["facts"]["state"] == "refused"
    assert "manual" in answer["cause"]


@pytest.mark.parametrize("asked", ["17", "v17", "@9999", "run-nothing", "x/y", "/"])
def test_why_of_nothing_says_what_can_be_asked(homeostat, history, asked: str):
    answer = homeostat("why", asked)
    assert answer.code == 2
    assert answer.err.startswith("error: ")
    assert "hint: " in answer.err
    assert "Traceback" not in answer.err


def test_runs_of_a_store_without_runs_is_an_empty_list(homeostat, history):
    assert homeostat("runs", "--json").json == []


def test_verify_names_the_version_whose_model_is_gone(homeostat, history):
    found = homeostat("verify", "--json")
    assert found.code == 1  # the driver's versions have no bundles
    assert "of rides" in found.err


def test_several_loops_have_to_be_told_apart(homeostat, history):
    from tests.engine.driver import Driver

    Driver(ledger=history.ledger, loop="bikes").start()
    unclear = homeostat("versions")
    assert unclear.code == 2
    assert "bikes, rides" in unclear.err
    assert homeostat("versions", "--loop", "rides").code == 0
    unknown = homeostat("versions", "--loop", "boats")
    assert unknown.code == 2
    assert "'boats' is neither a file nor a loop" in unknown.err
