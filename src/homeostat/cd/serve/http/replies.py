"""What is sent back: a status, a body, and the headers that say what it is; errors are answers too."""

from __future__ import annotations

from traceback import format_exception
from typing import Any

import msgspec

from homeostat.cd.serve.errors import EncodingError, InflatedError, MethodError, SlowError
from homeostat.cd.serve.http.access import AccessError
from homeostat.cd.serve.http.any_json import encode_any
from homeostat.cd.serve.rows import RowsError
from homeostat.cd.serve.scoring.batcher import BusyError, LateError
from homeostat.core.clock import new_id
from homeostat.core.errors import (
    DataError,
    HomeostatError,
    ModelError,
    NotFoundError,
    RefusedError,
    RetryableError,
    StoreError,
)
from homeostat.core.text.read_json import TooLargeError

JSON = b"application/json"
encode = msgspec.json.Encoder().encode


class Reply(msgspec.Struct):
    """Status and body of an answer.

    Attributes:
        route: What it is counted as.
        request, trace: Under which ids the log and a trace know it.
        traceback: Of what failed, where that is ours to look into.
    """

    status: int
    body: bytes
    route: str = "other"
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    model: str = ""
    request: str = ""
    trace: str = ""
    traceback: str = ""


def json_reply(status: int, content: Any, route: str = "other") -> Reply:
    """An answer in JSON."""
    return Reply(status, encode(content), route)


def failure(error: BaseException, route: str, request: str = "") -> Reply:
    """The answer to a request that could not be answered: the right status, and a body that says why.

    A fault of the server or of the model gets an id in any case: under it, the server's log has the traceback.
    """
    status = _status(error)
    body: dict[str, Any] = {"error": f"the server failed on this request: {type(error).__name__}"}
    if isinstance(error, HomeostatError):
        body = {"error": error.what} | ({"hint": error.hint} if error.hint else {})
    if isinstance(error, RowsError):
        body["problems"] = error.problems
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if status == 503:
        headers = ((b"retry-after", b"%d" % getattr(error, "retry_after", 1)),)
    if isinstance(error, MethodError):
        headers = ((b"allow", ", ".join(error.allowed).encode()),)
    reply = Reply(status, b"", route, JSON, headers, request=request)
    if status == _FAULT:
        reply.traceback = "".join(format_exception(error, limit=_FRAMES)).rstrip()
        reply.request = body["request"] = request or new_id()
    reply.body = encode_any(body)
    return reply


_FAULT, _FRAMES = 500, -20

_STATUS: list[tuple[type[BaseException], int]] = [
    (TooLargeError, 413),
    (InflatedError, 413),
    (EncodingError, 415),
    (DataError, 400),
    (NotFoundError, 404),
    (MethodError, 405),
    (RefusedError, 409),
    (BusyError, 503),
    (LateError, 504),
    (SlowError, 408),
    (StoreError, 503),
    (RetryableError, 503),
    (ModelError, 500),
]


def _status(error: BaseException) -> int:
    if isinstance(error, AccessError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
