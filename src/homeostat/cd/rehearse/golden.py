"""Asks a server's application the golden rows of a model, by every protocol that it speaks, without a socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core.errors import HomeostatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from homeostat.cd.serve import Application
    from homeostat.core.model import Golden, Signature

Numbers = list[tuple[float, ...]]
_OK = 200


def expected(golden: Golden, signature: Signature) -> Numbers:
    """What is to be answered: the scores of each row and the place of its label among the classes, or its value."""
    if signature.classes is None:
        return list(golden.scores)
    return _numbers(golden.labels, golden.scores, signature)


def ask_golden(app: Application, name: str, golden: Golden, signature: Signature) -> dict[str, Numbers | str]:
    """The answers to a model's golden rows.

    Returns:
        What each golden request of each protocol is called to numbers of each row as in `expected`, where the scores
        are the recorded ones if it tells none; in place of them, what the server said.
    """
    return asyncio.run(_ask_all(app, name, golden, signature))


async def _ask_all(app: Application, name: str, golden: Golden, signature: Signature) -> dict[str, Numbers | str]:
    found: dict[str, Numbers | str] = {}
    for protocol in app.protocols:
        path = protocol.paths[0].replace("{name}", name)
        for way, request in protocol.golden.items():
            try:
                status, headers, body = await _post(app, path, *request.write(golden.rows, signature))
                if status == _OK:
                    values, scores = request.read(body, headers, signature)
                    found[way] = _numbers(values, golden.scores if scores is None else scores, signature)
                else:
                    found[way] = f"{status} {body[:300].decode(errors='replace')}"
            except (HomeostatError, msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
                found[way] = f"its answer cannot be read: {type(error).__name__}: {error}"
    return found


def _numbers(values: Sequence[Any], scores: Sequence[Sequence[float]], signature: Signature) -> Numbers:
    if signature.classes is None:
        return [(float(value),) for value in values]
    places = [float(signature.classes.index(value)) for value in values]
    return [(*row, place) for row, place in zip(scores, places, strict=True)]


async def _post(
    app: Application, path: str, body: bytes, more: Mapping[bytes, bytes]
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request to an ASGI application."""
    headers = {
        b"host": b"127.0.0.1",
        b"content-type": b"application/json",
        b"content-length": b"%d" % len(body),
        **more,
    }
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": list(headers.items()), "server": ("127.0.0.1", 80), "http_version": "1.1"}
    started: dict[str, Any] = {}
    said: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            said.append(message.get("body", b""))

    await app(scope, receive, send)
    return started["status"], dict(started["headers"]), b"".join(said)
