"""The Open Inference Protocol v2: tensors in, as JSON or with binary tensors, and a model's outputs as either.

Source: https://github.com/open-inference/open-inference-protocol (`inference_rest.md`), and Triton's extension for
binary tensors.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.http.replies import Reply, encode
from homeostat.cd.serve.protocols import binary
from homeostat.cd.serve.protocols.openapi import TEXT, Schema, an_object, post, reference
from homeostat.cd.serve.protocols.protocol import CompiledProtocol, GoldenRequest, Protocol
from homeostat.cd.serve.protocols.tensors import ACCEPTED, DATATYPES, TensorDecoder
from homeostat.cd.serve.rows import Rows, row_decoder
from homeostat.core.errors import DataError
from homeostat.core.table.ids import LONGEST_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from homeostat.cd.serve.protocols.protocol import Headers
    from homeostat.cd.serve.protocols.tensors import Outputs
    from homeostat.cd.serve.scoring.dispatch import Answer
    from homeostat.core.model import Signature
    from homeostat.core.schema import Column

RULES = {
    "widening": "every datatype of `accepts` is widened to the column's own; 3.0 narrows to 3, and 3.5 is refused",
    "null": "taken in JSON where `nullable` or `optional`; binary tensors have none; NaN and infinity are refused",
    "unseen_categories": "answered: the model sees a category that training never saw as a missing one",
}
"""How values become those of a column; told in every model's metadata."""

BINARY = b"application/octet-stream"


