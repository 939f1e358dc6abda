"""Versions are loaded aside, checked and swapped; whatever cannot be used leaves what is in use alone."""

from __future__ import annotations

import gc
import weakref

import polars as pl
import pytest

from homeostat.core.events import ColumnChange, SchemaAccepted
from homeostat.core.store import Store
from tests.cd.serving import LOOP, NOON, Client, bundle, divide, flights, promote, raw, register, serving

ROW = raw(flights(1, seed=9))[0]


def version_of(client):
    return client.predict([ROW])[0]["version"]


def test_a_promotion_is_followed_and_acknowledged(store):
    promote(store, register(store, bundle()))
    second = register(store, bundle(seed=1))
    with serving(store) as app:
        client = Client(app)
        before = version_of(client)
        promote(store, second)
        app.hosted.router.poll()
        routing = client.get("/routing").json()
        assert (before, version_of(client)) == (1, 2)
    assert routing["seq"] == routing["wanted"] == store.ledger.arms(LOOP).seq
    assert (routing["epoch"], routing["error"]) == (2, None)


def test_a_rollback_loads_nothing_and_answers_as_before(store):
    first, second = register(store, bundle()), register(store, bundle(seed=1))
    promote(store, first)
    with serving(store) as app:
        client = Client(app)
        before = client.post("/predict", {"records": [ROW], "id": "same"}).content
        promote(store, second)
        app.hosted.router.poll()
        for blob in (store.path / "artifacts").rglob("*"):
            if blob.is_file():
                blob.unlink()
        promote(store, first)
        app.hosted.router.poll()
        assert client.post("/predict", {"records": [ROW], "id": "same"}).content == before


def test_the_version_before_stays_in_memory_over_every_event_of_a_promotion(store):
    """A promotion is two events, so its table may be put in effect twice."""
    first, second = register(store, bundle()), register(store, bundle(seed=1))
    promote(store, first)
    with serving(store) as app:
        before = app.hosted.router.table.served[first]
        promote(store, second)
        for salt in ("s", "t", "u"):
            divide(store, {second: ("champion", 1.0)}, salt)
            app.hosted.router.poll()
        promote(store, first)
        app.hosted.router.poll()
        assert app.hosted.router.table.served[first] is before


def test_a_version_that_was_replaced_goes_with_its_last_request(store):
    """Not when the garbage collector looks: that is seldom, and what was there at the start it does not look at."""
    versions = [register(store, bundle(seed=seed)) for seed in range(4)]
    promote(store, versions[0])
    models = {}
    gc.disable()
    try:
        with serving(store) as app:
            client = Client(app)
            for version in versions:
                promote(store, version)
                app.hosted.router.poll()
                client.predict([ROW])
                models[version] = weakref.ref(app.hosted.router.table.served[version].model)
            alive = {version for version, model in models.items() if model() is not None}
    finally:
        gc.enable()
    assert alive == set(versions[-2:])


def other_features(rows):
    return rows.with_columns(wind=rows["wind"] * 2)


def test_a_bundle_with_other_features_is_refused_and_the_old_one_stays(store):
    promote(store, register(store, bundle()))
    second = register(store, bundle(features=other_features))
    with serving(store) as app:
        client = Client(app)
        promote(store, second)
        app.hosted.router.poll()
        health = client.get("/health").json()
        metrics = client.get("/metrics").text
        assert version_of(client) == 1
    assert "features() is not the one" in health["routing"]["error"]
    assert health["ready"]
    assert health["routing"]["seq"] != health["routing"]["wanted"]
    assert 'homeostat_routing_error{model="flights"} 1.0' in metrics
    assert 'homeostat_routing_refusals_total{model="flights"} 1.0' in metrics


def test_flipped_bytes_are_refused_and_the_old_one_stays(store):
    promote(store, register(store, bundle()))
    made = bundle(seed=1)
    second = register(store, made)
    for path in (store.path / "artifacts").rglob("*"):
        if path.is_file() and path.read_bytes() == made.data:
            path.chmod(0o600)
            path.write_bytes(made.data[:-1] + bytes([made.data[-1] ^ 1]))
    with serving(store) as app:
        client = Client(app)
        promote(store, second)
        app.hosted.router.poll()
        assert version_of(client) == 1
        assert client.get("/routing").json()["error"]


def test_a_challenger_that_cannot_be_loaded_leaves_its_champion_alone(store):
    promote(store, register(store, bundle()))
    second = register(store, bundle(features=other_features))
    divide(store, {1: ("champion", 0.5), second: ("canary", 0.5)})
    with serving(store) as app:
        client = Client(app)
        routing = client.get("/routing").json()
        assert {version_of(client) for _ in range(5)} == {1}
    assert routing["seq"] != routing["wanted"]
    assert "features()" in routing["error"]


