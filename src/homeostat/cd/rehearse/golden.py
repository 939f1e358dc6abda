"""Asks a server's application the golden rows of a model, by every protocol that it speaks, without a socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.protocols import binary
from homeostat.cd.serve.protocols.tensors import DATATYPES
from homeostat.core.errors import HomeostatError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from homeostat.cd.serve import Application
    from homeostat.core.model import Golden, Signature

Scores = list[tuple[float, ...]]
_OK = 200


class _UnansweredError(Exception):
    """A request was not answered with success."""


def expected(golden: Golden, signature: Signature) -> Scores:
    """What is to be answered: the scores of each row and the place of its label among the classes, or its value."""
    if signature.classes is None:
        return list(golden.scores)
    return [(*scores, _place(label, signature)) for scores, label in zip(golden.scores, golden.labels, strict=True)]


def ask_golden(app: Application, name: str, golden: Golden, signature: Signature) -> dict[str, Scores | str]:
    """The answers to a model's golden rows.

    Args:
        app: A server's application.
        name: The model's.
        golden: Its golden rows.
        signature: Its signature.

    Returns:
        Protocol (`records`, `v2`, `mlflow`, and `binary` where the application speaks it) to numbers of each row as in
        `expected`; in place of them, what the server said.
    """
    return asyncio.run(_ask_all(app, name, golden, signature))


async def _ask_all(app: Application, name: str, golden: Golden, signature: Signature) -> dict[str, Scores | str]:
    _, _, server = await _call(app, "GET", "/v2", b"")
    ways = {way: ask for named in WAYS.values() for way, ask in named.items()}
    if b"binary_tensor_data" not in server:
        del ways["binary"]
    found: dict[str, Scores | str] = {}
    for way, ask in ways.items():
        try:
            found[way] = await ask(app, name, golden, signature)
        except _UnansweredError as error:
            found[way] = str(error)
        except (HomeostatError, msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError) as error:
            found[way] = f"its answer cannot be read: {type(error).__name__}: {error}"
    return found


async def _records(app: Application, _name: str, golden: Golden, signature: Signature) -> Scores:
    return _scores(await _lines(app, golden), signature)


async def _lines(app: Application, golden: Golden) -> list[dict[str, Any]]:
    body = await _answer(app, "/predict", msgspec.json.encode({"records": golden.rows}))
    found: list[dict[str, Any]] = msgspec.json.decode(body[1])["predictions"]
    return found


async def _invocations(app: Application, _name: str, golden: Golden, signature: Signature) -> Scores:
    """It answers with values alone; those of classes have no scores, so they are held against those of `/predict`."""
    body = await _answer(app, "/invocations", msgspec.json.encode({"dataframe_records": golden.rows}))
    said = msgspec.json.decode(body[1])["predictions"]
    if signature.classes is None:
        return [(float(value),) for value in said]
    lines = await _lines(app, golden)
    values = [line["value"] for line in lines]
    if said != values:
        raise _UnansweredError(f"it says {said} where /predict says {values}")
    return _scores(lines, signature)


def _scores(lines: list[dict[str, Any]], signature: Signature) -> Scores:
    if signature.classes is None:
        return [(float(line["value"]),) for line in lines]
    places = [_place(line["value"], signature) for line in lines]
    if len(signature.classes) == 2:
        return [(1.0 - line["score"], line["score"], place) for line, place in zip(lines, places, strict=True)]
    found = [[line["probabilities"][str(name)] for name in signature.classes] for line in lines]
    return [(*scores, place) for scores, place in zip(found, places, strict=True)]


async def _tensors(app: Application, name: str, golden: Golden, signature: Signature) -> Scores:
    inputs = [_tensor(column.name, column.kind, golden.rows) for column in signature.inputs]
    body = await _answer(app, f"/v2/models/{name}/infer", msgspec.json.encode({"inputs": inputs}))
    outputs = msgspec.json.decode(body[1])["outputs"]
    return _rows(outputs[-1]["data"], outputs[0]["data"], signature)


async def _binary(app: Application, name: str, golden: Golden, signature: Signature) -> Scores:
    inputs, parts = [], []
    for column in signature.inputs:
        tensor = _tensor(column.name, column.kind, golden.rows)
        if None not in tensor["data"]:  # there is no null in bytes
            parts.append(binary.write(tensor["datatype"], tensor.pop("data")))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        inputs.append(tensor)
    head = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": True}})
    length = (binary.HEADER, str(len(head)).encode())
    headers, body = await _answer(app, f"/v2/models/{name}/infer", head + b"".join(parts), length)
    size = binary.header_length(headers)
    if size is None:
        raise _UnansweredError("it answers in JSON where bytes were asked for")
    answer, rest = binary.split(body, size)
    outputs = msgspec.json.decode(answer)["outputs"]
    sizes = [(one["name"], one["parameters"]["binary_data_size"]) for one in outputs]
    read = [
        binary.read(one["name"], one["datatype"], one["shape"], data)
        for one, data in zip(outputs, binary.cut(rest, sizes), strict=True)
    ]
    return _rows([float(value) for value in read[-1]], list(read[0]), signature)


def _tensor(name: str, kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [row.get(name) for row in rows]
    return {"name": name, "datatype": DATATYPES[kind], "shape": [len(rows)], "data": values}


def _rows(flat: Sequence[float], labels: Sequence[Any], signature: Signature) -> Scores:
    """The numbers of each row from the last output, and its label from the first one."""
    if signature.classes is None:
        return [(value,) for value in flat]
    width = len(flat) // max(1, len(labels))
    return [
        (*flat[place * width : (place + 1) * width], _place(label, signature)) for place, label in enumerate(labels)
    ]


def _place(label: Any, signature: Signature) -> float:
    return float((signature.classes or ()).index(label))


WAYS: dict[str, dict[str, Callable[[Application, str, Golden, Signature], Awaitable[Scores]]]] = {
    "/predict": {"records": _records},
    "/v2/infer": {"v2": _tensors, "binary": _binary},
    "/invocations": {"mlflow": _invocations},
}
"""How each predicting route is asked, by what the gate calls it."""

Headers = list[tuple[bytes, bytes]]


async def _answer(app: Application, path: str, body: bytes, *more: tuple[bytes, bytes]) -> tuple[Headers, bytes]:
    status, headers, said = await _call(app, "POST", path, body, *more)
    if status != _OK:
        raise _UnansweredError(f"{status} {said[:300].decode(errors='replace')}")
    return headers, said


async def _call(
    app: Application, method: str, path: str, body: bytes, *more: tuple[bytes, bytes]
) -> tuple[int, Headers, bytes]:
    """One request to an ASGI application."""
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), *more]
    headers.append((b"content-length", str(len(body)).encode()))
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": headers, "client": ("127.0.0.1", 0), "server": ("127.0.0.1", 80), "http_version": "1.1"}
    status, answered, said = 0, [], []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, answered
        if message["type"] == "http.response.start":
            status, answered = message["status"], list(message["headers"])
        else:
            said.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, answered, b"".join(said)
