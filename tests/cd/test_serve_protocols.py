"""Every way of asking for predictions is counted by the monitor, asked by the contract gate, and documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeostat.cd.rehearse.golden import WAYS, ask_golden
from homeostat.cd.serve import PREDICTING, PROTOCOLS
from homeostat.cd.serve.model import Lane
from homeostat.cd.serve.protocols import route_of
from tests.cd.serving import LOOP, Client, bundle, flights, promote, raw, register, serving
from tests.cd.test_serve_openinference import tensors

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROWS = raw(flights(2, seed=9))
BODIES = {
    "/predict": {"records": ROWS},
    "/v2/infer": {"inputs": tensors(ROWS)},
    "/invocations": {"dataframe_records": ROWS},
}


def paths():
    return [(one.route, path.format(name=LOOP)) for one in PROTOCOLS for path in (one.alone, one.named) if path]


def every_lane(kind=Lane):
    return {kind, *(one for sub in kind.__subclasses__() for one in every_lane(sub))}


def test_the_table_holds_every_lane_there_is():
    lanes = {one for one in every_lane() if one.__name__ != "TracedLane"}
    assert {one.lane for one in PROTOCOLS} == lanes
    assert len({one.route for one in PROTOCOLS}) == len(PROTOCOLS)


def test_every_protocol_has_its_golden_requests():
    assert WAYS.keys() == PREDICTING == BODIES.keys()


@pytest.mark.parametrize(("route", "path"), paths())
def test_a_request_is_counted_as_its_protocol_whether_it_is_answered_or_refused(store, route, path):
    promote(store, register(store, bundle()))
    with serving(store) as app:
        client = Client(app)
        assert client.post(path, BODIES[route]).status_code == 200
        assert client.post(path, b"{").status_code == 400
        assert client.post(path, b"{}", {"origin": "https://evil.example"}).status_code == 403
        counted = client.get("/metrics").text
        described = client.get("/openapi.json").json()["paths"]
    for model, status in ((LOOP, 200), (LOOP, 400), ("", 403)):
        assert f'homeostat_requests_total{{model="{model}",route="{route}",status="{status}"}} 1.0' in counted
    assert path in described or path.replace(f"/{LOOP}", "") in described


@pytest.mark.parametrize(("route", "path"), paths())
def test_it_is_documented(route, path):
    written = (DOCS / "serving.md").read_text().replace("[/versions/{v}]", "")
    assert path.replace(f"/{LOOP}", "/{name}") in written
    assert route_of(path) == route


def test_the_contract_gate_asks_all_of_them(store):
    made = bundle()
    promote(store, register(store, made))
    with serving(store) as app:
        found = ask_golden(app, LOOP, made.manifest.golden, made.manifest.signature)
    assert set(found) == {way for ways in WAYS.values() for way in ways}
    assert not [said for said in found.values() if isinstance(said, str)]
