"""OpenTelemetry: a span for each prediction request, and in it one each for decode, score, encode and log.

Only when the environment configures an exporter, by the names of the OpenTelemetry specification; then the protocols of
an application are exchanged for traced ones. Without it nothing of this runs, so it costs nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from homeostat.cd.log import LogWriter
from homeostat.cd.serve.model import ServedProtocol
from homeostat.cd.serve.telemetry.request_log import tell
from homeostat.core.clock import SystemClock, stopwatch
from homeostat.core.errors import ENDINGS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from homeostat.cd.log.records import Written
    from homeostat.cd.serve.http.replies import Reply
    from homeostat.cd.serve.model import Done
    from homeostat.cd.serve.routing import Division
    from homeostat.cd.serve.rows import Rows
    from homeostat.cd.serve.scoring.dispatch import Answer, Pending

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_FLUSH_SECONDS = 3.0
"""A collector that does not answer keeps the server no longer from ending."""


class TimedLog(LogWriter):
    """A log that knows when it took its latest record."""

    singly = True
    took = (0.0, 0.0)
    """Begin and end, on the stopwatch."""

    def append(self, record: Written) -> None:
        """Have one record in the file."""
        begin = stopwatch()
        super().append(record)
        self.took = begin, stopwatch()


class Tracing:
    """Where spans go."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from homeostat.core.version import VERSION

        self._provider = provider
        self.tracer = provider.get_tracer("homeostat", VERSION)
        self._propagator = TraceContextTextMapPropagator()
        self._clock = SystemClock()

    def traced(self, served: ServedProtocol) -> ServedProtocol:
        """The same, traced."""
        return TracedProtocol(served, self)

    def parent(self, headers: Mapping[bytes, bytes]) -> Any:
        """The caller's context, from W3C's `traceparent` and `tracestate`."""
        carrier = {name.decode(): headers[name].decode("latin-1") for name in _CONTEXT if name in headers}
        return self._propagator.extract(carrier) if carrier else None

    def offset(self) -> float:
        """Seconds since 1970 when the stopwatch was at 0."""
        return self._clock.now().timestamp() - stopwatch()

    def close(self) -> None:
        """Export what waits, for a moment."""
        flush = threading.Thread(target=self._provider.shutdown, name="flush-traces", daemon=True)
        flush.start()
        flush.join(_FLUSH_SECONDS)


_CONTEXT = (b"traceparent", b"tracestate")


