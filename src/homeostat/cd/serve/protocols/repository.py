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

from homeostat.cd.serve.errors import MethodError
from homeostat.cd.serve.http.replies import Reply, json_reply
from homeostat.cd.serve.model import ServedModel, named
from homeostat.cd.serve.protocols.openapi import Described, document
from homeostat.cd.serve.protocols.openinference import metadata
from homeostat.cd.serve.protocols.tensors import DATATYPES
from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.text.read_json import parse
from homeostat.core.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from homeostat.cd.serve.http.request import Request
    from homeostat.cd.serve.operate.status import Operations
    from homeostat.cd.serve.protocols import Protocol
    from homeostat.cd.serve.routing import Division
    from homeostat.cd.serve.settings import Settings
    from homeostat.core.model import Signature

    Handler = Callable[[Request], Awaitable[Reply]]

MODELS = "/v2/repository/models/"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository")

_TRITON = {"BYTES": "TYPE_STRING"}


class Repository:
    """The routes that are about models rather than rows. `first` is the model behind the routes that name none."""

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        first: ServedModel,
        protocols: Sequence[Protocol],
        settings: Settings,
        operations: Operations,
    ) -> None:
        self._models, self._first, self._protocols = models, first, protocols
        self._settings, self._operations = settings, operations

    def routes(self) -> dict[tuple[str, str], Handler]:
        """By method and path."""
        return {
            ("GET", "/v2"): self._server,
            ("POST", "/v2/repository/index"): self._index,
            ("GET", "/openapi.json"): self._document,
            ("GET", "/ping"): self._ping,
            ("GET", "/version"): self._version,
        }

    def route(self, path: str) -> Handler | None:
        """What answers at a path below a model's name, or None for any other path."""
        if path.startswith("/v2/models/"):
            return self._model
        return self._change if path.startswith(MODELS) else None

    async def _server(self, _: Request) -> Reply:
        return json_reply(200, {"name": "homeostat", "version": VERSION, "extensions": EXTENSIONS}, "/v2")

    async def _model(self, request: Request) -> Reply:
        """`GET /v2/models/{name}[/versions/{version}][/ready|config]`."""
        name, _, rest = request.path.removeprefix("/v2/models/").partition("/")
        model = named(self._models, unquote(name))
        table = model.table()
        served, action = table.champion, rest
        if rest.startswith("versions/"):
            number, _, action = rest.removeprefix("versions/").partition("/")
            served = table.served[numbered(model.name, table, number)]
        if action not in {"", "ready", "config"}:
            raise NotFoundError(f"a model has no {action[:100]!r}", hint="there are ready, config and infer")
        if request.method != "GET":
            raise MethodError(request.path, "GET")
        if action == "ready":
            ready = model.ready and not self._operations.draining
            return json_reply(200 if ready else 503, {"name": model.name, "ready": ready}, "/v2/model/ready")
        platform = served.model.runtime
        if action == "config":
            return json_reply(200, config(model.name, served.signature, platform), "/v2/model")
        return json_reply(200, metadata(model.name, sorted(table.served), served.signature, platform), "/v2/model")

    async def _change(self, request: Request) -> Reply:
        """`POST /v2/repository/models/{name}/load` or `unload`."""
        name, _, action = request.path.removeprefix(MODELS).rpartition("/")
        model = named(self._models, unquote(name))
        if action not in {"load", "unload"}:
            raise NotFoundError(f"a model of the repository has no {action[:100]!r}", hint="there are load and unload")
        if request.method != "POST":
            raise MethodError(request.path, "POST")
        asked_for(await request.body())
        if action == "unload":
            await asyncio.to_thread(model.router.rest)
        else:
            await asyncio.to_thread(model.router.wake)
            model.table()
        return json_reply(200, {}, "/v2/repository")

    async def _index(self, request: Request) -> Reply:
        told = asked_for(await request.body())
        lines: list[Indexed] = []
        for name, model in self._models.items():
            table = model.router.table
            lines += index(name, list(table.served) if table is not None else [], model.router.status().error)
        found = [line for line in lines if line.state == "READY" or not told.get("ready")]
        return json_reply(200, found, "/v2/repository")

    async def _document(self, _: Request) -> Reply:
        settings = self._settings
        # What belongs to the routes that name no model comes first.
        found = sorted(self._models.values(), key=lambda model: model is not self._first)
        models = [
            Described(model.name, tuple(sorted(table.served)), table.champion.signature)
            for model in found
            if (table := model.router.table) is not None
        ]
        most, token = settings.most_rows, settings.token is not None
        told = document(models, self._protocols, version=VERSION, most_rows=most, token=token)
        return json_reply(200, told, "/openapi.json")

    async def _ping(self, _: Request) -> Reply:
        ready = self._first.ready
        return json_reply(200 if ready else 503, {"ready": ready}, "/ping")

    async def _version(self, _: Request) -> Reply:
        return Reply(200, VERSION.encode(), "/version", b"text/plain; charset=utf-8")


def numbered(name: str, table: Division, said: str) -> int:
    """A version that answers, by its number.

    Raises:
        NotFoundError: It is no number, or of no version that is here.
    """
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise NotFoundError(f"version {said[:40]!r} is no number", hint="versions are 1, 2, 3, …")
    if int(said) not in table.served:
        there = ", ".join(str(number) for number in sorted(table.served))
        raise NotFoundError(f"model {name!r} has no version {int(said)} here", hint=f"there are {there}")
    return int(said)


class Indexed(msgspec.Struct, frozen=True):
    """One line of the repository index."""

    name: str
    version: str
    state: str
    reason: str


def asked_for(data: bytes) -> dict[str, Any]:
    """The object in the body of a request about the repository; an empty body is an empty one."""
    content = parse(data)[0] if data.strip() else {}
    if not isinstance(content, dict) or not isinstance(content.get("ready", False), bool):
        raise DataError("the body is no request to the repository", hint='send {"ready": true}, {} or nothing')
    return content


def index(name: str, ready: Sequence[int], reason: str | None) -> list[Indexed]:
    """The lines of one model.

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
