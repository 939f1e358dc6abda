"""The server's OpenAPI document, generated from the signatures of the models that it serves.

Source: https://spec.openapis.org/oas/v3.1.0. Every route, body and error is in it; a row is an object of exactly the
model's columns, so that a generated client, or a fuzzer, knows what fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.protocols.tensors import DATATYPES
from homeostat.core.table.ids import LONGEST_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.cd.serve.protocols.protocol import Protocol
    from homeostat.core.model import Signature
    from homeostat.core.schema import Column

Schema = dict[str, Any]

_KINDS: dict[str, Schema] = {
    "number": {"type": "number"},
    "integer": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "boolean": {"type": "boolean"},
    "category": {"type": "string"},
    "text": {"type": "string"},
    "time": {"type": "string", "format": "date-time"},
}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "pattern": "^[^\\u0000]+$"}
_LEAP = r"((17|18|19|20|21)(0[48]|[2468][048]|[13579][26])|16(8[048]|9[26])|22(0[48]|[24][048]|[135][26]|60)|2000)"
_DATE = (
    rf"({_LEAP}-02-29|(1679|16[89]\d|1[7-9]\d\d|2[01]\d\d|22[0-5]\d|2260)-"
    r"((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8])))"
)
_LABEL_TIME: Schema = {
    "type": ["string", "null"],
    "description": "When the label became known, from 1678 to 2261; now, if it is left out.",
    # A format of JSON schemas would allow years that no label has.
    "pattern": rf"^{_DATE}[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{{1,6}})?(Z|[+-](0\d|1[0-3]):[0-5]\d)?$",
}
TEXT: Schema = {"type": "string"}
WORDS: Schema = {"type": "array", "items": TEXT}
NUMBERS: Schema = {"type": "array", "items": {"type": "integer"}}
_ERRORS = {
    "400": "The request does not fit; nothing was predicted or logged.",
    "401": "No token, on a server that needs one.",
    "403": "A web page of another site asks.",
    "404": "There is no such model, version or route.",
    "405": "Not with this method.",
    "408": "The body did not arrive in time.",
    "409": "The request is refused in the present state.",
    "413": "Too many bytes or rows.",
    "415": "The body is encoded in a way that is not taken.",
    "431": "The head of the request is too long.",
    "500": "The model, or `features()`, raised.",
    "503": "No champion yet, no log, too many rows waiting, or the server is leaving.",
    "504": "The caller's deadline passed before the model got to the rows.",
}
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string"},
        "hint": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["row", "column", "message"],
                "properties": {
                    "row": {"type": "integer", "minimum": 0},
                    "column": {"type": ["string", "null"]},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


class Described(msgspec.Struct, frozen=True):
    """A model as callers see it: its name, the versions that can be asked by number, and its contract."""

    name: str
    versions: tuple[int, ...]
    signature: Signature


def document(
    models: Sequence[Described], protocols: Sequence[Protocol], *, version: str, most_rows: int, token: bool
) -> dict[str, Any]:
    """The document. The paths that name no model belong to the first of them."""
    schemas, paths = _schemas(), _health()
    for model in models:
        paths |= _model_paths(model)
    if models:
        first = models[0].signature
        paths["/labels"], schemas["Label"] = _labels(first, most_rows)
        schemas["Row"] = row_schema(first)
    for protocol in protocols:
        asked, described = _asked(protocol, models, most_rows)
        paths |= asked
        schemas |= described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Homeostat", "version": version, "description": "Predictions of a Loop's champion."},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        **({"security": [{"token": []}]} if token else {}),
    }


def row_schema(signature: Signature) -> Schema:
    """One row: exactly the model's columns; those of the key may be left out."""
    return {
        "type": "object",
        "required": [column.name for column in signature.inputs if column.name not in signature.key],
        "properties": value_schemas(signature),
        "additionalProperties": False,
    }


def value_schemas(signature: Signature) -> dict[str, Schema]:
    """The value of each column."""
    return {column.name: _value_schema(column, optional=column.name in signature.key) for column in signature.inputs}


def _value_schema(column: Column, *, optional: bool) -> Schema:
    schema = dict(_KINDS[column.kind])
    if column.nullable or optional:
        schema["type"] = [schema["type"], "null"]
    if column.categories:
        schema["examples"] = list(column.categories[:5])
    return schema


def label_schema(signature: Signature) -> Schema:
    """A predicted value."""
    if signature.classes is None:
        return {"type": "number"}
    return {"enum": list(signature.classes)}


def rows_schema(most_rows: int) -> Schema:
    """A list of rows."""
    return {"type": "array", "items": reference("Row"), "minItems": 1, "maxItems": most_rows}


def _sent_label(signature: Signature) -> Schema:
    """What is taken for a label: 1 and 0 stand for true and false."""
    classes = list(signature.classes or ())
    if any(isinstance(one, bool) for one in classes):
        return {"enum": [*classes, *map(int, classes)]}
    return label_schema(signature)


def _schemas() -> dict[str, Schema]:
    """What is the same for every model."""
    shape = {"type": "array", "items": {"type": "integer"}}
    described = an_object(name=TEXT, datatype={"enum": sorted({*DATATYPES.values()})}, shape=shape)
    tensors = {"type": "array", "items": described}
    return {
        "Error": _ERROR,
        "Judgement": {"type": "object", "required": ["verdict"], "properties": {"verdict": TEXT}},
        "ModelMetadata": an_object(name=TEXT, versions=WORDS, platform=TEXT, inputs=tensors, outputs=tensors),
    }


