"""A server without a token answers the programs of its machine, and no web page of anybody else."""

from __future__ import annotations

import pytest

from tests.cd.serving import Client, bundle, flights, log_of, promote, raw, register, serving

ROW = raw(flights(1, seed=9))[0]
LABEL = {"labels": [{"id": "f9-0", "value": True}]}
PORT = 8000
OWN = ["http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000", "http://LOCALHOST:8000"]
FAR = [
    "https://evil.example",
    "null",
    "http://127.0.0.1.evil.example:8000",
    "http://localhost.evil.example:8000",
    "http://localhost:3000",
    "http://localhost",
    "http://127.0.0.1:80000",
    "http://127.0.0.1:",
    "file://localhost:8000",
    "localhost:8000",
    "",
]


@pytest.fixture
def served(store):
    promote(store, register(store, bundle()))
    return store


@pytest.mark.parametrize("origin", FAR)
def test_a_web_page_cannot_write_labels(served, origin):
    with serving(served) as app:
        response = Client(app, PORT).post("/labels", LABEL, {"origin": origin})
    assert response.status_code == 403
    assert "has no token" in response.json()["error"]
    assert "HOMEOSTAT_TOKEN" in response.json()["hint"]
    assert log_of(served) == []


@pytest.mark.parametrize("origin", OWN)
def test_a_page_of_this_very_server_may_ask(served, origin):
    with serving(served) as app:
        client = Client(app, PORT)
        own = {"origin": origin, "sec-fetch-site": "same-origin"}
        assert [client.post("/predict", ROW, own).status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "far-away", ""])
def test_what_a_browser_fetches_for_another_site_is_refused(served, site):
    with serving(served) as app:
        client = Client(app, PORT)
        assert client.get("/health", {"sec-fetch-site": site}).status_code == 403
        assert client.post("/labels", LABEL, {"sec-fetch-site": site}).status_code == 403
    assert log_of(served) == []


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_what_a_person_typed_and_what_our_own_page_fetches_is_answered(served, site):
    with serving(served) as app:
        assert Client(app, PORT).get("/health", {"sec-fetch-site": site}).status_code == 200


@pytest.mark.parametrize(
    "host", ["rebound.example", "rebound.example:8000", "10.0.0.1:8000", "127.0.0.1:8001", "a:b:c"]
)
def test_a_name_that_was_pointed_at_this_machine_is_refused_and_so_is_another_port(served, host):
    with serving(served) as app:
        response = Client(app, PORT).get("/health", {"host": host})
    assert response.status_code == 403
    assert repr(host) in response.json()["error"]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LocalHost:8000", "[::1]:8000", "[::1]", "127.9.9.9"])
def test_this_machine_is_called_by_any_of_its_own_names(served, host):
    with serving(served) as app:
        assert Client(app, PORT).get("/health", {"host": host}).status_code == 200


def test_with_a_token_the_token_decides(served):
    far = {"origin": "https://app.example", "host": "models.example", "authorization": "Bearer secret"}
    with serving(served, token="secret") as app:
        assert Client(app).post("/predict", ROW, far).status_code == 200
