"""Bodies as large as a server takes, and full of nothing: refused, without a hang, and their memory given back."""

from __future__ import annotations

import pytest

from tests.cd.serve.test_serve_sockets import ROW, WEB, server, still_ready
from tests.cd.serving import LOOP

pytestmark = pytest.mark.long

__all__ = ["server", "still_ready"]

BIG = {
    "a million good rows": lambda: many(ROW, 1_000_000),
    "a million empty rows": lambda: many(b"{}", 1_000_000),
    "ten million empty lists": lambda: many(b"[]", 10_000_000),
    "ten million empty rows behind a name": lambda: b'{"records":' + many(b"{}", 10_000_000) + b"}",
    "a long text": lambda: b'[{"carrier":"' + b"x" * 30_000_000 + b'"}]',
    "a long number": lambda: b'[{"wind":' + b"9" * 30_000_000 + b"}]",
    "a million names": lambda: b"{" + b",".join(b'"%d":1' % place for place in range(1_000_000)) + b"}",
    "a million depths": lambda: b"[" * 1_000_000,
}


def many(part, count):
    return b"[" + b",".join([part] * count) + b"]"


@pytest.mark.parametrize("path", ["/predict", f"/v2/models/{LOOP}/infer", "/invocations", "/labels"])
@pytest.mark.parametrize("case", BIG)
def test_a_big_body_is_refused_and_forgotten(server, case, path):
    reply = WEB.post(f"{server.url}{path}", content=BIG[case](), timeout=60)
    assert reply.status_code in {400, 413}, reply.text[:500]
    assert len(reply.content) < 20_000


@pytest.mark.parametrize("part", [b"[]", b"1", b'""', b"[1.5]", b"null"])
def test_a_tensor_of_a_great_many_values_is_refused_and_forgotten(server, part):
    data = many(part, 24_000_000 // (len(part) + 1))
    tensor = b'{"name":"wind","datatype":"FP64","shape":[9],"data":' + data + b"}"
    reply = WEB.post(f"{server.url}/v2/models/{LOOP}/infer", content=b'{"inputs":[' + tensor + b"]}", timeout=60)
    assert reply.status_code in {400, 413}, reply.text[:500]
