"""MLflow's scoring protocol: the bodies that `POST /invocations` takes, turned into plain rows, and its answer.

Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ (`dataframe_split`, `dataframe_records`,
`inputs`, `instances`, CSV). A row is always by name: values without column names are refused, because an order that
changed would be answered wrongly without a word.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.http.replies import Reply, json_reply
from homeostat.cd.serve.protocols.openapi import (
    NUMBERS,
    WORDS,
    Schema,
    an_object,
    label_schema,
    post,
    reference,
    rows_schema,
    value_schemas,
)
from homeostat.cd.serve.protocols.protocol import CompiledProtocol, GoldenRequest, Protocol
from homeostat.cd.serve.rows import Problem, RowDecoder, Rows, refuse, row_decoder
from homeostat.core.errors import DataError
from homeostat.core.table.spec import did_you_mean
from homeostat.core.text.read_json import parse
from homeostat.core.values import LONGEST_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from homeostat.cd.serve.protocols.protocol import Headers
    from homeostat.cd.serve.scoring.dispatch import Answer
    from homeostat.core.model import Signature

FORMATS = ("dataframe_split", "dataframe_records", "inputs", "instances")

_TRUTHS = {"true": True, "false": False}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
_MOST_DIGITS = 4_000
csv.field_size_limit(LONGEST_TEXT)


class _Invoked(msgspec.Struct):
    """One value per row, and beside them the rows' ids, which labels refer to, and their versions."""

    predictions: list[Any]
    ids: list[str]
    versions: list[int]


def _compile(signature: Signature) -> CompiledProtocol:
    return CompiledProtocol(partial(_decode, row_decoder(signature)), _encode)


def _decode(decoder: RowDecoder, body: bytes, headers: Headers) -> Rows:
    return decoder.gathered(decode(body, headers.get(b"content-type", b""), decoder))


def _encode(_: str, answer: Answer, __: Any) -> Reply:
    return json_reply(200, _Invoked(answer.scores.values, answer.ids, answer.by_row()))


def _write(rows: Sequence[Mapping[str, Any]], _: Signature) -> tuple[bytes, Headers]:
    return msgspec.json.encode({"dataframe_records": rows}), {}


def _read_values(body: bytes, _: Headers, __: Signature) -> tuple[list[Any], None]:
    return msgspec.json.decode(body)["predictions"], None


def decode(data: bytes, content_type: bytes, decoder: RowDecoder) -> list[Any]:
    """The rows of a scoring request, of the decoder's type.

    Args:
        data: The body.
        content_type: `text/csv` with the column names in its first line, or JSON.
        decoder: What the rows have to be.

    Raises:
        RowsError: Values do not fit; names row and column.
        DataError: The body is none of the formats.
    """
    if content_type.split(b";")[0].strip().lower() == b"text/csv":
        return decoder.rows(_csv(data, decoder), finite=False)
    content, finite = parse(data)
    given = [name for name in FORMATS if isinstance(content, dict) and name in content]
    if len(given) != 1:
        raise DataError(f"the body has {len(given)} of {', '.join(FORMATS)}", hint='send {"dataframe_split": {...}}')
    spare = sorted(set(content) - {given[0], "params"})
    if spare or content.get("params"):
        what = f"the field {str(spare[0])[:60]!r}" if spare else "params, and this model has none"
        raise DataError(f"the body has {what}", hint=f"send {given[0]} alone")
    read = {"dataframe_split": _split, "inputs": _columns}.get(given[0], _records)
    return decoder.rows(read(given[0], content[given[0]]), finite=finite)


