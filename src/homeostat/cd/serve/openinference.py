"""The Open Inference Protocol v2 over JSON: tensors in, tensors out, one tensor per column.

Source: https://github.com/open-inference/open-inference-protocol (`inference_rest.md`). A column is a tensor of shape
`[n]` or `[n, 1]`; texts and times are `BYTES`. null is allowed in `data` where the schema saw nulls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.decode import RowDecoder, Rows, RowsError, parse
from homeostat.core.errors import DataError
from homeostat.core.spec import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.cd.serve.answer import Answer
    from homeostat.core.model import Signature

DATATYPES = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "category": "BYTES",
    "text": "BYTES",
    "time": "BYTES",
}
_WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_REAL = frozenset({"FP16", "FP32", "FP64"})
_ACCEPTED = {
    "number": _WHOLE | _REAL,
    "integer": _WHOLE | _REAL,
    "boolean": frozenset({"BOOL"}),
    "category": frozenset({"BYTES"}),
    "text": frozenset({"BYTES"}),
    "time": frozenset({"BYTES"}),
}


class Tensor(msgspec.Struct):
    """One named tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct):
    """A tensor that the caller wants back."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """The body of `POST /v2/models/{name}/infer`."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[RequestedOutput] = []


_HINT = 'send {"inputs": [{"name": ..., "shape": [n], "datatype": ..., "data": [...]}, ...]}'
_decoder = msgspec.json.Decoder(InferRequest)


def decode(data: bytes, decoder: RowDecoder, signature: Signature) -> tuple[Rows, tuple[str, ...]]:
    """The rows of an inference request, and the outputs that are wanted.

    Raises:
        RowsError: Values do not fit; names row and column.
        DataError: The body is no inference request; names the tensor.
    """
    finite = True
    try:
        request = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        content, finite = parse(data)
        try:
            request = msgspec.convert(content, InferRequest)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise DataError(f"the body is no inference request: {error}", hint=_HINT) from error
    columns = _columns(request.inputs, decoder)
    names, values = list(columns), zip(*columns.values(), strict=True)
    rows = decoder.rows([dict(zip(names, row, strict=True)) for row in values], finite=finite)
    wanted = tuple(output.name for output in request.outputs) or signature.outputs
    unknown = [name for name in wanted if name not in signature.outputs]
    if unknown:
        raise DataError(f"there is no output {unknown[0]!r}", hint=did_you_mean(unknown[0], signature.outputs))
    return Rows(rows, request.id), wanted


def encode(name: str, champion: int, answer: Answer, wanted: Sequence[str]) -> bytes:
    """The body of the answer."""
    signature, n = answer.signature, len(answer.ids)
    versions = set(answer.versions)
    outputs = [_output(output, signature, answer.scored, n) for output in wanted]
    body = {
        "model_name": name,
        "model_version": str(versions.pop() if len(versions) == 1 else champion),
        "id": answer.request,
        "parameters": {"ids": answer.ids, "versions": answer.versions},
        "outputs": outputs,
    }
    return msgspec.json.encode(body)


def metadata(name: str, versions: Sequence[int], signature: Signature, platform: str) -> dict[str, Any]:
    """The body of `GET /v2/models/{name}`."""
    inputs = [
        {
            "name": column.name,
            "datatype": DATATYPES[column.kind],
            "shape": [-1],
            "parameters": {"kind": column.kind, "nullable": column.nullable, "optional": column.name in signature.key},
        }
        for column in signature.inputs
    ]
    outputs = []
    for output in signature.outputs:
        score = output == signature.outputs[-1] and signature.classes is not None
        described: dict[str, Any] = {
            "name": output,
            "datatype": "FP64" if score else _label_type(signature),
            "shape": [-1],
        }
        if score and signature.classes is not None:
            described |= {"shape": [-1, len(signature.classes)], "parameters": {"classes": list(signature.classes)}}
        outputs.append(described)
    return {
        "name": name,
        "versions": [str(version) for version in versions],
        "platform": f"homeostat_{platform}",
        "inputs": inputs,
        "outputs": outputs,
    }


def _columns(tensors: list[Tensor], decoder: RowDecoder) -> dict[str, list[Any]]:
    if not tensors:
        raise DataError("the request has no inputs", hint="send one tensor per column")
    kinds = decoder.kinds
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if tensor.name in columns:
            raise DataError(f"input {tensor.name!r} is there twice")
        kind = kinds.get(tensor.name)
        if kind is None:
            raise DataError(f"input {tensor.name!r} is unexpected", hint=did_you_mean(tensor.name, decoder.names))
        if tensor.datatype not in _ACCEPTED[kind]:
            what = f"input {tensor.name!r} has the datatype {tensor.datatype[:20]!r}, and holds {kind} values"
            raise DataError(what, hint=f"send {DATATYPES[kind]}")
        columns[tensor.name] = _values(tensor)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the inputs have different numbers of rows: {dict(list(lengths.items())[:8])}")
    return columns


def _values(tensor: Tensor) -> list[Any]:
    shape, data = tensor.shape, tensor.data
    if data and shape == [len(data)] and not isinstance(data[0], list):
        return data
    if not shape or any(size < 0 for size in shape) or len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise DataError(f"input {tensor.name!r} has the shape {shape[:8]}", hint="a column has the shape [n] or [n, 1]")
    if data and isinstance(data[0], list):
        if not all(isinstance(item, list) and len(item) == 1 for item in data):
            raise DataError(f"input {tensor.name!r} is nested, and not every row has exactly one value")
        data = [item[0] for item in data]
    if len(data) != shape[0]:
        raise DataError(f"input {tensor.name!r} has the shape {shape} and {len(data)} values")
    return data


def _output(output: str, signature: Signature, scored: list[list[Any]], n: int) -> dict[str, Any]:
    if output == signature.outputs[0]:
        values = [one[0] for one in scored]
        return {"name": output, "datatype": _label_type(signature), "shape": [n], "data": values}
    flat = [score for one in scored for score in one[1:]]
    return {"name": output, "datatype": "FP64", "shape": [n, len(signature.classes or ())], "data": flat}


def _label_type(signature: Signature) -> str:
    if signature.classes is None:
        return "FP64"
    first = signature.classes[0]
    if isinstance(first, bool):
        return "BOOL"
    return "INT64" if isinstance(first, int) else "FP64" if isinstance(first, float) else "BYTES"


__all__ = ["DATATYPES", "InferRequest", "RowsError", "Tensor", "decode", "encode", "metadata"]
