"""The codecs of plain things: text, bytes, tables, arrays, and everything that JSON can hold."""

from __future__ import annotations

import io
from typing import Any

from homeostat.core.codecs import json
from homeostat.core.codecs.registry import Codec, by_name, by_type
from homeostat.core.errors import CodecError


def _encode_table(frame: Any) -> bytes:
    import polars as pl

    held = [name for name, dtype in frame.schema.items() if dtype == pl.Object]
    if held:
        what = f"column {held[0]!r} holds Python objects, which have no safe encoding"
        raise CodecError(what, hint="convert the column to a polars type")
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer, compression="lz4", statistics=False)
    return b"%d\n%s" % (frame.height, buffer.getvalue())


def _decode_table(data: bytes) -> Any:
    import polars as pl

    height, _, parquet = data.partition(b"\n")
    frame = pl.read_parquet(io.BytesIO(parquet))
    # Parquet forgets the height of a table without columns.
    return frame if frame.width else pl.DataFrame(height=int(height))


def _encode_column(column: Any) -> bytes:
    return _encode_table(column.to_frame())


def _decode_column(data: bytes) -> Any:
    return _decode_table(data).to_series()


def _encode_array(array: Any) -> bytes:
    import numpy as np

    if array.dtype.hasobject:
        raise CodecError("an array holds Python objects, which have no safe encoding", hint="give it a plain dtype")
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def _decode_array(data: bytes) -> Any:
    import numpy as np

    return np.load(io.BytesIO(data), allow_pickle=False)


def _decode_scalar(data: bytes) -> Any:
    return _decode_array(data)[()]


def add_built_in() -> None:
    """Teach the registry every codec of Homeostat itself but those of classes further up."""
    by_type[str] = Codec("text", lambda value: value.encode(), lambda data: data.decode())
    by_type[bytes] = Codec("bytes", bytes, bytes)
    for codec in (
        by_type[str],
        by_type[bytes],
        Codec("table", _encode_table, _decode_table),
        Codec("column", _encode_column, _decode_column),
        Codec("array", _encode_array, _decode_array),
        Codec("scalar", _encode_array, _decode_scalar),
        Codec("json", json.dump, json.load, blobs=True),
    ):
        by_name[codec.name] = codec