def _records(name: str, content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise DataError(f"{name} is no list", hint="send a list of objects, one per row")
    refuse(
        Problem(place, None, "has values without names; send an object of columns")
        for place, row in enumerate(content)
        if isinstance(row, list)
    )
    return content


def _split(name: str, content: Any) -> list[dict[str, Any]]:
    given = content if isinstance(content, dict) else {}
    columns, data = given.get("columns"), given.get("data")
    if not (isinstance(columns, list) and all(isinstance(column, str) for column in columns)):
        raise DataError(f"{name} has no list of column names", hint='send {"columns": [...], "data": [[...], ...]}')
    if not isinstance(data, list):
        raise DataError(f"{name} has no data", hint='send {"columns": [...], "data": [[...], ...]}')
    if not isinstance(given.get("index", []), list) or set(given) - {"columns", "data", "index"}:
        raise DataError(f"{name} holds something else", hint="send columns, data and, if you like, a list index")
    return _named(columns, data)


def _columns(name: str, content: Any) -> list[Any]:
    if isinstance(content, list):
        return _records(name, content)
    if not (isinstance(content, dict) and content and all(isinstance(values, list) for values in content.values())):
        raise DataError(f"{name} is no object of columns", hint='send {"inputs": {"column": [value, ...], ...}}')
    lengths = {column: len(values) for column, values in content.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns have different numbers of rows: {dict(list(lengths.items())[:8])}")
    plain = [[_single(value) for value in values] for values in content.values()]
    return [dict(zip(content, row, strict=True)) for row in zip(*plain, strict=True)]


def _single(value: Any) -> Any:
    """A column of shape (n, 1) is one of shape (n)."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _named(columns: Sequence[str], data: Sequence[Any]) -> list[dict[str, Any]]:
    if len(set(columns)) < len(columns):
        twice = Counter(columns).most_common(1)[0][0]
        raise DataError(f"column {twice[:60]!r} is there twice")
    width = len(columns)
    refuse(
        Problem(place, None, f"has {len(row) if isinstance(row, list) else 'no list of'} values for {width} columns")
        for place, row in enumerate(data)
        if not isinstance(row, list) or len(row) != width
    )
    return [dict(zip(columns, row, strict=True)) for row in data]


def _csv(data: bytes, decoder: RowDecoder) -> list[dict[str, Any]]:
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the body is no CSV: {error}", hint="send UTF-8, with the column names in the first line"
        ) from error
    if not lines:
        raise DataError("the body is no CSV: it is empty", hint="send the column names in the first line")
    columns = lines[0]
    unknown = [column for column in columns if column not in decoder.by_name]
    if unknown:
        raise DataError(f"column {unknown[0][:60]!r} is unexpected", hint=did_you_mean(unknown[0], decoder.names))
    rows = _named(columns, [line for line in lines[1:] if line])
    readers = {column: _READERS.get(decoder.by_name[column].kind, str) for column in columns}
    return [{column: _read(readers[column], value) for column, value in row.items()} for row in rows]


def _read(reader: Callable[[str], Any], text: str) -> Any:
    """The value of a cell; one that cannot be read stays a text, which the decoder refuses by row and column."""
    try:
        return reader(text) if text else None
    except (ValueError, KeyError):
        return text


def _number(text: str) -> int | float:
    """A number as JSON and every spreadsheet write it; Python itself reads `1_000` and digits of other scripts too."""
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(text)
    return int(text) if text.lstrip("+-").isdigit() and len(text) < _MOST_DIGITS else float(text)


_READERS: dict[str, Callable[[str], Any]] = {
    "number": _number,
    "integer": _number,
    "boolean": lambda text: _TRUTHS[text.lower()],
}


def _document(signature: Signature, most_rows: int) -> tuple[Schema, dict[str, Schema]]:
    rows, columns = rows_schema(most_rows), value_schemas(signature)
    row = {"type": "array", "prefixItems": list(columns.values()), "items": False, "minItems": len(columns)}
    split = an_object(columns={"const": list(columns)}, data={"type": "array", "items": row, "minItems": 1})
    split["properties"]["index"] = {"type": "array"}
    by_column = an_object(**{name: {"type": "array", "items": one} for name, one in columns.items()})
    by_column |= {"additionalProperties": False, "description": "All of the same length."}
    bodies = {
        "dataframe_split": {**split, "additionalProperties": False},
        "dataframe_records": rows,
        "instances": rows,
        "inputs": {"anyOf": [rows, by_column]},
    }
    labels = {"type": "array", "items": label_schema(signature)}
    schemas = {
        "Invocation": {
            "anyOf": [{**an_object(**{key: one}), "additionalProperties": False} for key, one in bodies.items()]
        },
        "Invoked": an_object(predictions=labels, ids=WORDS, versions=NUMBERS),
    }
    item = post("Predict, as MLflow asks", reference("Invocation"), reference("Invoked"))
    item["post"]["requestBody"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    return item, schemas


MLFLOW = Protocol(
    route="/invocations",
    paths=("/invocations",),
    compile=_compile,
    golden={"mlflow": GoldenRequest(_write, _read_values)},
    document=_document,
)
