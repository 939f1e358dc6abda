"""Homeostat's own protocol: rows as JSON objects, and for each its id, value, version and scores."""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.http.replies import Reply, encode
from homeostat.cd.serve.protocols.openapi import ID, TEXT, Schema, an_object, label_schema, post, reference, rows_schema
from homeostat.cd.serve.protocols.protocol import CompiledProtocol, GoldenRequest, Protocol
from homeostat.cd.serve.rows import RowDecoder, Rows, row_decoder
from homeostat.core.ports import RowAnswer
from homeostat.core.table.ids import LONGEST_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from homeostat.cd.serve.protocols.protocol import Headers
    from homeostat.cd.serve.scoring.dispatch import Answer
    from homeostat.core.model import Signature


class _Predicted(msgspec.Struct):
    request: str
    model: str
    predictions: list[RowAnswer]


_second = itemgetter(1)


def _compile(signature: Signature) -> CompiledProtocol:
    return CompiledProtocol(partial(_decode, row_decoder(signature)), partial(_encode, signature.classes))


def _decode(decoder: RowDecoder, body: bytes, _: Headers) -> Rows:
    return decoder.body(body)


def _encode(classes: Sequence[Any] | None, name: str, answer: Answer, _: Any) -> Reply:
    scores = answer.scores
    columns: list[Any] = [answer.ids, scores.values, answer.by_row()]
    if classes is not None and len(classes) == 2:
        columns.append(list(map(_second, scores.lists)) if scores.lists else scores.array[:, 1].tolist())
    elif classes is not None:
        names = [str(value) for value in classes]
        probabilities = [dict(zip(names, row, strict=True)) for row in scores.rows]
        columns += [[None] * len(answer.ids), probabilities]
    return Reply(200, encode(_Predicted(answer.request, name, list(map(RowAnswer, *columns)))))


def _write(rows: Sequence[Mapping[str, Any]], _: Signature) -> tuple[bytes, Headers]:
    return encode({"records": rows}), {}


def _read(body: bytes, _: Headers, signature: Signature) -> tuple[list[Any], list[list[float]] | None]:
    lines = msgspec.json.decode(body)["predictions"]
    values, classes = [line["value"] for line in lines], signature.classes
    if classes is None:
        return values, None
    if len(classes) == 2:
        return values, [[1.0 - line["score"], line["score"]] for line in lines]
    return values, [[line["probabilities"][str(name)] for name in classes] for line in lines]


def _document(signature: Signature, most_rows: int) -> tuple[Schema, dict[str, Schema]]:
    rows = rows_schema(most_rows)
    ids = {"type": ["array", "null"], "items": ID, "minItems": 1, "maxItems": most_rows}
    ids["description"] = "As many as records."
    records = {**an_object(records=rows), "additionalProperties": False}
    records["properties"] |= {"id": {"type": ["string", "null"], "maxLength": LONGEST_ID}, "ids": ids}
    prediction = an_object(id=TEXT, value=label_schema(signature), version={"type": "integer"})
    prediction["properties"] |= {
        "score": {"type": "number", "description": "Of the second of two classes."},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
    }
    predictions = {"type": "array", "items": prediction}
    schemas = {
        "Predict": {"anyOf": [reference("Row"), rows, records]},
        "Predictions": an_object(request=TEXT, model=TEXT, predictions=predictions),
    }
    return post("Predict rows", reference("Predict"), reference("Predictions")), schemas


RECORDS = Protocol(
    route="/predict",
    paths=("/predict", "/predict/{name}"),
    compile=_compile,
    golden={"records": GoldenRequest(_write, _read)},
    document=_document,
)
