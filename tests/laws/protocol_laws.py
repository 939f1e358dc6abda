"""What holds of every way of asking for predictions; `LAWS` are tried on each protocol of the table and on new ones."""

from __future__ import annotations

import contextlib
import json
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.cd.rehearse.golden import ask_golden, expected
from homeostat.cd.serve import Application
from homeostat.cd.serve.protocols import Protocol
from homeostat.cd.serve.rows import row_decoder
from homeostat.cd.serve.scoring.dispatch import Answer
from homeostat.cd.serve.scoring.version import LoadedVersion
from homeostat.ci.gates.rehearsed import contract
from homeostat.core.errors import DataError
from homeostat.core.model import Bundle
from tests.cd.serving import LOOP, Client, bundle, flights, linear, log_of, promote, raw, register, serving

COUNTS = (1, 2, 8, 9, 60)
"""Rows that are handled one by one, and so many that they are handled by columns."""
NO_REQUESTS = (b"", b"{", b"null", b"\xff\xfe\x00", b"\0" * 9, b'{"inputs": 3}', b"\xef\xbb\xbf" * 3, b"{}" * 40)
MODELS = {"two classes": bundle, "numbers": lambda: bundle(model=linear())}


class Spoken(NamedTuple):
    """A protocol, and a server with one model that speaks it."""

    protocol: Protocol
    app: Application
    client: Client
    made: Bundle

    @property
    def signature(self):
        return self.made.manifest.signature

    @property
    def golden(self):
        return self.made.manifest.golden

    @property
    def paths(self):
        return [path.replace("{name}", LOOP).replace("{version}", "1") for path in self.protocol.paths]

    def requests(self, rows=None):
        """Each golden request with its body and its headers."""
        for one in self.protocol.golden.values():
            yield one, *one.write(self.golden.rows if rows is None else rows, self.signature)

    def post(self, body, headers=None, path=None):
        text = {name.decode(): value.decode() for name, value in (headers or {}).items()}
        return self.client.post(path or self.paths[0], body, text)


@contextlib.contextmanager
def spoken(store, protocol, protocols, model):
    made = MODELS[model]()
    promote(store, register(store, made))
    with serving(store, protocols=protocols) as app:
        yield Spoken(protocol, app, Client(app), made)


def decoding_a_golden_request_gives_its_rows(one, store):
    decoder = row_decoder(one.signature)
    codec = one.protocol.compile(one.signature)
    for rows in (list(one.golden.rows), *(raw(flights(count, seed=9)) for count in COUNTS)):
        for _, body, headers in one.requests(rows):
            found = codec.decode(body, headers)
            assert found.count == len(rows)
            assert decoder.structs(found) == decoder.rows(rows)


def what_is_encoded_is_read_as_it_was(one, store):
    codec = one.protocol.compile(one.signature)
    served = LoadedVersion(1, one.made.model(), (one.protocol,))
    for request, body, headers in one.requests():
        rows = codec.decode(body, headers)
        (scores,) = served.score_parts([rows])
        ids = [f"r{place}" for place in range(rows.count)]
        for versions in (1, [1 + place % 2 for place in range(rows.count)]):
            reply = codec.encode(LOOP, Answer("r", ids, versions, scores, 1), rows.wanted)
            assert reply.status == 200
            values, said = request.read(reply.body, dict(reply.headers), one.signature)
            assert list(values) == (scores.values if one.signature.classes else pytest.approx(scores.values))
            if said is not None:
                assert [list(row) for row in said] == [pytest.approx(row) for row in scores.rows]


def a_golden_request_is_answered_at_each_of_its_paths_and_in_the_log(one, store):
    for path in one.paths:
        for request, body, headers in one.requests():
            before = len(log_of(store))
            reply = one.post(body, headers, path)
            assert reply.status_code == 200, reply.text
            assert [len(record.rows) for record in log_of(store)[before:]] == [len(one.golden.rows)]
            raw_headers = {name.encode(): value.encode() for name, value in reply.headers.items()}
            values, _ = request.read(reply.content, raw_headers, one.signature)
            wanted = one.golden.labels or [score for (score,) in one.golden.scores]
            assert list(values) == (list(wanted) if one.signature.classes else pytest.approx(wanted))


def a_body_that_is_no_request_is_refused_in_one_line(one, store):
    golden = [headers for _, _, headers in one.requests()]
    for body in NO_REQUESTS:
        for headers in ({}, *golden):
            reply = one.post(body, headers)
            assert reply.status_code == 400, (body, reply.text)
            said = reply.json()["error"]
            assert said
            assert "\n" not in said
    assert log_of(store) == []


