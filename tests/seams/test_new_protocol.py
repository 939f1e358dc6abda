"""A protocol that is added from outside keeps the laws of protocols, and is spoken by a running server."""

from __future__ import annotations

from homeostat.cd.serve.protocols import PROTOCOLS
from tests.cd.serve.test_serve_wire import Caller, listening
from tests.cd.serving import bundle, log_of, promote, register, serving
from tests.laws.protocol_laws import every_law, every_model, spoken
from tests.seams.csv_lines import CSV_LINES, golden_answer, golden_body

TABLE = (*PROTOCOLS, CSV_LINES)


@every_law
@every_model
def test_a_new_protocol_keeps(law, model, store):
    with spoken(store, CSV_LINES, TABLE, model) as one:
        law(one, store)


def test_a_running_server_speaks_it_on_the_short_way_and_on_the_long_one(store):
    made = bundle()
    promote(store, register(store, made))
    golden, signature = made.manifest.golden, made.manifest.signature
    body, _ = golden_body(golden.rows, signature)
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    ways = (b"Content-Length: %d\r\n\r\n%s" % (len(body), body), b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    with serving(store, protocols=TABLE) as app, listening(app) as port, Caller(port) as caller:
        for way in ways:
            caller.send(b"POST /lines HTTP/1.1\r\nHost: 127.0.0.1\r\n" + way)
            status, headers, said = caller.reply()
            assert (status, headers["content-type"]) == (200, "text/csv")
            values, _ = golden_answer(said, {}, signature)
            assert values == list(golden.labels)
    assert [len(record.rows) for record in log_of(store)] == [len(golden.rows)] * len(ways)