def tracing_from_environment(environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """Tracing as the environment configures it, or None.

    Source: OpenTelemetry's specification of environment variables; the SDK reads the others (sampler, headers, limits,
    service name) by itself.

    Example:
        >>> tracing_from_environment({}) is None
        True
    """
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if off or not any(environment.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        # These variables are often set for every container of a cluster: a server without the extra serves on.
        tell("no traces: install homeostat[otel]", level=logging.WARNING)
        return None
    from homeostat.core.version import VERSION

    facts = {"service.version": VERSION}
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        facts["service.name"] = "homeostat"
    provider = TracerProvider(resource=Resource.create(facts))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


class TracedProtocol(ServedProtocol):
    """One that tells what it did and how long each part took.

    What belongs together (decoding; encoding, recording and replying) happens in one call on the event loop, so what
    those calls note belongs to the request in hand.
    """

    def __init__(self, served: ServedProtocol, tracing: Tracing) -> None:
        super().__init__(served.protocol, served.model, served.version)
        self._untraced, self._tracing = served, tracing
        self._decoding: tuple[float, float] | None = None
        self._encoding: tuple[float, float, Division, Answer] | None = None

    def decode(self, table: Division, body: bytes, headers: dict[bytes, bytes]) -> Rows:
        """The rows of a body."""
        begin = stopwatch()
        found = super().decode(table, body, headers)
        self._decoding = begin, stopwatch()
        return found

    def encode(self, asked: Pending, answer: Answer) -> Reply:
        """The reply that is the answer."""
        begin = stopwatch()
        reply = super().encode(asked, answer)
        self._encoding = begin, stopwatch(), asked.table, answer
        return reply

    def answer(self, body: bytes, headers: dict[bytes, bytes], done: Done) -> None:
        """Answer a request in a span of its own."""
        span = None
        with _untold():
            begin, offset = stopwatch(), self._tracing.offset()
            span = self._begun(body, headers, begin, offset)
        if span is None or not span.is_recording():
            self._untraced.answer(body, headers, done)
            return
        self._decoding = None
        decoding: tuple[float, float] | None = None

        def finish(reply: Reply) -> None:
            with _untold():
                self._finish(span, reply, begin, decoding or self._decoding, offset)
            done(reply)

        super().answer(body, headers, finish)
        decoding = self._decoding

    def _begun(self, body: bytes, headers: dict[bytes, bytes], begin: float, offset: float) -> Span:
        from opentelemetry.trace import SpanKind

        facts = {"http.request.method": "POST", "http.route": self.route, "homeostat.model.name": self.model.name}
        return self._tracing.tracer.start_span(
            f"POST {self.route}",
            self._tracing.parent(headers),
            kind=SpanKind.SERVER,
            attributes=facts | {"http.request.body.size": len(body)},
            start_time=_nanoseconds(begin, offset),
        )

    def _finish(
        self, span: Span, reply: Reply, begin: float, decoding: tuple[float, float] | None, offset: float
    ) -> None:
        from opentelemetry.trace import StatusCode, format_span_id, format_trace_id, set_span_in_context

        now, encoding, self._encoding = stopwatch(), self._encoding, None
        within = set_span_in_context(span)

        def part(
            name: str, start: float, end: float, facts: Mapping[str, Any] | None = None, *, failed: bool = False
        ) -> None:
            child = self._tracing.tracer.start_span(
                name, within, attributes=facts, start_time=_nanoseconds(start, offset)
            )
            if failed:
                child.set_status(StatusCode.ERROR)
            child.end(_nanoseconds(end, offset))

        failed = reply.status >= 500
        if decoding is None:
            part("decode", begin, now, failed=failed)
        else:
            part("decode", *decoding)
        if decoding is not None and encoding is None:
            part("score", decoding[1], now, failed=failed)
        if decoding is not None and encoding is not None:
            start, end, table, answer = encoding
            facts = _facts(table, answer)
            log = self.model.log
            took = log.took if isinstance(log, TimedLog) else (end, end)
            part("score", decoding[1], start, facts)
            part("encode", start, end)
            # A record that was not taken has left the times of the one before it.
            part("log", *(took if took[0] >= end else (end, now)), failed=failed)
            span.set_attributes(facts | {"homeostat.request.id": answer.request})
        span.set_attribute("http.response.status_code", reply.status)
        if failed:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", str(reply.status))
        context = span.get_span_context()
        trace, own = format_trace_id(context.trace_id), format_span_id(context.span_id)
        reply.trace = trace
        reply.headers = (*reply.headers, (b"traceresponse", f"00-{trace}-{own}-{context.trace_flags:02x}".encode()))
        span.end(_nanoseconds(stopwatch(), offset))


@contextlib.contextmanager
def _untold() -> Iterator[None]:
    """Traces are never worth an answer: what goes wrong with them is told, and that is all."""
    try:
        yield
    except ENDINGS:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever an exporter or a sampler raises
        tell("a trace is lost", level=logging.WARNING, error=error)


def _facts(table: Division, answer: Answer) -> dict[str, Any]:
    """Model, versions and arms that answered."""
    versions = sorted(set(answer.by_row()))
    roles = {arm.version: arm.role for arm in table.arms}
    return {
        "homeostat.model.version": versions,
        "homeostat.arm": [roles.get(version, "asked for") for version in versions],
        "homeostat.rows": len(answer.ids),
    }


def _nanoseconds(moment: float, offset: float) -> int:
    return int((moment + offset) * 1e9)
