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
_ID: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "pattern": "^[^\\u0000]+$"}
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
_WORDS: Schema = {"type": "array", "items": {"type": "string"}}
_NUMBERS: Schema = {"type": "array", "items": {"type": "integer"}}
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


def document(models: Sequence[Described], *, version: str, most_rows: int, token: bool) -> dict[str, Any]:
    """The document.

    Args:
        models: What is served now; `/predict`, `/labels` and `/invocations` belong to the first.
        version: Of the server.
        most_rows: Rows that one request may have.
        token: Whether every request needs one.
    """
    schemas: dict[str, Schema] = {"Error": _ERROR, **_protocol()}
    paths = _health()
    for model in models:
        paths |= _model_paths(model)
    if models:
        schemas |= _model_schemas(models[0].signature, most_rows)
        paths |= _first_paths(most_rows)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Homeostat", "version": version, "description": "Predictions of a Loop's champion."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        **({"security": [{"token": []}]} if token else {}),
    }


def row_schema(signature: Signature) -> Schema:
    """One row: exactly the model's columns; those of the key may be left out."""
    return {
        "type": "object",
        "required": [column.name for column in signature.inputs if column.name not in signature.key],
        "properties": {c.name: _value_schema(c, optional=c.name in signature.key) for c in signature.inputs},
        "additionalProperties": False,
    }


def _value_schema(column: Column, *, optional: bool) -> Schema:
    schema = dict(_KINDS[column.kind])
    if column.nullable or optional:
        schema["type"] = [schema["type"], "null"]
    if column.categories:
        schema["examples"] = list(column.categories[:5])
    return schema


def _label_schema(signature: Signature) -> Schema:
    if signature.classes is None:
        return {"type": "number"}
    return {"enum": list(signature.classes)}