def _health() -> dict[str, Any]:
    """The routes that are there whether or not a model is."""
    line = an_object(name=TEXT, version=TEXT, state={"enum": ["READY", "UNAVAILABLE"]}, reason=TEXT)
    index = {"type": "array", "items": line}
    live, ready = an_object(live={"type": "boolean"}), an_object(ready={"type": "boolean"})
    asked = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    return {
        "/v2": _get("The server", an_object(name=TEXT, version=TEXT, extensions=WORDS)),
        "/v2/health/live": _get("Whether the server can still answer", live, unready=live),
        "/v2/health/ready": _get("Whether predictions are answered", ready, unready=ready),
        "/v2/repository/index": post("The models and versions that are there", asked, index, required=False),
        "/health": _get("Every problem in words", {"type": "object"}, unready={"type": "object"}),
        "/ping": _get("MLflow's health", ready, unready=ready),
        "/version": _get("The server's version", TEXT, media="text/plain"),
        "/routing": _get("Which versions answer what share", {"type": "object"}),
        "/metrics": _get("Prometheus", TEXT, media="text/plain"),
        "/openapi.json": _get("This document", {"type": "object"}),
        "/judge": _judged(
            _get("What the judge says of the running trial", reference("Judgement"))
            | post("Judge what is sent", {"type": "object"}, reference("Judgement"))
        ),
        "/judge/gate": _judged(_gate()),
    }


def _gate() -> dict[str, Any]:
    item = post("Whether the trial may go on", {"type": "object"}, reference("Judgement"), required=False)
    stop = {"anyOf": [reference("Judgement"), reference("Error")]}
    item["post"]["responses"]["409"] = _response("It may not go on.", stop)
    return item


def _judged(item: dict[str, Any]) -> dict[str, Any]:
    """A route of the judge, which may be asked about any model."""
    model = {"name": "model", "in": "query", "required": False, "schema": {"type": "string"}}
    return {"parameters": [model], **item}


def _labels(signature: Signature, most_rows: int) -> tuple[Schema, Schema]:
    """The path item of labels, and the schema of one."""
    label = an_object(id=ID, label=_sent_label(signature))
    label["properties"]["time"] = _LABEL_TIME
    many = {"type": "array", "items": reference("Label"), "maxItems": most_rows}
    said = {"anyOf": [reference("Label"), many]}
    item = post("Say what became of rows", said, an_object(accepted={"type": "integer"}))
    return item, {**label, "additionalProperties": False}


def _asked(protocol: Protocol, models: Sequence[Described], most_rows: int) -> tuple[dict[str, Any], dict[str, Schema]]:
    """The paths of a protocol, and their schemas; where a path names no model, it is the first one's."""
    alone = [path for path in protocol.paths if "{name}" not in path]
    paths: dict[str, Any] = {}
    schemas: dict[str, Schema] = {}
    for model in models[:1] if alone else models:
        item, described = protocol.document(model.signature, most_rows)
        schemas = described | schemas
        for path in alone or protocol.paths:
            numbered = {"parameters": [_number(model)]} if "{version}" in path else {}
            paths[path.replace("{name}", model.name)] = numbered | item
    return paths, schemas


def _model_paths(model: Described) -> dict[str, Any]:
    base = f"/v2/models/{model.name}"
    ready = an_object(name=TEXT, ready={"type": "boolean"})
    routes = {
        "": _get("What the model takes and gives", reference("ModelMetadata")),
        "/ready": _get("Whether the model answers", ready, unready=ready),
        "/config": _get("The same in Triton's words", {"type": "object"}),
    }
    versioned = {
        f"{base}/versions/{{version}}{tail}": {"parameters": [_number(model)], **item} for tail, item in routes.items()
    }
    done = {"type": "object"}
    change = {
        f"/v2/repository/models/{model.name}/{verb}": post(
            f"{verb.title()} the model", {"type": "object"}, done, required=False
        )
        for verb in ("load", "unload")
    }
    return {f"{base}{tail}": item for tail, item in routes.items()} | versioned | change


def _number(model: Described) -> Schema:
    schema = {"type": "integer", "enum": list(model.versions)}
    return {"name": "version", "in": "path", "required": True, "schema": schema}


def _get(summary: str, schema: Schema, *, media: str = "application/json", unready: Schema | None = None) -> Schema:
    responses = _responses(schema, media, ("401", "403", "404", "405", "503"))
    if unready is not None:
        responses["503"] = _response("Not ready", {"anyOf": [unready, reference("Error")]})
    return {"get": {"summary": summary, "responses": responses}}


def post(summary: str, body: Schema, schema: Schema, *, required: bool = True) -> Schema:
    """A path item that is asked by `POST`."""
    content = {"application/json": {"schema": body}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": required, "content": content},
            "responses": _responses(schema, "application/json", tuple(_ERRORS)),
        }
    }


def _responses(schema: Schema, media: str, errors: Sequence[str]) -> dict[str, Any]:
    failures = {status: _response(_ERRORS[status], reference("Error")) for status in errors}
    return {"200": _response("The answer.", schema, media), **failures}


def _response(description: str, schema: Schema, media: str = "application/json") -> Schema:
    return {"description": description, "content": {media: {"schema": schema}}}


def an_object(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def reference(name: str) -> Schema:
    """One of the document's own schemas."""
    return {"$ref": f"#/components/schemas/{name}"}
