"""A registered model in the user's own program: found by name, checked like the server, fed with anybody's tables."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
import polars as pl
import pytest

import homeostat
from homeostat.core.errors import DataError, ModelError, NotFoundError, SchemaError, StoreError, UserError
from tests.cd.serving import MOODY, Moody, bundle, flights, promote, register

ROWS = flights(200, seed=5).drop("late", "landed")

LOOP_FILE = textwrap.dedent("""
    import polars as pl
    from homeostat import FileSource, Loop


    def features(rows):
        return rows.with_columns(ratio=pl.col("wind") / pl.col("distance"))


    source = FileSource("rows.csv", time="scheduled", key="flight_id", target="late", label_time="landed")
    loop = Loop(name="flights", source=source, features=features)
""")


@pytest.fixture
def kept(store):
    """Two versions, the first of which is the champion."""
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    return store


@pytest.fixture
def expected():
    return bundle().model().predict(ROWS)


def test_the_champion_is_found_by_name(kept, expected):
    for name in ("flights", "flights@champion", "flights@1"):
        model = homeostat.load(name, kept.path)
        assert (model.name, model.version) == ("flights", 1)
        assert model.predict(ROWS).score.tolist() == expected.score.tolist()


def test_a_version_is_found_by_number(kept, expected):
    model = homeostat.load("flights@2", kept.path)
    assert repr(model) == "LoadedModel(flights@2)"
    assert model.predict(ROWS).score.tolist() != expected.score.tolist()


def test_the_store_may_be_named_by_the_environment_or_an_address(kept, expected, monkeypatch, tmp_path):
    monkeypatch.setenv("HOMEOSTAT_STORE", str(kept.path))
    assert homeostat.load("flights").version == 1
    monkeypatch.chdir(tmp_path / "..")
    assert homeostat.load("flights", kept.path.as_uri()).version == 1


def pandas(rows):
    return pd.DataFrame(rows.to_dict(as_series=False))


class Arrow:
    """Speaks Arrow's C stream interface and nothing else."""

    def __init__(self, rows):
        self._rows = rows

    def __arrow_c_stream__(self, requested_schema=None):
        return self._rows.__arrow_c_stream__(requested_schema)


FORMS = {
    "lazy": lambda rows: rows.lazy(),
    "pandas": pandas,
    "pandas with Nones": lambda rows: pandas(rows).astype({"wind": object}),
    "records": lambda rows: rows.to_dicts(),
    "records with text times": lambda rows: [
        {**row, "scheduled": row["scheduled"].isoformat()} for row in rows.to_dicts()
    ],
    "columns": lambda rows: rows.to_dict(as_series=False),
    "arrow": Arrow,
    "with labels": lambda rows: rows.with_columns(late=pl.lit(value=True), landed=pl.col("scheduled")),
    "narrow types": lambda rows: rows.cast({"distance": pl.Int16, "carrier": pl.Categorical}),
    "without its key": lambda rows: rows.drop("flight_id"),
    "other order": lambda rows: rows.select(reversed(rows.columns)),
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_every_kind_get_the_same_answers(kept, expected, form):
    found = homeostat.load("flights", kept.path).predict(FORMS[form](ROWS))
    assert np.abs(found.score - expected.score).max() < 1e-9
    assert found.value.tolist() == expected.value.tolist()


def test_rows_that_do_not_fit_are_refused_with_every_problem(kept):
    model = homeostat.load("flights", kept.path)
    wrong = ROWS.drop("wind").with_columns(wnd=1.0, distance=pl.lit("far"))
    with pytest.raises(SchemaError, match=r"(?s)'wind' is missing.*'distance'"):
        model.predict(wrong)
    for nothing in (3, "rows.csv", [], [1, 2], object()):
        with pytest.raises(DataError, match="is no table"):
            model.predict(nothing)
    with pytest.raises(DataError, match="cannot be read as a table"):
        model.predict({"distance": [1, 2], "wind": [1.0]})


def test_what_is_not_there_is_named(kept, tmp_path):
    with pytest.raises(NotFoundError, match="'flights' has no version 9"):
        homeostat.load("flights@9", kept.path)
    with pytest.raises(NotFoundError, match="'rides' has no champion") as told:
        homeostat.load("rides", kept.path)
    assert told.value.hint == "loops: flights"
    with pytest.raises(StoreError, match="no store at"):
        homeostat.load("flights", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UserError, match="s3://bucket/store is no store"):
        homeostat.load("flights", "s3://bucket/store")


@pytest.mark.parametrize("name", ["", "Flights", "flights@", "flights@latest", "flights@-1", "../flights", "loop.py"])
def test_a_name_that_is_none_is_refused(kept, name):
    with pytest.raises(UserError, match="names no model") as told:
        homeostat.load(name, kept.path)
    assert ("load_loop" in told.value.hint) == (name == "loop.py")


@pytest.fixture
def with_features(store):
    """A champion that needs the features() of a Loop's file beside the store, and that file."""
    file = store.path.parent / "loop.py"
    file.write_text(LOOP_FILE)
    promote(store, register(store, bundle(features=homeostat.load_loop(file).features)))
    return file


def test_the_features_are_found_in_the_loops_file(store, with_features, tmp_path):
    found = homeostat.load("flights", store.path).predict(ROWS)
    moved = with_features.rename(tmp_path / "elsewhere.py")
    declared = homeostat.load_loop(moved)
    for told in ({"loop": moved}, {"loop": declared}, {"features": declared.features}):
        assert homeostat.load("flights", store.path, **told).predict(ROWS).score.tolist() == found.score.tolist()


def test_features_that_are_missing_or_not_the_models_are_refused(store, with_features, monkeypatch):
    text = with_features.read_text()
    with_features.write_text(text.replace('name="flights"', 'name="trains"'))
    with pytest.raises(NotFoundError, match="declares 'trains', and the model is of 'flights'"):
        homeostat.load("flights", store.path)
    with pytest.raises(ModelError, match="features"):
        homeostat.load("flights", store.path, features=lambda rows: rows)
    with_features.unlink()
    monkeypatch.chdir(store.path)
    with pytest.raises(NotFoundError, match="file is not found"):
        homeostat.load("flights", store.path)


def test_an_estimator_of_the_users_own_is_vouched_for(store, monkeypatch):
    promote(store, register(store, bundle(model=Moody())))
    monkeypatch.chdir(store.path)
    with pytest.raises(NotFoundError, match="estimator of loop"):
        homeostat.load("flights", store.path)
    assert homeostat.load("flights", store.path, trusted=MOODY).predict(ROWS).value.shape == (200,)