def rows_of_other_columns_are_refused_by_name(one, store):
    rows = [{name: value for name, value in row.items() if name != "carrier"} for row in one.golden.rows]
    for request in one.protocol.golden.values():
        # The columns are those of a signature in which there is another one in its place.
        inputs = tuple(
            msgspec.structs.replace(column, name="airline") if column.name == "carrier" else column
            for column in one.signature.inputs
        )
        renamed = msgspec.structs.replace(one.signature, inputs=inputs)
        body, headers = request.write([{**row, "airline": "UA"} for row in rows], renamed)
        reply = one.post(body, headers)
        assert reply.status_code == 400
        assert "airline" in json.dumps(reply.json())


def it_is_counted_under_its_own_route(one, store):
    ((_, body, headers), *_) = one.requests()
    for path in one.paths:
        assert one.post(body, headers, path).status_code == 200
        assert one.post(b"{", {}, path).status_code == 400
        assert one.post(body, {**headers, b"origin": b"https://evil.example"}, path).status_code == 403
    counted = one.client.get("/metrics").text
    for model, status in ((LOOP, 200), (LOOP, 400), ("", 403)):
        labels = f'model="{model}",route="{one.protocol.route}",status="{status}"'
        assert f"homeostat_requests_total{{{labels}}} {len(one.paths)}.0" in counted
    assert len({other.route for other in one.app.protocols}) == len(one.app.protocols)


def it_is_in_the_document(one, store):
    told = one.client.get("/openapi.json").json()
    described = [path for path in told["paths"] if one.protocol.match(path.replace("{version}", "1")) is not None]
    assert described
    for path in described:
        item = told["paths"][path]["post"]
        assert item["requestBody"]["content"]
        assert "200" in item["responses"]
        references = [part.split('"')[0] for part in json.dumps(item).split("#/components/schemas/")[1:]]
        assert set(references) <= told["components"]["schemas"].keys()


def the_contract_gate_asks_it(one, store):
    assert one.protocol.golden
    answers = ask_golden(one.app, LOOP, one.golden, one.signature)
    assert one.protocol.golden.keys() <= answers.keys()
    assert contract(expected(one.golden, one.signature), answers).passed
    if one.signature.classes is not None:
        other = msgspec.structs.replace(one.golden, labels=tuple(not label for label in one.golden.labels))
    else:
        other = msgspec.structs.replace(one.golden, scores=tuple((score + 1,) for (score,) in one.golden.scores))
    refused = contract(expected(other, one.signature), answers)
    assert {line.split(":")[0] for line in refused.reason.split("; ")} == answers.keys()


def no_other_method_and_no_path_below_it_is_answered(one, store):
    for path in one.paths:
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            (reply,) = one.client.ask((method, path))
            assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
        assert one.post(b"{}", {}, f"{path}/no/such").status_code == 404
    for path in one.protocol.paths:
        if "{name}" in path:
            assert one.post(b"{}", {}, path.replace("{name}", "nobody").replace("{version}", "1")).status_code == 404
        if "{version}" in path:
            for number in ("7", "x", "-1", "1" * 40):
                assert one.post(b"{}", {}, path.format(name=LOOP, version=number)).status_code == 404


def odd_bytes_are_refused_as_data(one, store):
    codec = one.protocol.compile(one.signature)
    asked = [(body, headers) for _, body, headers in one.requests()]

    @settings(max_examples=150)
    @given(st.sampled_from(asked), st.data())
    def mutated(request, data):
        body, headers = request
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(len(body), start + 20)))
        odd = body[:start] + data.draw(st.binary(max_size=12)) + body[end:]
        with contextlib.suppress(DataError):
            assert codec.decode(odd, headers).count >= 0

    mutated()
    assert [one.post(body, headers).status_code for body, headers in asked] == [200] * len(asked)


LAWS = [
    decoding_a_golden_request_gives_its_rows,
    what_is_encoded_is_read_as_it_was,
    a_golden_request_is_answered_at_each_of_its_paths_and_in_the_log,
    a_body_that_is_no_request_is_refused_in_one_line,
    rows_of_other_columns_are_refused_by_name,
    it_is_counted_under_its_own_route,
    it_is_in_the_document,
    the_contract_gate_asks_it,
    no_other_method_and_no_path_below_it_is_answered,
    odd_bytes_are_refused_as_data,
]

every_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
every_model = pytest.mark.parametrize("model", MODELS)