def _model_schemas(signature: Signature, most_rows: int) -> dict[str, Schema]:
    rows = {"type": "array", "items": _reference("Row"), "minItems": 1, "maxItems": most_rows}
    ids = {"type": "array", "items": _ID, "minItems": 1, "maxItems": most_rows}
    records = {
        "type": "object",
        "required": ["records"],
        "properties": {
            "records": rows,
            "id": {"type": ["string", "null"], "maxLength": LONGEST_ID},
            "ids": {**ids, "description": "As many as records.", "type": ["array", "null"]},
        },
        "additionalProperties": False,
    }
    prediction = {
        "type": "object",
        "required": ["id", "value", "version"],
        "properties": {
            "id": {"type": "string"},
            "value": _label_schema(signature),
            "version": {"type": "integer"},
            "score": {"type": "number", "description": "Of the second of two classes."},
            "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    }
    return {
        "Row": row_schema(signature),
        "Predict": {"anyOf": [_reference("Row"), rows, records]},
        "Predictions": _object(
            request={"type": "string"}, model={"type": "string"}, predictions={"type": "array", "items": prediction}
        ),
        "Invocation": {
            "anyOf": [
                {**_object(dataframe_split=_split_schema(signature)), "additionalProperties": False},
                {**_object(dataframe_records=rows), "additionalProperties": False},
                {**_object(instances=rows), "additionalProperties": False},
                {**_object(inputs={"anyOf": [rows, _columns_schema(signature)]}), "additionalProperties": False},
            ]
        },
        "Invoked": _object(
            predictions={"type": "array", "items": _label_schema(signature)}, ids=_WORDS, versions=_NUMBERS
        ),
        "Label": {
            "type": "object",
            "required": ["id", "label"],
            "properties": {
                "id": _ID,
                "label": _sent_label(signature),
                "time": _LABEL_TIME,
            },
            "additionalProperties": False,
        },
    }


def _sent_label(signature: Signature) -> Schema:
    """What is taken for a label: 1 and 0 stand for true and false."""
    classes = list(signature.classes or ())
    if any(isinstance(one, bool) for one in classes):
        return {"enum": [*classes, *map(int, classes)]}
    return _label_schema(signature)


def _split_schema(signature: Signature) -> Schema:
    names = [column.name for column in signature.inputs]
    cells = [_value_schema(column, optional=column.name in signature.key) for column in signature.inputs]
    row = {"type": "array", "prefixItems": cells, "items": False, "minItems": len(cells)}
    split = _object(columns={"const": names}, data={"type": "array", "items": row, "minItems": 1})
    split["properties"]["index"] = {"type": "array"}
    return {**split, "additionalProperties": False}


def _columns_schema(signature: Signature) -> Schema:
    columns = {
        column.name: {"type": "array", "items": _value_schema(column, optional=column.name in signature.key)}
        for column in signature.inputs
    }
    return {**_object(**columns), "additionalProperties": False, "description": "All of the same length."}


def _protocol() -> dict[str, Schema]:
    """The bodies of the Open Inference Protocol, which are the same for every model."""
    parameters = {"type": "object"}
    shape = {"type": "array", "items": {"type": "integer"}}
    datatype = {"enum": ["BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]}
    datatype["enum"] += ["FP16", "BF16", "FP32", "FP64", "BYTES"]
    tensor = _object(name={"type": "string"}, shape=shape, datatype=datatype)
    tensor["properties"] |= {"data": {"type": ["array", "null"]}, "parameters": parameters}
    wanted = _object(name={"type": "string"})
    wanted["properties"]["parameters"] = parameters
    request = _object(inputs={"type": "array", "items": tensor, "minItems": 1})
    request["properties"] |= {
        "id": {"type": ["string", "null"], "maxLength": LONGEST_ID},
        "parameters": parameters,
        "outputs": {"type": "array", "items": wanted},
    }
    described = _object(name={"type": "string"}, datatype=datatype, shape=shape)
    answered = _object(name={"type": "string"}, datatype=datatype, shape=shape)
    return {
        "InferRequest": request,
        "InferResponse": _object(
            model_name={"type": "string"},
            model_version={"type": "string"},
            id={"type": "string"},
            outputs={"type": "array", "items": answered},
        ),
        "Judgement": {"type": "object", "required": ["verdict"], "properties": {"verdict": {"type": "string"}}},
        "ModelMetadata": _object(
            name={"type": "string"},
            versions=_WORDS,
            platform={"type": "string"},
            inputs={"type": "array", "items": described},
            outputs={"type": "array", "items": described},
        ),
    }


def _health() -> dict[str, Any]:
    """The routes that are there whether or not a model is."""
    index = {
        "type": "array",
        "items": _object(
            name={"type": "string"},
            version={"type": "string"},
            state={"enum": ["READY", "UNAVAILABLE"]},
            reason={"type": "string"},
        ),
    }
    live, ready = _object(live={"type": "boolean"}), _object(ready={"type": "boolean"})
    asked = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    return {
        "/v2": _get("The server", _object(name={"type": "string"}, version={"type": "string"}, extensions=_WORDS)),
        "/v2/health/live": _get("Whether the server can still answer", live, unready=live),
        "/v2/health/ready": _get("Whether predictions are answered", ready, unready=ready),
        "/v2/repository/index": _post("The models and versions that are there", asked, index, required=False),
        "/health": _get("Every problem in words", {"type": "object"}, unready={"type": "object"}),
        "/ping": _get("MLflow's health", ready, unready=ready),
        "/version": _get("The server's version", {"type": "string"}, media="text/plain"),
        "/routing": _get("Which versions answer what share", {"type": "object"}),
        "/metrics": _get("Prometheus", {"type": "string"}, media="text/plain"),
        "/openapi.json": _get("This document", {"type": "object"}),
        "/judge": _judged(
            _get("What the judge says of the running trial", _reference("Judgement"))
            | _post("Judge what is sent", {"type": "object"}, _reference("Judgement"))
        ),
        "/judge/gate": _judged(_gate()),
    }


def _gate() -> dict[str, Any]:
    item = _post("Whether the trial may go on", {"type": "object"}, _reference("Judgement"), required=False)
    stop = {"anyOf": [_reference("Judgement"), _reference("Error")]}
    item["post"]["responses"]["409"] = _response("It may not go on.", stop)
    return item


def _judged(item: dict[str, Any]) -> dict[str, Any]:
    """A route of the judge, which may be asked about any model."""
    model = {"name": "model", "in": "query", "required": False, "schema": {"type": "string"}}
    return {"parameters": [model], **item}


def _first_paths(most_rows: int) -> dict[str, Any]:
    labels = {"type": "array", "items": _reference("Label"), "maxItems": most_rows}
    invoked = _post("Predict, as MLflow asks", _reference("Invocation"), _reference("Invoked"))
    invoked["post"]["requestBody"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    return {
        "/predict": _post("Predict rows", _reference("Predict"), _reference("Predictions")),
        "/labels": _post(
            "Say what became of rows",
            {"anyOf": [_reference("Label"), labels]},
            _object(accepted={"type": "integer"}),
        ),
        "/invocations": invoked,
    }


def _model_paths(model: Described) -> dict[str, Any]:
    base = f"/v2/models/{model.name}"
    infer = _post("Predict tensors", _reference("InferRequest"), _reference("InferResponse"))
    for side in (infer["post"]["requestBody"], infer["post"]["responses"]["200"]):
        side["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    infer["post"]["description"] = "; ".join(
        f"{column.name}: {DATATYPES[column.kind]}" + (" or null" if column.nullable else "")
        for column in model.signature.inputs
    )
    ready = _object(name={"type": "string"}, ready={"type": "boolean"})
    routes = {
        "": _get("What the model takes and gives", _reference("ModelMetadata")),
        "/ready": _get("Whether the model answers", ready, unready=ready),
        "/config": _get("The same in Triton's words", {"type": "object"}),
        "/infer": infer,
    }
    number = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "enum": list(model.versions)},
    }
    versioned = {
        f"{base}/versions/{{version}}{tail}": {"parameters": [number], **item} for tail, item in routes.items()
    }
    done = {"type": "object"}
    change = {
        f"/v2/repository/models/{model.name}/{verb}": _post(
            f"{verb.title()} the model", {"type": "object"}, done, required=False
        )
        for verb in ("load", "unload")
    }
    return {f"{base}{tail}": item for tail, item in routes.items()} | versioned | change


def _get(summary: str, schema: Schema, *, media: str = "application/json", unready: Schema | None = None) -> Schema:
    responses = _responses(schema, media, ("401", "403", "404", "405", "503"))
    if unready is not None:
        responses["503"] = _response("Not ready", {"anyOf": [unready, _reference("Error")]})
    return {"get": {"summary": summary, "responses": responses}}


def _post(summary: str, body: Schema, schema: Schema, *, required: bool = True) -> Schema:
    content = {"application/json": {"schema": body}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": required, "content": content},
            "responses": _responses(schema, "application/json", tuple(_ERRORS)),
        }
    }


def _responses(schema: Schema, media: str, errors: Sequence[str]) -> dict[str, Any]:
    failures = {status: _response(_ERRORS[status], _reference("Error")) for status in errors}
    return {"200": _response("The answer.", schema, media), **failures}


def _response(description: str, schema: Schema, media: str = "application/json") -> Schema:
    return {"description": description, "content": {media: {"schema": schema}}}


def _object(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
