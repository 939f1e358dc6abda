"""Versions are loaded aside, checked and swapped; whatever cannot be used leaves what is in use alone."""

from __future__ import annotations

import gc
import weakref

import msgspec
import polars as pl
import pytest

from homeostat.cd.serve import routing
from homeostat.cd.serve.routing import Router
from homeostat.cd.serve.scoring.version import LoadedVersion, contract_problems
from homeostat.core.errors import ModelError
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
        app.model.router.poll()
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
        app.model.router.poll()
        for blob in (store.path / "artifacts").rglob("*"):
            if blob.is_file():
                blob.unlink()
        promote(store, first)
        app.model.router.poll()
        assert client.post("/predict", {"records": [ROW], "id": "same"}).content == before


def test_the_version_before_stays_in_memory_over_every_event_of_a_promotion(store):
    """A promotion is two events, so its table may be put in effect twice."""
    first, second = register(store, bundle()), register(store, bundle(seed=1))
    promote(store, first)
    with serving(store) as app:
        before = app.model.router.table.served[first]
        promote(store, second)
        for salt in ("s", "t", "u"):
            divide(store, {second: ("champion", 1.0)}, salt)
            app.model.router.poll()
        promote(store, first)
        app.model.router.poll()
        assert app.model.router.table.served[first] is before


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
                app.model.router.poll()
                client.predict([ROW])
                models[version] = weakref.ref(app.model.router.table.served[version].model)
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
        app.model.router.poll()
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
        app.model.router.poll()
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
        routing = Client(app).get("/routing").json()
    assert (routing["error"], routing["epoch"], routing["seq"] == routing["wanted"]) == (None, 2, True)


def test_a_ledger_that_cannot_be_read_never_stops_the_answers(store):
    promote(store, register(store, bundle()))
    ledger = store.path / "ledger.sqlite"
    with serving(store) as app:
        client = Client(app)
        whole = ledger.read_bytes()
        ledger.write_bytes(b"no database" * 1_000)
        app.model.router.poll()
        assert version_of(client) == 1
        assert "the ledger cannot be read" in client.get("/health").json()["routing"]["error"]
        ledger.write_bytes(whole)
        app.model.router.poll()
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
        app.model.router.poll()
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
        app.model.router.poll()
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
        app.model.router.poll()
        assert "another contract" in client.get("/routing").json()["error"]
        assert version_of(client) == 1
    accepted(store)
    third = register(store, wider())
    with serving(store) as app:
        promote(store, third)
        app.model.router.poll()
        assert Client(app).predict([{**ROW, "gust": 1.5}])[0]["version"] == third


def test_a_trial_of_a_version_of_other_columns_is_refused_even_when_they_were_accepted(store):
    first = register(store, bundle())
    promote(store, first)
    with serving(store) as app:
        accepted(store)
        divide(store, {first: ("champion", 0.5), register(store, wider()): ("canary", 0.5)})
        app.model.router.poll()
        assert "another contract" in Client(app).get("/routing").json()["error"]
        assert version_of(Client(app)) == first


@pytest.mark.parametrize("role", ["shadow", "canary", "split"])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (1, 3, 2)])
def test_every_arm_of_a_trial_is_held_to_the_contract(store, role, order):
    for made in (bundle(), bundle(seed=1), wider()):
        register(store, made)
    promote(store, 1)
    share = 0.0 if role == "shadow" else 0.2
    arms = {1: ("champion", 0.8 - share), 2: ("canary", 0.2), 3: (role, share)}
    with serving(store) as app:
        divide(store, {version: arms[version] for version in order})
        app.model.router.poll()
        routing = Client(app).get("/routing").json()
        assert version_of(Client(app)) == 1
    assert "version 3 has another contract" in routing["error"]
    assert routing["seq"] != routing["wanted"]


@pytest.fixture
def refusing(store):
    """A router whose version 2 cannot be loaded, and the versions that it tried to load."""
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    register(store, bundle(seed=1))
    good, tried = LoadedVersion(1, bundle().model()), []

    def load(version):
        tried.append(version)
        if version == 2:
            raise ModelError("it cannot be loaded")
        return good

    router = Router(store.ledger, LOOP, load)
    router.poll()
    assert tried == [1]
    tried.clear()
    divide(store, {1: ("champion", 0.5), 2: ("canary", 0.5)})
    yield router, tried
    router.stop()


def polls_between_loads(router, tried, loads):
    """How many polls pass before each of the next attempts."""
    pauses = []
    for _ in range(loads):
        before, polls = len(tried), 0
        while len(tried) == before:
            router.poll()
            polls += 1
            assert polls < 10_000
        pauses.append(polls - 1)
    return pauses


