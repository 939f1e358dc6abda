"""What the server says about itself, and models that are unloaded and loaded while it runs."""

from __future__ import annotations

import pytest

from tests.cd.serving import LOOP, Client, bundle, divide, flights, promote, raw, register, serving

ROW = raw(flights(1, seed=9))[0]
LOAD, UNLOAD = (f"/v2/repository/models/{LOOP}/{verb}" for verb in ("load", "unload"))


def index(client, body=b""):
    return client.post("/v2/repository/index", body).json()


def test_the_index_names_every_version_that_answers(store):
    promote(store, register(store, bundle()))
    register(store, bundle(seed=1))
    divide(store, {1: ("champion", 1.0), 2: ("shadow", 0.0)})
    with serving(store) as app:
        lines = index(Client(app))
    assert [(line["name"], line["version"], line["state"]) for line in lines] == [
        (LOOP, "1", "READY"),
        (LOOP, "2", "READY"),
    ]


def test_an_unloaded_model_answers_nothing_until_it_is_loaded_again(client):
    before = client.predict([ROW])
    assert client.post(UNLOAD, b"").status_code == 200
    assert client.post("/predict", ROW).status_code == 503
    assert client.get(f"/v2/models/{LOOP}/ready").status_code == 503
    assert index(client) == [{"name": LOOP, "version": "", "state": "UNAVAILABLE", "reason": "it was unloaded"}]
    assert index(client, {"ready": True}) == []
    assert client.post(LOAD, {}).status_code == 200
    assert client.predict([ROW]) == before


def test_an_unloaded_model_stays_unloaded(client):
    client.post(UNLOAD, b"")
    client.app.model.router.poll()
    assert client.post("/predict", ROW).status_code == 503


def test_loading_carries_out_what_the_ledger_wants(store, client):
    promote(store, register(store, bundle(seed=1)))
    assert client.post(LOAD, {"parameters": {}}).status_code == 200
    assert client.predict([ROW])[0]["version"] == 2


def test_nothing_to_load_is_said(store):
    with serving(store) as app:
        client = Client(app)
        assert index(client)[0]["reason"] == "no version has been promoted yet"
        reply = client.post(LOAD, b"")
    assert reply.status_code == 503
    assert "promoted" in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/repository/models/other/load", 404),
        ("POST", "/v2/repository/models/other/unload", 404),
        ("POST", f"/v2/repository/models/{LOOP}/drop", 404),
        ("POST", f"/v2/repository/models/{LOOP}", 404),
        ("GET", LOAD, 405),
        ("GET", "/v2/repository/index", 405),
    ],
)
def test_what_the_repository_has_not(client, method, path, status):
    reply = client.ask((method, path, b""))[0]
    assert reply.status_code == status, reply.text
    assert ("allow" in reply.headers) is (status == 405)


@pytest.mark.parametrize("body", [b"[]", b"3", b'{"ready": 1}', b"{", b"\xff"])
@pytest.mark.parametrize("path", ["/v2/repository/index", LOAD, UNLOAD])
def test_a_body_that_is_no_request_is_refused(client, path, body):
    assert client.post(path, body).status_code == 400
    assert client.post("/predict", ROW).status_code == 200


def test_ping_version_config_and_the_document(client):
    assert client.get("/ping").json() == {"ready": True}
    assert client.get("/version").text
    config = client.get(f"/v2/models/{LOOP}/config").json()
    assert {column["name"]: column["data_type"] for column in config["input"]}["carrier"] == "TYPE_STRING"
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/predict", "/labels", "/invocations", f"/v2/models/{LOOP}/infer"} <= set(paths)


def test_every_get_of_the_document_is_there(client):
    told = client.get("/openapi.json").json()["paths"]
    paths = [path for path, item in told.items() if "get" in item]
    assert "/judge" in paths
    for path in paths:
        found = client.get(path.replace("{version}", "1"))
        # There is no trial here that a judge could speak of.
        assert found.status_code == (404 if path == "/judge" else 200), path


def test_metadata_says_the_rules(client):
    told = client.get(f"/v2/models/{LOOP}").json()
    wind = next(tensor for tensor in told["inputs"] if tensor["name"] == "wind")
    assert wind["parameters"]["nullable"] is True
    assert "BF16" in wind["parameters"]["accepts"].split()
    assert set(told["parameters"]) == {"widening", "null", "unseen_categories"}
