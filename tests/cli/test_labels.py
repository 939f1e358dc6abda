"""`homeostat labels`: the labels of a table, checked whole, counted, and once in the log."""

from __future__ import annotations

import pytest

from homeostat.core.store import Store
from tests.cd.serving import Client, bundle, flights, log_of, promote, raw, register, serving

FRAME = flights(20, seed=9)


@pytest.fixture
def served(tmp_path):
    """A store whose champion answered these flights."""
    store = Store.open(tmp_path / "store")
    promote(store, register(store, bundle()))
    with serving(store) as app:
        Client(app).predict(raw(FRAME))
    return store


def test_a_table_is_given_once(homeostat, served):
    FRAME.write_csv("landed.csv")
    dry = homeostat("labels", "landed.csv", "--store", "store", "--dry-run", "--json")
    first = homeostat("labels", "landed.csv", "--store", "store")
    again = homeostat("labels", "landed.csv", "--store", "store", "--json")
    assert (dry.json["joined"], dry.json["recorded"]) == (20, 0)
    assert first.code == 0
    assert "20 joined a row that waited for its label" in first.out
    assert (again.json["joined"], again.json["repeated"], again.json["recorded"]) == (0, 20, 0)
    items = [item for record in log_of(served) if hasattr(record, "labels") for item in record.labels]
    wanted = zip(FRAME["flight_id"], FRAME["late"], FRAME["landed"], strict=True)
    assert [(item.id, item.label, item.time) for item in items] == list(wanted)


def test_a_table_that_does_not_fit_records_nothing(homeostat, served):
    (served.path.parent / "wrong.csv").write_text("flight_id,late\nf9-0,true\nf9-1,maybe\n")
    typed = homeostat("labels", "wrong.csv", "--store", "store")
    assert typed.code == 2
    assert "row 2, column 'late': should be one of False, True; found the text 'maybe'" in typed.err
    assert not any(hasattr(record, "labels") for record in log_of(served))


def test_a_loop_without_a_champion_says_so(homeostat, tmp_path):
    store = Store.open(tmp_path / "store")
    register(store, bundle())
    FRAME.write_csv("landed.csv")
    typed = homeostat("labels", "landed.csv", "--store", "store")
    assert (typed.code, "loop 'flights' has no champion yet" in typed.err) == (2, True)