def test_a_division_from_before_a_promotion_is_not_carried_out(store):
    first, second = register(store, bundle()), register(store, bundle(seed=1))
    promote(store, first)
    store.ledger.promote(LOOP, second, expected_epoch=1, who="test", reason="test", time=flights(1)["scheduled"][0])
    with serving(store) as app:
        assert version_of(Client(app)) == second


def test_a_ledger_that_cannot_be_read_never_stops_the_answers(store):
    promote(store, register(store, bundle()))
    ledger = store.path / "ledger.sqlite"
    with serving(store) as app:
        client = Client(app)
        whole = ledger.read_bytes()
        ledger.write_bytes(b"no database" * 1_000)
        app.hosted.router.poll()
        assert version_of(client) == 1
        assert "the ledger cannot be read" in client.get("/health").json()["routing"]["error"]
        ledger.write_bytes(whole)
        app.hosted.router.poll()
        assert client.get("/routing").json()["error"] is None


def test_the_ledger_is_followed_without_being_asked(store):
    promote(store, register(store, bundle()))
    second = register(store, bundle(seed=1))
    with serving(store) as app:
        promote(store, second)
        client = Client(app)
        for _ in range(2_000):
            if client.get("/routing").json()["epoch"] == 2:
                break
        assert version_of(client) == second


@pytest.mark.parametrize("change", ["column", "kind", "classes"])
def test_a_model_with_another_contract_is_refused_by_name(store, change):
    promote(store, register(store, bundle()))
    rows = {
        "column": flights(300, seed=2).with_columns(gusts=flights(300, seed=3)["wind"]),
        "kind": flights(300, seed=2).with_columns(flights(300)["distance"].cast(str)),
        "classes": flights(300, seed=2).with_columns(late=flights(300, seed=2)["carrier"]),
    }[change]
    second = register(store, bundle(rows))
    with serving(store) as app:
        client = Client(app)
        promote(store, second)
        app.hosted.router.poll()
        assert version_of(client) == 1
        error = client.get("/routing").json()["error"]
    assert "another contract" in error
    assert {"column": "'gusts' is new", "kind": "'distance' was integer", "classes": "classes were"}[change] in error


@pytest.mark.parametrize("rows", [1, 30])
def test_a_version_whose_columns_stand_in_another_order_reads_the_same_rows(store, rows):
    """Numbers of one type that changed places would be taken without an error."""
    trained = flights().with_columns(gusts=flights(seed=5)["wind"] + 30)
    order = ["gusts", "distance", "wind", "carrier", "flight_id", "scheduled", "late", "landed"]
    for columns in (trained.columns, order):
        register(store, bundle(trained.select(columns)))
    promote(store, 1)
    sent = raw(flights(rows, seed=9).with_columns(gusts=flights(rows, seed=6)["wind"] + 30))
    with serving(store) as app:
        client = Client(app)
        expected = client.predict(sent)
        divide(store, {1: ("champion", 0.0), 2: ("canary", 1.0)})
        app.hosted.router.poll()
        answered = client.predict(sent)
    assert {one["version"] for one in answered} == {2}
    assert [one["score"] for one in answered] == pytest.approx([one["score"] for one in expected], abs=1e-5)


def test_a_server_of_another_store_sees_nothing(store, tmp_path):
    promote(store, register(store, bundle()))
    with serving(Store.open(tmp_path / "other")) as app:
        assert Client(app).get("/routing").json()["seq"] is None


def wider():
    """A version that takes one column more."""
    return bundle(flights(gust=pl.col("wind").fill_null(0.0) * 2))


def accepted(store):
    change = ColumnChange(column="gust", kind="number", nullable=True)
    event = SchemaAccepted(loop=LOOP, user="ann", reason="gusts", changes=(change,), described=("'gust' is new",))
    store.ledger.append(event, time=NOON)


def test_a_version_of_other_columns_answers_once_the_change_was_accepted(store):
    promote(store, register(store, bundle()))
    second = register(store, wider())
    with serving(store) as app:
        client = Client(app)
        promote(store, second)
        app.hosted.router.poll()
        assert "another contract" in client.get("/routing").json()["error"]
        assert version_of(client) == 1
    accepted(store)
    third = register(store, wider())
    with serving(store) as app:
        promote(store, third)
        app.hosted.router.poll()
        assert Client(app).predict([{**ROW, "gust": 1.5}])[0]["version"] == third


def test_a_trial_of_a_version_of_other_columns_is_refused_even_when_they_were_accepted(store):
    first = register(store, bundle())
    promote(store, first)
    with serving(store) as app:
        accepted(store)
        divide(store, {first: ("champion", 0.5), register(store, wider()): ("canary", 0.5)})
        app.hosted.router.poll()
        assert "another contract" in Client(app).get("/routing").json()["error"]
        assert version_of(Client(app)) == first
