"""OpenTelemetry: what spans say of a prediction, W3C's context in and out, and the standard variables and protocol."""

from __future__ import annotations

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from homeostat.cd.serve.model import ServedProtocol
from homeostat.cd.serve.operate.tracing import Tracing, tracing_from_environment
from tests.cd.serving import (
    LOOP,
    MOODY,
    Client,
    Moody,
    ServerProcess,
    bundle,
    divide,
    flights,
    promote,
    raw,
    register,
    serving,
)

ROWS = raw(flights(40, seed=9))
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=x"}
PARTS = ["decode", "score", "encode", "log"]


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider)


@pytest.fixture
def client(store, tracing):
    promote(store, register(store, bundle()))
    with serving(store, tracing=tracing) as app:
        yield Client(app)


def by_name(spans):
    return {span.name: span for span in spans.get_finished_spans()}


def test_a_prediction_is_a_span_with_its_parts_in_order(client, spans):
    reply = client.post("/predict", {"records": ROWS[:3], "id": "r7"})
    found = by_name(spans)
    assert sorted(found) == sorted([*PARTS, "POST /predict"])
    whole = found["POST /predict"]
    assert whole.kind is SpanKind.SERVER
    assert dict(whole.attributes) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.request.body.size": len(reply.request.content),
        "http.response.status_code": 200,
        "homeostat.model.name": LOOP,
        "homeostat.model.version": (1,),
        "homeostat.arm": ("champion",),
        "homeostat.rows": 3,
        "homeostat.request.id": "r7",
    }
    times = [(found[name].start_time, found[name].end_time) for name in PARTS]
    flat = [moment for pair in times for moment in pair]
    assert flat == sorted(flat), "one after the other"
    assert whole.start_time <= flat[0]
    assert flat[-1] <= whole.end_time
    assert all(found[name].parent.span_id == whole.context.span_id for name in PARTS)
    assert found["score"].attributes["homeostat.arm"] == ("champion",)


def test_the_callers_context_goes_in_and_comes_out(client, spans):
    reply = client.post("/predict", ROWS[0], CALLER)
    whole = by_name(spans)["POST /predict"]
    assert format_trace_id(whole.context.trace_id) == TRACE
    assert format_span_id(whole.parent.span_id) == PARENT
    assert whole.context.trace_state.get("vendor") == "x"
    assert reply.headers["traceresponse"] == f"00-{TRACE}-{format_span_id(whole.context.span_id)}-01"


def test_a_caller_that_does_not_sample_costs_no_spans(client, spans):
    reply = client.post("/predict", ROWS[0], {"traceparent": f"00-{TRACE}-{PARENT}-00"})
    assert reply.status_code == 200
    assert spans.get_finished_spans() == ()


def test_both_arms_of_a_trial_are_named(store, client, spans):
    version = register(store, bundle(seed=1))
    divide(store, {1: ("champion", 0.5), version: ("canary", 0.5)})
    client.app.model.router.poll()
    client.predict(ROWS)
    score = by_name(spans)["score"]
    assert score.attributes["homeostat.model.version"] == (1, 2)
    assert score.attributes["homeostat.arm"] == ("champion", "canary")


def test_the_protocol_is_traced_too(client, spans):
    names = [column["name"] for column in client.get(f"/v2/models/{LOOP}").json()["inputs"]]
    body = {"inputs": [tensor(name) for name in names]}
    assert client.post(f"/v2/models/{LOOP}/infer", body).status_code == 200
    assert by_name(spans)["POST /v2/infer"].attributes["http.response.status_code"] == 200
    assert client.post(f"/v2/models/{LOOP}/versions/1/infer", body).status_code == 200
    assert len(spans.get_finished_spans()) == 2 * (len(PARTS) + 1)


def tensor(name):
    value = ROWS[0][name]
    kind = "BYTES" if isinstance(value, str) else "INT64" if isinstance(value, int) else "FP64"
    return {"name": name, "shape": [1], "datatype": kind, "data": [value]}


def test_a_body_that_does_not_fit_is_no_error_of_the_server(client, spans):
    assert client.post("/predict", {"wrong": 1}).status_code == 400
    found = by_name(spans)
    assert sorted(found) == ["POST /predict", "decode"]
    assert found["POST /predict"].status.status_code is StatusCode.UNSET


def test_a_model_that_raises_is(store, tracing, spans):
    promote(store, register(store, bundle(model=Moody())))

    def fails():
        raise RuntimeError("broken")

    with serving(store, trusted=MOODY, tracing=tracing) as app:
        Moody.acts = staticmethod(fails)
        assert Client(app).post("/predict", ROWS[0]).status_code == 500
    Moody.acts = staticmethod(lambda: None)
    found = by_name(spans)
    assert found["POST /predict"].status.status_code is StatusCode.ERROR
    assert found["POST /predict"].attributes["error.type"] == "500"
    assert found["score"].status.status_code is StatusCode.ERROR


def test_concurrent_requests_keep_their_spans_apart(client, spans):
    client.ask(
        *[("POST", "/predict", {"records": ROWS[: number + 1], "id": f"r{number}"}, None) for number in range(20)]
    )
    whole = [span for span in spans.get_finished_spans() if span.name == "POST /predict"]
    assert {(span.attributes["homeostat.request.id"], span.attributes["homeostat.rows"]) for span in whole} == {
        (f"r{number}", number + 1) for number in range(20)
    }


def test_without_it_nothing_is_traced_and_the_protocols_are_the_plain_ones(store):
    promote(store, register(store, bundle()))
    with serving(store) as app:
        assert {type(one) for one in app.targets.values()} == {ServedProtocol}
        assert "traceresponse" not in Client(app).post("/predict", ROWS[0], CALLER).headers


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_it_is_off_unless_the_environment_wants_it(environment):
    assert tracing_from_environment(environment) is None


@pytest.fixture
def collector():
    """A receiver of OTLP over HTTP; what it was sent."""
    heard = []

    class Receiving(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            heard.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Receiving) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()
        thread.join()


def test_a_real_server_exports_by_the_standard_variables_and_says_the_trace_in_its_log(store, collector, tmp_path):
    promote(store, register(store, bundle()))
    url, heard = collector
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_SERVICE_NAME": "flights-server",
        "HOMEOSTAT_LOG_SAMPLE": "1",
        "HOMEOSTAT_LOG": "json",
    }
    with (tmp_path / "err").open("wb") as errors, ServerProcess(store, env=environment, errors=errors) as server:
        reply = httpx.post(f"{server.url}/predict", content=json.dumps(ROWS[0]), headers=CALLER)
        assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", reply.headers["traceresponse"])
        assert server.stop() == 0
    assert {path for path, _ in heard} == {"/v1/traces"}
    resources = [resource for _, request in heard for resource in request.resource_spans]
    facts = {one.key: one.value.string_value for one in resources[0].resource.attributes}
    assert facts["service.name"] == "flights-server"
    sent = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    assert {span.name for span in sent} == {*PARTS, "POST /predict"}
    assert {span.trace_id.hex() for span in sent} == {TRACE}
    lines = [json.loads(line) for line in (tmp_path / "err").read_text().splitlines()]
    (told,) = [line for line in lines if line["message"] == "request"]
    assert (told["trace"], told["route"], told["model"], told["status"]) == (TRACE, "/predict", LOOP, 200)
    assert told["request"] == reply.json()["request"]
    assert ROWS[0]["carrier"] not in json.dumps(told)
