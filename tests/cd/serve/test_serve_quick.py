"""Rows that are scored without a table get the answers that a table gets, bit for bit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from homeostat.cd.serve.scoring.version import LoadedVersion
from tests.cd.serving import Moody, bundle, flights, linear, raw

TREES = HistGradientBoostingClassifier(max_iter=5)
THREE = flights(300).with_columns(late=pl.col("carrier").replace({"UA": "early", "AA": "on time", "B6": "late"}))
NUMBER = flights(300).with_columns(late=pl.col("distance") * 0.01)
MODELS = {
    "two classes": bundle(model=LogisticRegression()).model(),
    "trees": bundle(model=TREES).model(),
    "three classes": bundle(THREE, model=DecisionTreeClassifier(max_depth=3)).model(),
    "regression": bundle(NUMBER, model=linear()).model(),
    "not convertible": bundle(model=Moody()).model(trusted=("tests.cd.serving.Moody",)),
}
SERVED = {name: LoadedVersion(1, model) for name, model in MODELS.items()}

ROW = st.fixed_dictionaries(
    {
        "flight_id": st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=5),
        "scheduled": st.integers(0, 2**31).map(lambda second: datetime.fromtimestamp(second, UTC)),
        "carrier": st.sampled_from(["UA", "AA", "B6", "ZZ", ""]),
        "distance": st.integers(-(2**63), 2**63 - 1),
        "wind": st.none() | st.floats(-1e6, 1e6) | st.sampled_from([1e300, -1e300]),
    }
)


def by_table(served, rows):
    found = served.model.predict(served.decoder.frame(rows))
    values = found.value.tolist()
    if found.score is None:
        return [[value] for value in values]
    return [[value, *scores] for value, scores in zip(values, found.score.tolist(), strict=True)]


@pytest.mark.parametrize("name", MODELS)
@given(st.lists(ROW, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_few_rows_are_scored_as_a_table_would_be(name, records):
    served = SERVED[name]
    rows = served.decoder.rows(records)
    assert served.score(rows) == by_table(served, rows)


@pytest.mark.parametrize("wind", [1e300, -1e300, 1e31, 1e29])
@pytest.mark.parametrize("name", MODELS)
def test_values_far_beyond_float32_are_bounded_alike(name, wind):
    served = SERVED[name]
    (row,) = raw(flights(1))
    rows = served.decoder.rows([row | {"wind": wind}])
    assert served.score(rows) == by_table(served, rows)


@pytest.mark.parametrize("name", MODELS)
def test_many_rows_too(name):
    served = SERVED[name]
    rows = served.decoder.rows(raw(flights(1_000, seed=3)))
    assert served.score(rows) == by_table(served, rows)


@pytest.mark.parametrize("n", [1, 64, 65, 300])
def test_rows_become_the_table_that_was_stored(n):
    served, stored = SERVED["two classes"], flights(n, seed=3).drop("late", "landed")
    rows = served.decoder.rows(raw(stored.with_columns(late=True, landed=None)))
    assert served.decoder.frame(rows).equals(stored)


def test_times_in_other_zones_are_the_same_moments():
    served = SERVED["two classes"]
    here, there = raw(flights(1))[0], raw(flights(1))[0]
    moment = datetime.fromisoformat(here["scheduled"])
    there["scheduled"] = (moment.replace(tzinfo=None) + timedelta(hours=1)).isoformat() + "+01:00"
    assert served.score(served.decoder.rows([here])) == served.score(served.decoder.rows([there]))
