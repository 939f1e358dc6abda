"""The binary tensor extension of the Open Inference Protocol: tensors as bytes behind a JSON header, in and out.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md. A body is a
JSON object of `Inference-Header-Content-Length` bytes, then the tensors that have the parameter `binary_data_size`, in
the order of the object, little-endian and without gaps. A text is its length in 4 bytes, then UTF-8.

Numbers are read where they lie: an array is a view of the body.
"""

from __future__ import annotations

import struct
from math import isfinite, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.cd.serve.rows import MOST_PROBLEMS, Problem, RowsError
from homeostat.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

HEADER = b"inference-header-content-length"
"""Name of the HTTP header that says how long the JSON object is."""

_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.uint8),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_LENGTH = struct.Struct("<I")


def header_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Length of the JSON object in bytes, or None when the whole body is JSON."""
    value = next((value for name, value in headers if name == HEADER), None)
    if value is None:
        return None
    if not (value.isdigit() and len(value) < 16):
        raise DataError(f"the header Inference-Header-Content-Length is {value[:40]!r}", hint="send a number of bytes")
    return int(value)


def split(body: bytes, length: int) -> tuple[memoryview, memoryview]:
    """The JSON object of a body, and the bytes behind it.

    Raises:
        DataError: The body is shorter than the object is said to be.
    """
    if length > len(body):
        what = f"the header Inference-Header-Content-Length is {length:,}, and the body has {len(body):,} bytes"
        raise DataError(what)
    view = memoryview(body)
    return view[:length], view[length:]


def cut(rest: memoryview, sizes: Sequence[tuple[str, Any]]) -> list[memoryview]:
    """The bytes of each tensor.

    Raises:
        DataError: A size is no length, or all of them are not exactly the bytes that are there.
    """
    parts, start = [], 0
    for name, size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise DataError(f"input {name!r} has the binary_data_size {str(size)[:40]}", hint="send a number of bytes")
        if start + size > len(rest):
            left = len(rest) - start
            raise DataError(f"input {name!r} has the binary_data_size {size:,}, and {left:,} bytes are left")
        parts.append(rest[start : start + size])
        start += size
    if start != len(rest):
        what = f"the body has {len(rest) - start:,} bytes behind the last tensor"
        raise DataError(what, hint="say each binary tensor's size in its parameter binary_data_size")
    return parts


def read(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> NDArray[Any] | list[str]:
    """The values of one tensor, flat: a view of the bytes, or texts.

    Args:
        name: What it is called in errors.
        datatype: `BYTES`, `BOOL`, `INT8` to `UINT64`, `FP16`, `BF16`, `FP32` or `FP64`.
        shape: Its axes.
        data: Its bytes.

    Raises:
        RowsError: Values are no truth value, NaN, infinite or no UTF-8; names the rows.
        DataError: The bytes are not what datatype and shape say.

    Example:
        >>> read("wind", "FP32", [2], memoryview(np.array([1.5, 2.0], "<f4").tobytes())).tolist()
        [1.5, 2.0]
    """
    if any(size < 0 for size in shape):
        raise DataError(f"input {name!r} has the shape {list(shape[:8])}")
    count = prod(shape)
    if datatype == "BYTES":
        return _texts(name, count, data)
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise DataError(
            f"input {name!r} has the datatype {datatype[:20]!r}", hint=f"send {', '.join(_DTYPES)} or BYTES"
        )
    if count * dtype.itemsize != len(data):
        what = f"input {name!r} has the shape {list(shape[:8])} of {datatype}, and {len(data):,} bytes of data"
        raise DataError(what, hint=f"a value of {datatype} has {dtype.itemsize} bytes")
    return _sound(name, datatype, np.frombuffer(data, dtype))


def raw(name: str, datatype: str, body: bytes) -> NDArray[Any] | list[str]:
    """The only tensor of a request whose whole body it is: all its numbers, or one text without a length before it.

    Raises:
        RowsError: As `read`.
        DataError: The body is no whole number of values.
    """
    if datatype == "BYTES":
        return [_text(name, 0, body)]
    size = _DTYPES[datatype].itemsize
    if len(body) % size:
        raise DataError(
            f"the body has {len(body):,} bytes, and input {name!r} {size} per value", hint="send whole rows"
        )
    return read(name, datatype, [len(body) // size], memoryview(body))


def write(datatype: str, values: Any) -> bytes:
    r"""The bytes of a tensor.

    Args:
        datatype: As for `read`, but `BF16`.
        values: An array, or a list; texts for `BYTES`.

    Example:
        >>> write("BYTES", ["on", "off"])
        b'\x02\x00\x00\x00on\x03\x00\x00\x00off'
    """
    if datatype == "BYTES":
        texts = [text.encode() for text in values]
        return b"".join([part for text in texts for part in (_LENGTH.pack(len(text)), text)])
    return np.ascontiguousarray(values, _DTYPES[datatype]).tobytes()


def _sound(name: str, datatype: str, values: NDArray[Any]) -> NDArray[Any]:
    """The values as numbers or truths, once each of them is known to be one."""
    if datatype == "BOOL":
        if values.size and int(values.max()) > 1:
            raise _refused(name, values, values > 1, "is the byte {}; send 0 or 1")
        return values.view(np.bool_)
    if datatype == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    # A sum is finite only if all of it is; otherwise each value is looked at.
    if values.dtype.kind == "f" and not isfinite(np.add.reduce(values, dtype=np.float64)):
        finite = np.isfinite(values)
        if not finite.all():
            raise _refused(name, values, ~finite, "holds {}; send the tensor as JSON with null for what is unknown")
    return values


def _refused(name: str, values: NDArray[Any], wrong: NDArray[np.bool_], message: str) -> RowsError:
    places = np.flatnonzero(wrong)[: MOST_PROBLEMS + 1].tolist()
    return RowsError([Problem(place, name, message.format(values[place])) for place in places])


def _texts(name: str, count: int, data: memoryview) -> list[str]:
    plain, end = bytes(data), len(data)
    # Every text has its length before it: a shape that lies costs nothing.
    if count * _LENGTH.size > end:
        raise DataError(f"input {name!r} has {count:,} texts in its shape, and {end:,} bytes of data")
    alike = _alike(count, plain)
    if alike is not None:
        return alike
    texts: list[str] = []
    start, length = 0, _LENGTH.unpack_from
    while start < end:
        if start + 4 > end or (stop := start + 4 + length(plain, start)[0]) > end:
            raise DataError(f"input {name!r}: text {len(texts)} is longer than the bytes that are left")
        try:
            texts.append(plain[start + 4 : stop].decode())
        except UnicodeDecodeError:
            raise RowsError([Problem(len(texts), name, "is no UTF-8")]) from None
        start = stop
    if len(texts) != count:
        raise DataError(f"input {name!r} has {count:,} texts in its shape, and {len(texts):,} in its data")
    return texts


def _alike(count: int, plain: bytes) -> list[str] | None:
    """The texts when all of them are ASCII of one length, such as times and codes; None leaves it to the long way."""
    if not count or len(plain) % count or not plain.isascii():
        return None
    width = len(plain) // count
    head = _LENGTH.pack(max(width - _LENGTH.size, 0))
    if width < _LENGTH.size or any(plain[place::width] != head[place : place + 1] * count for place in range(4)):
        return None
    whole = plain.decode("ascii")
    return [whole[start + 4 : start + width] for start in range(0, len(whole), width)]


def _text(name: str, row: int, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise RowsError([Problem(row, name, "is no UTF-8")]) from None
