"""`homeostat explain`: all that is known of one answer, for people and for programs."""

from __future__ import annotations

import pytest

from homeostat.core.store import Store
from tests.cd.serving import Client, bundle, flights, promote, raw, register, serving

ROW = raw(flights(1, seed=9))[0]


@pytest.fixture
def answer(tmp_path):
    """What was answered to one row, which has its label since."""
    store = Store.open(tmp_path / "store")
    promote(store, register(store, bundle()))
    with serving(store) as app:
        client = Client(app)
        reply = client.post("/predict", ROW).json()
        client.post("/labels", {"id": ROW["flight_id"], "label": True})
    return reply


def test_people_see_the_whole_story(homeostat, answer):
    shown = homeostat("explain", ROW["flight_id"], "--store", "store")
    assert shown.code == 0
    for part in (
        f"{ROW['flight_id']} of request {answer['request']}",
        "by version 1, chosen with probability 1",
        "carrier",
        "the model takes the inputs as they are",
        "True",
        "trained in run1 by the trigger t1 (manual): test",
        "homeostat why 1",
    ):
        assert part in shown.out


def test_programs_get_the_same_as_json(homeostat, answer):
    found = homeostat("explain", answer["request"], "--store", "store", "--json").json
    (row,) = found["rows"]
    assert (row["id"], row["arm"], found["versions"][0]["run"]) == (ROW["flight_id"], 1, "run1")
    assert row["input"]["wind"] == ROW["wind"]
    assert [label["label"] for label in row["labels"]] == [True]


def test_an_unknown_id_is_refused_with_a_hint(homeostat, answer):
    typed = homeostat("explain", "nobody", "--store", "store")
    assert (typed.code, "under the id 'nobody'" in typed.err, "hint: give the `request`" in typed.err) == (
        2,
        True,
        True,
    )
