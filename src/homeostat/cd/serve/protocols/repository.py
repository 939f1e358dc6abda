"""What the server says about itself: its extensions, its repository of models, and its document.

Source: https://github.com/triton-inference-server/server/tree/main/docs/protocol (`extension_model_repository.md`,
`extension_model_configuration.md`). Unloading and loading is this process's own doing: the ledger goes on saying which
version a model's traffic belongs to, and a model that is loaded again follows it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from homeostat.cd.serve.http.replies import MethodError, Reply, json_reply
from homeostat.cd.serve.protocols.openapi import Described, document
from homeostat.cd.serve.protocols.tensors import DATATYPES
from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.text.read_json import parse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from homeostat.cd.serve.app import Application, Request
    from homeostat.cd.serve.model import ServedModel
    from homeostat.core.model import Signature

    Handler = Callable[[Request], Awaitable[Reply]]

MODELS = "/v2/repository/models/"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository")

_TRITON = {"BYTES": "TYPE_STRING"}


class Repository:
    """The routes that are about models rather than rows.

    Args:
        app: The server whose models these are.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    def routes(self) -> dict[tuple[str, str], Handler]:
        """By method and path."""
        return {
            ("POST", "/v2/repository/index"): self._index,
            ("GET", "/openapi.json"): self._document,
            ("GET", "/ping"): self._ping,
            ("GET", "/version"): self._version,
        }

    async def change(self, request: Request) -> Reply:
        """`POST /v2/repository/models/{name}/load` or `unload`.

        Raises:
            NotFoundError: There is no such model, or nothing else can be done with it.
            NotReadyError: Nothing can be loaded: the message says why.
        """
        name, _, action = request.path.removeprefix(MODELS).rpartition("/")
        hosted = self._hosted(unquote(name))
        if action not in {"load", "unload"}:
            raise NotFoundError(f"a model of the repository has no {action[:100]!r}", hint="there are load and unload")
        if request.method != "POST":
            raise MethodError(request.path, "POST")
        asked_for(await self._app.body(request.minded, request.headers, request.receive))
        if action == "unload":
            await asyncio.to_thread(hosted.router.rest)
        else:
            await asyncio.to_thread(hosted.router.wake)
            hosted.table()
        return json_reply(200, {}, "/v2/repository")

    def _hosted(self, name: str) -> ServedModel:
        hosted = self._app.models.get(name)
        if hosted is None:
            there = ", ".join(sorted(self._app.models)[:20])
            raise NotFoundError(f"there is no model {name[:100]!r}", hint=f"this server serves {there}")
        return hosted

    async def _index(self, request: Request) -> Reply:
        told = asked_for(await self._app.body(request.minded, request.headers, request.receive))
        lines: list[Indexed] = []
        for name, hosted in self._app.models.items():
            table = hosted.router.table
            lines += index(name, list(table.served) if table is not None else [], hosted.router.status().error)
        found = [line for line in lines if line.state == "READY" or not told.get("ready")]
        return json_reply(200, found, "/v2/repository")

    async def _document(self, _: Request) -> Reply:
        from homeostat.core.version import VERSION

        settings = self._app.settings
        # What belongs to the routes that name no model comes first.
        found = sorted(self._app.models.values(), key=lambda hosted: hosted is not self._app.hosted)
        models = [
            Described(hosted.name, tuple(sorted(table.served)), table.champion.signature)
            for hosted in found
            if (table := hosted.router.table) is not None
        ]
        told = document(models, version=VERSION, most_rows=settings.most_rows, token=settings.token is not None)
        return json_reply(200, told, "/openapi.json")

    async def _ping(self, _: Request) -> Reply:
        ready = self._app.hosted.ready
        return json_reply(200 if ready else 503, {"ready": ready}, "/ping")

    async def _version(self, _: Request) -> Reply:
        from homeostat.core.version import VERSION

        return Reply(200, VERSION.encode(), "/version", b"text/plain; charset=utf-8")


class Indexed(msgspec.Struct, frozen=True):
    """One line of the repository index.

    Attributes:
        name: Of the model.
        version: Its number as text.
        state: `READY` or `UNAVAILABLE`.
        reason: Why it is not ready, else empty.
    """

    name: str
    version: str
    state: str
    reason: str


def asked_for(data: bytes) -> dict[str, Any]:
    """The object in the body of a request about the repository; an empty body is an empty one.

    Raises:
        DataError: The body is something else.
    """
    content = parse(data)[0] if data.strip() else {}
    if not isinstance(content, dict) or not isinstance(content.get("ready", False), bool):
        raise DataError("the body is no request to the repository", hint='send {"ready": true}, {} or nothing')
    return content


def index(name: str, ready: Sequence[int], reason: str | None) -> list[Indexed]:
    """The lines of one model.

    Args:
        name: Of the model.
        ready: Versions that answer when they are asked.
        reason: Why what the ledger wants is not in effect, if it is not.

    Example:
        >>> [(line.version, line.state) for line in index("rides", [1], "version 2 is torn")]
        [('1', 'READY'), ('', 'UNAVAILABLE')]
    """
    lines = [Indexed(name, str(version), "READY", "") for version in sorted(ready)]
    if reason is not None or not lines:
        lines.append(Indexed(name, "", "UNAVAILABLE", reason or "no version has been promoted yet"))
    return lines


def config(name: str, signature: Signature, platform: str) -> dict[str, Any]:
    """The body of `GET /v2/models/{name}/config`: what load generators look at before they ask."""
    inputs = [
        {"name": column.name, "data_type": _triton(DATATYPES[column.kind]), "dims": [-1]} for column in signature.inputs
    ]
    outputs = [{"name": output, "dims": [-1]} for output in signature.outputs]
    return {
        "name": name,
        "platform": f"homeostat_{platform}",
        "backend": "homeostat",
        "max_batch_size": 0,
        "input": inputs,
        "output": outputs,
    }


def _triton(datatype: str) -> str:
    return _TRITON.get(datatype, f"TYPE_{datatype}")
