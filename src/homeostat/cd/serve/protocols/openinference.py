"""Answers of the Open Inference Protocol v2: metadata of a model, and its outputs as JSON or with binary tensors.

Source: https://github.com/open-inference/open-inference-protocol (`inference_rest.md`), and Triton's extension for
binary tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.protocols import binary
from homeostat.cd.serve.protocols.tensors import ACCEPTED, DATATYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from homeostat.cd.serve.protocols.tensors import Wanted
    from homeostat.cd.serve.scoring.dispatch import Answer
    from homeostat.core.model import Signature

RULES = {
    "widening": "every datatype of `accepts` is widened to the column's own; 3.0 narrows to 3, and 3.5 is refused",
    "null": "taken in JSON where `nullable` or `optional`; binary tensors have none; NaN and infinity are refused",
    "unseen_categories": "answered: the model sees a category that training never saw as a missing one",
}
"""How values become those of a column; told in every model's metadata."""

_encode = msgspec.json.Encoder().encode


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


def encode(name: str, champion: int, answer: Answer, wanted: Wanted) -> tuple[bytes, int | None]:
    """The body of the answer, and the length of its JSON object when binary tensors follow it.

    Rows are called as in the log: by their key, else by `id` and, when there are several, `/0`, `/1`, ... behind it.
    """
    several = not isinstance(answer.versions, int)
    buffers: list[bytes] = []
    body = _encode(
        _Answered(
            name,
            str(champion if several else answer.versions),
            answer.request,
            [_output(output, answer, buffers if packed else None) for output, packed in wanted.outputs],
            {"versions": " ".join(map(str, answer.by_row()))} if several else None,
        )
    )
    return (b"".join([body, *buffers]), len(body)) if buffers else (body, None)


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


def _output(output: str, answer: Answer, buffers: list[bytes] | None) -> _Output:
    signature, scores, n = answer.signature, answer.scores, len(answer.ids)
    is_label = output == signature.outputs[0]
    datatype = label_type(signature) if is_label else "FP64"
    shape = [n] if is_label else [n, len(signature.classes or ())]
    if buffers is not None:
        buffers.append(binary.write(datatype, scores.values if is_label else scores.array))
        return _Output(output, datatype, shape, None, {"binary_data_size": len(buffers[-1])})
    if is_label:
        return _Output(output, datatype, shape, scores.values)
    return _Output(output, datatype, shape, scores.rows[0] if n == 1 else scores.array.ravel().tolist())