class _Output(msgspec.Struct, omit_defaults=True, gc=False):
    """A tensor of an answer; without `data` when its values are binary."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _Answered(msgspec.Struct, omit_defaults=True, gc=False):
    model_name: str
    model_version: str
    id: str
    outputs: list[_Output]
    parameters: dict[str, Any] | None = None


def _compile(signature: Signature) -> CompiledProtocol:
    return CompiledProtocol(
        partial(_decode, TensorDecoder(row_decoder(signature), signature)), partial(_encode, signature)
    )


def _decode(tensors: TensorDecoder, body: bytes, headers: Headers) -> Rows:
    """The rows of an inference request, and which outputs it wants."""
    if binary.HEADER not in headers:
        return tensors.json(body)
    return tensors.binary(body, binary.header_length(headers.items()) or 0)


def _encode(signature: Signature, name: str, answer: Answer, wanted: Outputs) -> Reply:
    """The outputs as tensors; binary ones follow the JSON object.

    Rows are called as in the log: by their key, else by `id` and, when there are several, `/0`, `/1`, ... behind it.
    """
    several = not isinstance(answer.versions, int)
    buffers: list[bytes] = []
    body = encode(
        _Answered(
            name,
            str(answer.champion if several else answer.versions),
            answer.request,
            [_output(output, signature, answer, buffers if packed else None) for output, packed in wanted],
            {"versions": " ".join(map(str, answer.by_row()))} if several else None,
        )
    )
    if not buffers:
        return Reply(200, body)
    headers = ((binary.HEADER, b"%d" % len(body)),)
    return Reply(200, b"".join([body, *buffers]), content_type=BINARY, headers=headers)


def _write(rows: Sequence[Mapping[str, Any]], signature: Signature) -> tuple[bytes, Headers]:
    return encode({"inputs": [_tensor(column, rows) for column in signature.inputs]}), {}


def _write_binary(rows: Sequence[Mapping[str, Any]], signature: Signature) -> tuple[bytes, Headers]:
    inputs, parts = [], []
    for column in signature.inputs:
        tensor = _tensor(column, rows)
        if None not in tensor["data"]:  # there is no null in bytes
            parts.append(binary.write(tensor["datatype"], tensor.pop("data")))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        inputs.append(tensor)
    head = encode({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return head + b"".join(parts), {binary.HEADER: b"%d" % len(head)}


def _tensor(column: Column, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [row.get(column.name) for row in rows]
    return {"name": column.name, "datatype": DATATYPES[column.kind], "shape": [len(rows)], "data": values}


def _read(body: bytes, _: Headers, signature: Signature) -> tuple[list[Any], list[Any] | None]:
    return _by_row([output["data"] for output in msgspec.json.decode(body)["outputs"]], signature)


def _read_binary(body: bytes, headers: Headers, signature: Signature) -> tuple[list[Any], list[Any] | None]:
    if (size := binary.header_length(headers.items())) is None:
        raise DataError("it is JSON where bytes were asked for")
    answer, rest = binary.split(body, size)
    outputs = msgspec.json.decode(answer)["outputs"]
    parts = binary.cut(rest, [(one["name"], one["parameters"]["binary_data_size"]) for one in outputs])
    read = [
        binary.read(one["name"], one["datatype"], one["shape"], data) for one, data in zip(outputs, parts, strict=True)
    ]
    return _by_row([one if isinstance(one, list) else one.tolist() for one in read], signature)


def _by_row(outputs: list[list[Any]], signature: Signature) -> tuple[list[Any], list[Any] | None]:
    """The value of each row from the first output, and its scores from the last."""
    values, flat = outputs[0], outputs[-1]
    if signature.classes is None:
        return values, None
    width = len(flat) // max(1, len(values))
    return values, [flat[place * width : (place + 1) * width] for place in range(len(values))]


def metadata(name: str, versions: Sequence[int], signature: Signature, platform: str) -> dict[str, Any]:
    """The body of `GET /v2/models/{name}`."""
    inputs = [
        {
            "name": column.name,
            "datatype": DATATYPES[column.kind],
            "shape": [-1],
            "parameters": {
                "kind": column.kind,
                "nullable": column.nullable,
                "optional": column.name in signature.key,
                "accepts": " ".join(ACCEPTED[column.kind]),
            },
        }
        for column in signature.inputs
    ]
    outputs = []
    for output in signature.outputs:
        score = output == signature.outputs[-1] and signature.classes is not None
        described: dict[str, Any] = {
            "name": output,
            "datatype": "FP64" if score else label_type(signature),
            "shape": [-1],
        }
        if score and signature.classes is not None:
            described |= {"shape": [-1, len(signature.classes)], "parameters": {"classes": list(signature.classes)}}
        outputs.append(described)
    return {
        "name": name,
        "versions": [str(number) for number in versions],
        "platform": f"homeostat_{platform}",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": RULES,
    }


def label_type(signature: Signature) -> str:
    """Datatype of the predicted values."""
    if signature.classes is None:
        return "FP64"
    first = signature.classes[0]
    if isinstance(first, bool):
        return "BOOL"
    return "INT64" if isinstance(first, int) else "FP64" if isinstance(first, float) else "BYTES"


def _output(output: str, signature: Signature, answer: Answer, buffers: list[bytes] | None) -> _Output:
    scores, n = answer.scores, len(answer.ids)
    is_label = output == signature.outputs[0]
    datatype = label_type(signature) if is_label else "FP64"
    shape = [n] if is_label else [n, len(signature.classes or ())]
    if buffers is not None:
        buffers.append(binary.write(datatype, scores.values if is_label else scores.array))
        return _Output(output, datatype, shape, None, {"binary_data_size": len(buffers[-1])})
    if is_label:
        return _Output(output, datatype, shape, scores.values)
    return _Output(output, datatype, shape, scores.rows[0] if n == 1 else scores.array.ravel().tolist())


def _document(signature: Signature, _: int) -> tuple[Schema, dict[str, Schema]]:
    parameters = {"type": "object"}
    shape = {"type": "array", "items": {"type": "integer"}}
    datatype = {"enum": ["BOOL", *ACCEPTED["number"], "BYTES"]}
    tensor = an_object(name=TEXT, shape=shape, datatype=datatype)
    tensor["properties"] |= {"data": {"type": ["array", "null"]}, "parameters": parameters}
    wanted = an_object(name=TEXT)
    wanted["properties"]["parameters"] = parameters
    request = an_object(inputs={"type": "array", "items": tensor, "minItems": 1})
    request["properties"] |= {
        "id": {"type": ["string", "null"], "maxLength": LONGEST_ID},
        "parameters": parameters,
        "outputs": {"type": "array", "items": wanted},
    }
    answered = an_object(name=TEXT, datatype=datatype, shape=shape)
    outputs = {"type": "array", "items": answered}
    response = an_object(model_name=TEXT, model_version=TEXT, id=TEXT, outputs=outputs)
    item = post("Predict tensors", reference("InferRequest"), reference("InferResponse"))
    for side in (item["post"]["requestBody"], item["post"]["responses"]["200"]):
        side["content"][BINARY.decode()] = {"schema": {"type": "string", "format": "binary"}}
    item["post"]["description"] = "; ".join(
        f"{column.name}: {DATATYPES[column.kind]}" + (" or null" if column.nullable else "")
        for column in signature.inputs
    )
    return item, {"InferRequest": request, "InferResponse": response}


OPEN_INFERENCE = Protocol(
    route="/v2/infer",
    paths=("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"),
    compile=_compile,
    golden={"v2": GoldenRequest(_write, _read), "binary": GoldenRequest(_write_binary, _read_binary)},
    document=_document,
)
