"""A server without a token answers the programs of its machine, and no web page that a browser on it shows."""

from __future__ import annotations

import pytest

from tests.cd.serving import Client, bundle, flights, log_of, promote, raw, register, serving

ROW = raw(flights(1, seed=9))[0]
LABEL = {"labels": [{"id": "f9-0", "value": True}]}
NEAR = ["http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:1", "https://LOCALHOST"]
FAR = ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://localhost.evil.example:80", ""]


@pytest.fixture
def served(store):
    promote(store, register(store, bundle()))
    return store


@pytest.mark.parametrize("origin", FAR)
def test_a_web_page_cannot_write_labels(served, origin):
    with serving(served) as app:
        response = Client(app).post("/labels", LABEL, {"origin": origin})
    assert response.status_code == 403
    assert "has no token" in response.json()["error"]
    assert "HOMEOSTAT_TOKEN" in response.json()["hint"]
    assert log_of(served) == []


@pytest.mark.parametrize("origin", NEAR)
def test_a_page_of_this_machine_may_ask(served, origin):
    with serving(served) as app:
        client = Client(app)
        assert [client.post("/predict", ROW, {"origin": origin}).status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:8000", "10.0.0.1:8000"])
def test_a_name_that_was_pointed_at_this_machine_is_refused(served, host):
    with serving(served) as app:
        response = Client(app).get("/health", {"host": host})
    assert response.status_code == 403
    assert repr(host) in response.json()["error"]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "127.9.9.9:1"])
def test_this_machine_is_called_by_any_of_its_own_names(served, host):
    with serving(served) as app:
        assert Client(app).get("/health", {"host": host}).status_code == 200


def test_with_a_token_the_token_decides(served):
    far = {"origin": "https://app.example", "host": "models.example", "authorization": "Bearer secret"}
    with serving(served, token="secret") as app:
        assert Client(app).post("/predict", ROW, far).status_code == 200
