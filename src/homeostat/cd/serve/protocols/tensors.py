"""Requests of the Open Inference Protocol v2, decoded by a decoder that is compiled from a model's input columns.

Source: https://github.com/open-inference/open-inference-protocol (`inference_rest.md`), and Triton's extension for
binary tensors. A column is a tensor of shape `[n]` or `[n, 1]`; texts and times are `BYTES`. null is allowed in `data`
where the schema saw nulls.
"""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union

import msgspec
import numpy as np

from homeostat.cd.serve.protocols import binary
from homeostat.cd.serve.rows import (
    FEW,
    Problem,
    RowDecoder,
    Rows,
    RowsError,
    column_type,
    refuse,
    refuse_texts,
    suspicious,
)
from homeostat.core.errors import DataError
from homeostat.core.table.spec import did_you_mean
from homeostat.core.text.read_json import (
    FEW_BYTES,
    count_quotes,
    nulls_among,
    parse,
    quotes_of,
    refuse_crowd,
    refuse_twice,
)
from homeostat.core.values import EXACT, LONGEST_TEXT, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from homeostat.core.model import Signature
    from homeostat.core.schema import Column

    Outputs = tuple[tuple[str, bool], ...]
    """How the answer is wanted: output name, and whether as bytes."""

DATATYPES = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "category": "BYTES",
    "text": "BYTES",
    "time": "BYTES",
}
_NUMBERS = ("FP64", "FP32", "FP16", "BF16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
ACCEPTED = {
    "number": _NUMBERS,
    "integer": _NUMBERS,
    "boolean": ("BOOL",),
    "category": ("BYTES",),
    "text": ("BYTES",),
    "time": ("BYTES",),
}
_MOST_LAYOUTS = 64
_SIZE_ALONE = {"binary_data_size"}
_OF_REQUEST, _OF_TENSOR = 2, 12
"""Quotes of `"inputs"`, and of a tensor's name, shape, datatype and data."""
_HINT = 'send {"inputs": [{"name": ..., "shape": [n], "datatype": ..., "data": [...]}, ...]}'


class Tensor(msgspec.Struct):
    """One named tensor of a request; without `data` when its values are binary."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
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


class _Layout(NamedTuple):
    """Tensors in one order.

    Attributes:
        arrange: Brings their data, and a column of nulls behind it, into the order of a row's values.
        nullable: Places of those texts that may be null.
    """

    arrange: Callable[[list[Any]], Any]
    texts: int
    nullable: tuple[int, ...]


_data, _shape = attrgetter("data"), attrgetter("shape")
_moments = msgspec.json.Decoder(list[datetime])
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(InferRequest)


class TensorDecoder:
    """The decoder of one model's inference requests.

    Args:
        rows: The decoder of its rows.
        signature: What it takes and gives.
    """

    def __init__(self, rows: RowDecoder, signature: Signature) -> None:
        self._rows, self._signature = rows, signature
        kinds = [_tensor_type(place, column) for place, column in enumerate(rows.columns)]
        self._layouts: dict[tuple[type[Any], ...], _Layout] = {}
        by_name = {column.name: kind for kind, column in zip(kinds, rows.columns, strict=True)}
        self._order = [by_name[name] for name in rows.order]
        # Whether a text may be null, of those that are texts.
        self._texts = {by_name[one.name]: one.nullable for one in rows.columns if DATATYPES[one.kind] == "BYTES"}
        self._optional = {by_name[name] for name in rows.optional if name in by_name}
        request = msgspec.defstruct(
            "Request",
            [
                ("inputs", list[Union[tuple(kinds)]]),  # type: ignore[misc]  # noqa: UP007
                ("id", str | None, None),
                ("parameters", dict[str, Any] | None, None),
                ("outputs", list[RequestedOutput] | None, None),
            ],
            gc=False,
        )
        self._typed: msgspec.json.Decoder[Any] = msgspec.json.Decoder(request)
        self._all = tuple((name, False) for name in signature.outputs)

    def json(self, data: bytes) -> Rows:
        """The rows of a request in JSON, with the outputs that are wanted.

        Raises:
            RowsError: Values do not fit; names row and column.
            DataError: The body is no inference request; names the tensor.
        """
        try:
            request = self._typed.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._slow(data)
        rows = self._quick(request, data)
        return self._slow(data) if rows is None else self._told(rows, request)

    def binary(self, body: bytes, length: int) -> Rows:
        """The same for a JSON object of `length` bytes with binary tensors behind it; 0 for one raw tensor alone.

        Raises:
            RowsError: Values do not fit; names row and column.
            DataError: The body is no inference request; names the tensor.
        """
        if length == 0:
            return self._raw(body)
        head, rest = binary.split(body, length)
        request, finite = _read(bytes(head))
        packed = [tensor for tensor in request.inputs if "binary_data_size" in tensor.parameters]
        parts = binary.cut(rest, [(tensor.name, tensor.parameters["binary_data_size"]) for tensor in packed])
        columns: dict[str, Any] = {}
        plain: list[Tensor] = []
        for tensor in request.inputs:
            column = self._column(tensor, columns)
            if "binary_data_size" not in tensor.parameters:
                plain.append(tensor)
                columns[tensor.name] = None
                continue
            _check_shape(tensor)
            values = binary.read(tensor.name, tensor.datatype, tensor.shape, parts.pop(0))
            columns[tensor.name] = _converted(column, values)
        return self._told(self._mixed(columns, plain, finite=finite), request)

    def _raw(self, body: bytes) -> Rows:
        needed = [column for column in self._rows.columns if column.name not in self._rows.optional]
        if len(needed) != 1:
            what = f"a raw body stands for the only input that a model needs, and this one needs {len(needed)}"
            raise DataError(what, hint="send a JSON object in front, and its length in Inference-Header-Content-Length")
        (column,) = needed
        values = _converted(column, binary.raw(column.name, DATATYPES[column.kind], body))
        columns: dict[str, Any] = {name: [None] * len(values) for name in self._rows.names if name != column.name}
        rows = self._gathered(columns | {column.name: values})
        rows.wanted = tuple((name, True) for name in self._signature.outputs)
        return rows

    def _quick(self, request: Any, data: bytes) -> Rows | None:
        """Rows of a request whose values have the right types; None leaves it to the slow way to say what is wrong."""
        tensors = request.inputs
        if not tensors or self._rows.declared:
            return None
        if (b"\\" in data or len(data) > LONGEST_TEXT) and suspicious(data):
            return None
        # Written for speed: everything here is a loop in C.
        lists, shapes, total = list(map(_data, tensors)), list(map(_shape, tensors)), len(tensors)
        count = len(lists[0])
        if shapes.count((count,)) != total or list(map(len, lists)).count(count) != total:
            return None
        kinds = tuple(map(type, tensors))
        layout = self._layouts.get(kinds) or self._learned(kinds)
        if layout is None:
            return None
        quotes = _OF_REQUEST + total * _OF_TENSOR + 4 * (request.id is not None) + 2 * count * layout.texts
        if request.parameters is not None or request.outputs is not None:
            quotes += quotes_of(request.parameters) + quotes_of(request.outputs)
        for place in layout.nullable:
            quotes -= 2 * nulls_among(lists[place])
        if (data.count(b'"') if len(data) < FEW_BYTES else count_quotes(data)) != quotes:
            refuse_twice(data)
        lists.append([None] * count)
        lists = layout.arrange(lists)
        decoder = self._rows
        if count <= FEW:
            row_type = decoder.row_type
            rows = [row_type(*values) for values in zip(*lists, strict=True)]
            return Rows(count, decoder.finish(rows))
        return self._gathered(dict(zip(decoder.order, lists, strict=True)))

    def _learned(self, kinds: tuple[type[Any], ...]) -> _Layout | None:
        """What is known of requests with these tensors; None when a column is missing, or there twice."""
        places = {kind: place for place, kind in enumerate(kinds)}
        missing = set(self._order) - places.keys()
        if len(places) != len(kinds) or not missing <= self._optional:
            return None
        first, *rest = (places.get(kind, len(kinds)) for kind in self._order)
        texts = [place for place, kind in enumerate(kinds) if kind in self._texts]
        layout = _Layout(
            # A single place would give the column alone, a slice gives it in a list.
            itemgetter(first, *rest) if rest else itemgetter(slice(first, first + 1)),
            len(texts),
            tuple(place for place in texts if self._texts[kinds[place]]),
        )
        if len(self._layouts) < _MOST_LAYOUTS:
            self._layouts[kinds] = layout
        return layout

    def _gathered(self, columns: dict[str, Any]) -> Rows:
        """Rows of checked columns."""
        decoder = self._rows
        for name in decoder.times:
            columns[name] = decoder.moments(name, columns[name])
        count = len(columns[decoder.order[0]])
        rows = Rows(count, None, columns)
        return Rows(count, decoder.structs(rows)) if count <= FEW else rows

    def _slow(self, data: bytes) -> Rows:
        request, finite = _read(data)
        columns: dict[str, Any] = {}
        for tensor in request.inputs:
            self._column(tensor, columns)
            columns[tensor.name] = None
        return self._told(self._mixed({}, request.inputs, finite=finite), request)

    def _mixed(self, arrays: dict[str, Any], plain: Sequence[Tensor], *, finite: bool) -> Rows:
        """Rows of checked arrays and of tensors in JSON, which are held against the columns' rules row by row."""
        listed = {tensor.name: _values(tensor) for tensor in plain}
        known = {name: values for name, values in arrays.items() if values is not None}
        lengths = {name: len(values) for name, values in {**known, **listed}.items()}
        if not lengths:
            raise DataError("the request has no inputs", hint=_HINT)
        if len(set(lengths.values())) > 1:
            raise DataError(f"the inputs have different numbers of rows: {dict(list(lengths.items())[:8])}")
        decoder = self._rows
        count = next(iter(lengths.values()))
        if len(known) == len(decoder.names):
            return self._gathered(known)
        # Whatever is not all binary goes through the check of records, which names every row and column.
        columns = {name: _listed(values) for name, values in known.items()} | listed
        records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        rows = decoder.gathered(decoder.rows(records, finite=finite))
        if known and rows.columns is not None and count:
            rows.columns = {**rows.columns, **known}
        return rows

    def _column(self, tensor: Tensor, seen: dict[str, Any]) -> Column:
        """The column that a tensor is.

        Raises:
            DataError: There is none, or it was there before, or has another datatype.
        """
        if tensor.name in seen:
            raise DataError(f"input {tensor.name!r} is there twice")
        column = self._rows.by_name.get(tensor.name)
        if column is None:
            hint = did_you_mean(tensor.name, self._rows.names)
            raise DataError(f"input {tensor.name[:100]!r} is unexpected", hint=hint)
        if tensor.datatype not in ACCEPTED[column.kind]:
            what = f"input {tensor.name!r} has the datatype {tensor.datatype[:20]!r}, and holds {column.kind} values"
            raise DataError(what, hint=f"send {DATATYPES[column.kind]}")
        return column

    def _told(self, rows: Rows, request: Any) -> Rows:
        """The rows with what else the request says: its id, which outputs it wants and how, and how long it waits."""
        rows.request, rows.wanted = request.id, self._all
        parameters = request.parameters
        if not parameters and not request.outputs:
            return rows
        parameters = parameters or {}
        timeout = parameters.get("timeout")
        rows.patience = timeout / 1e6 if isinstance(timeout, (int, float)) and timeout > 0 else None  # microseconds
        everything = parameters.get("binary_data_output") is True
        if not request.outputs:
            rows.wanted = tuple((name, everything) for name in self._signature.outputs)
            return rows
        known = self._signature.outputs
        unknown = next((output.name for output in request.outputs if output.name not in known), None)
        if unknown is not None:
            raise DataError(f"there is no output {unknown[:100]!r}", hint=did_you_mean(unknown, known))
        rows.wanted = tuple(
            (output.name, output.parameters.get("binary_data", everything) is True) for output in request.outputs
        )
        return rows


def _tensor_type(place: int, column: Column) -> type[Any]:
    """A tensor that can only be this column."""
    return msgspec.defstruct(
        f"Tensor{place}",
        [
            ("shape", tuple[int]),
            ("datatype", Literal[ACCEPTED[column.kind]]),
            ("data", list[column_type(column)]),  # type: ignore[misc]
            ("parameters", dict[str, Any] | None, None),
        ],
        gc=False,
        tag_field="name",
        tag=column.name,
    )


def _read(data: bytes) -> tuple[InferRequest, bool]:
    """The request, and whether its body was strict JSON."""
    refuse_crowd(data)
    try:
        request = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        content, finite = parse(data)
    else:
        rest = [one for one in (request.id, request.parameters, request.outputs) if one]
        quotes = _OF_REQUEST + sum(2 + quotes_of(one) for one in rest) + sum(map(_quotes, request.inputs))
        if count_quotes(data) != quotes:
            refuse_twice(data)
        return request, True
    try:
        return msgspec.convert(content, InferRequest), finite
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise DataError(f"the body is no inference request: {error}", hint=_HINT) from error


def _quotes(tensor: Tensor) -> int:
    """Quotes that the JSON of a tensor needs; mostly it is no more than its size in bytes."""
    plain = tensor.data is None and tensor.parameters.keys() == _SIZE_ALONE
    return _OF_TENSOR + 2 if plain else quotes_of(tensor)


def _check_shape(tensor: Tensor) -> None:
    shape = tensor.shape
    if not shape or any(size < 0 for size in shape) or len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
        raise DataError(f"input {tensor.name!r} has the shape {shape[:8]}", hint="a column has the shape [n] or [n, 1]")


def _values(tensor: Tensor) -> list[Any]:
    """The values of a tensor in JSON, flat."""
    shape, data = tensor.shape, tensor.data
    if data is None:
        raise DataError(f"input {tensor.name!r} has no data", hint=_HINT)
    _check_shape(tensor)
    if data and isinstance(data[0], list):
        if not all(isinstance(item, list) and len(item) == 1 for item in data):
            raise DataError(f"input {tensor.name!r} is nested, and not every row has exactly one value")
        data = [item[0] for item in data]
    if len(data) != shape[0]:
        raise DataError(f"input {tensor.name!r} has the shape {shape} and {len(data)} values")
    return data


def _listed(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values


def _converted(column: Column, values: NDArray[Any] | list[str]) -> Any:
    """Binary values as the column holds them."""
    if isinstance(values, np.ndarray):
        return _whole(column.name, values) if column.kind == "integer" else _exact(column.name, values)
    if column.kind == "time":
        try:
            return _times(values) if column.form is None else [_time(column, *one) for one in enumerate(values)]
        except msgspec.MsgspecError:
            return [_time(column, row, text) for row, text in enumerate(values)]
    refuse_texts(column.name, values)
    return values


def _exact(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Numbers for a column of fractions, which do not hold every whole number."""
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        large = np.flatnonzero((values > EXACT) | (values < -EXACT if values.dtype.kind == "i" else False))
        _refuse_numbers(name, values, large, "number")
    return values


def _whole(name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    if values.dtype.kind == "f":
        wrong = (values != np.floor(values)) | (np.abs(values) > EXACT)
    elif values.dtype == np.uint64:
        wrong = values > np.uint64(2**63 - 1)
    else:
        return values
    _refuse_numbers(name, values, np.flatnonzero(wrong), "integer")
    return values.astype(np.int64)


def _refuse_numbers(name: str, values: NDArray[Any], places: NDArray[np.intp], kind: str) -> None:
    """Refuse those of some numbers that a column does not take."""
    told = ((row, taken(values[row].item(), kind)[1]) for row in places.tolist())
    refuse(Problem(row, name, message) for row, message in told if message)


def _times(texts: list[str]) -> list[datetime]:
    """All texts as times, in one call that is much quicker than one for each."""
    return _moments.decode(_encode(texts))


def _time(column: Column, row: int, text: str) -> datetime:
    moment, message = taken(text, "time", form=column.form)
    if message is not None:
        raise RowsError([Problem(row, column.name, message)])
    return moment  # type: ignore[no-any-return]