def test_what_was_refused_is_tried_again_later_each_time(refusing, monkeypatch):
    monkeypatch.setattr(routing, "_MOST_POLLS", 60)
    router, tried = refusing
    assert polls_between_loads(router, tried, 5) == [0, 20, 40, 60, 60]
    assert set(tried) == {2}
    assert (router.status().refusals, router.status().swaps) == (1, 1)
    assert router.table.sole == 1


def test_another_division_is_tried_at_once_and_so_is_one_that_is_asked_for(refusing, store):
    router, tried = refusing
    router.poll()
    router.wake()
    assert tried == [2, 2]
    divide(store, {1: ("champion", 0.5), 2: ("canary", 0.5)}, "t")
    assert polls_between_loads(router, tried, 2) == [0, 20]
    divide(store, {1: ("champion", 0.5), 3: ("canary", 0.5)})
    router.poll()
    assert (set(router.table.served), router.status().error, router.table.sole) == ({1, 3}, None, None)


def test_whoever_holds_something_for_a_table_is_told_of_it_before_and_of_the_old_one_after_a_refusal(store):
    for seed in range(3):
        register(store, bundle(seed=seed))
    promote(store, 1)
    told = []

    def load(version):
        return LoadedVersion(version, bundle(seed=version - 1).model())

    def before(table):
        told.append((set(table.served), router.table is table))
        if 3 in table.served:
            raise OSError("no process can be started")

    router = Router(store.ledger, LOOP, load, before=before)
    router.poll()
    divide(store, {1: ("champion", 0.5), 2: ("canary", 0.5)})
    router.poll()
    divide(store, {1: ("champion", 0.5), 3: ("canary", 0.5)})
    router.poll()
    assert set(router.table.served) == {1, 2}
    assert told == [({1}, False), ({1, 2}, False), ({1, 3}, False), ({1, 2}, True)]


def test_a_router_that_rests_answers_nothing_and_wakes_with_what_is_wanted(store):
    promote(store, register(store, bundle()))
    router = Router(store.ledger, LOOP, lambda version: LoadedVersion(version, bundle().model()))
    router.poll()
    router.rest()
    router.poll()
    assert (router.table, router.status().error) == (None, "it was unloaded")
    router.wake()
    assert (router.table.sole, router.status().error) == (1, None)


def test_versions_of_two_divisions_are_in_memory_and_those_before_are_not(store):
    for seed in range(3):
        register(store, bundle(seed=seed))
    loaded = []

    def load(version):
        loaded.append(version)
        return LoadedVersion(version, bundle(seed=version - 1).model())

    router = Router(store.ledger, LOOP, load)
    for version in (1, 2, 1, 3, 2, 3):
        promote(store, version)
        router.poll()
    assert loaded == [1, 2, 3, 2]


def test_a_schema_that_was_accepted_before_the_champion_was_registered_lets_no_other_contract_in(store):
    accepted(store)
    promote(store, register(store, bundle()))
    second = register(store, wider())
    with serving(store) as app:
        promote(store, second)
        app.model.router.poll()
        assert "another contract" in Client(app).get("/routing").json()["error"]
        assert version_of(Client(app)) == 1


SIGNATURE = bundle().model().signature


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"key": ()}, "the key was flight_id, is none"),
        ({"key": ("flight_id", "carrier")}, "the key was flight_id, is flight_id, carrier"),
        ({"task": "regression"}, "the task was classification, is regression"),
        ({"classes": (False, True, "maybe")}, "the classes were"),
        ({"inputs": SIGNATURE.inputs[1:]}, f"input {SIGNATURE.inputs[0].name!r} is gone"),
    ],
)
def test_what_callers_would_notice_is_another_contract(changed, told):
    (problem,) = contract_problems(SIGNATURE, msgspec.structs.replace(SIGNATURE, **changed))
    assert told in problem
    assert contract_problems(SIGNATURE, msgspec.structs.replace(SIGNATURE, classes=SIGNATURE.classes[::-1])) == []
    assert contract_problems(SIGNATURE, msgspec.structs.replace(SIGNATURE, inputs=SIGNATURE.inputs[::-1])) == []


@pytest.mark.parametrize(
    ("shares", "sole"),
    [
        ({1: ("champion", 1.0), 2: ("shadow", 0.0)}, 1),
        ({1: ("champion", 0.0), 2: ("canary", 1.0)}, 2),
        ({1: ("champion", 0.5), 2: ("canary", 0.5)}, None),
    ],
)
def test_one_version_answers_everything_while_no_other_one_has_a_share(store, shares, sole):
    for seed in range(2):
        register(store, bundle(seed=seed))
    promote(store, 1)
    divide(store, shares)
    router = Router(store.ledger, LOOP, lambda version: LoadedVersion(version, bundle(seed=version - 1).model()))
    router.poll()
    assert (router.table.sole, router.table.champion.version) == (sole, 1)
