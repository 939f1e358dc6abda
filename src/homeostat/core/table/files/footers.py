"""What a Parquet file says of itself, held against its size: a bomb, or a wrong number, is refused before it goes off.

A reader makes room for as many bytes and values as a page's header says. A number that is absurd, because a byte of the
file was changed, would end the process: no library can be asked to raise an error when memory cannot be had.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

from homeostat.core import guarded
from homeostat.core.errors import DataError

_MOST_FOOTER = 64 << 20
_HEADER_BYTES = (512, 64 << 10, 4 << 20)
"""How much of a page is read to see its header: mostly the least is enough."""
_SLACK = 100
"""Bytes that old writers forgot in the size of a column (PARQUET-816)."""
_CELL_BYTES = 8
_MOST_DECODED = 2_000
"""How many times its size a file may be in memory, beyond what any file may: columns of one value pack that well."""
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12

Fields = dict[int, Any]
"""A struct of Thrift: field number to value. The numbers are those of apache/parquet-format, parquet.thrift."""


def refuse_parquet_bomb(file: IO[bytes]) -> None:
    """Refuse a file that would take absurd room; what cannot be read here is for the reader to refuse."""
    size = file.seek(0, io.SEEK_END)
    try:
        footer = _footer(file, size)
        if footer is not None:
            _refuse_absurd(footer, file, size)
    except (KeyError, TypeError, AttributeError, RecursionError):
        return
    except (IndexError, ValueError, OverflowError) as error:
        what = "the file is no whole Parquet file: its pages are not where its footer says"
        raise DataError(what, hint="copy or write it again") from error


def _footer(file: IO[bytes], size: int) -> Fields | None:
    if size < 12:
        return None
    file.seek(size - 8)
    length = int.from_bytes(file.read(4), "little")
    if file.read(4) != b"PAR1" or length > min(size - 8, _MOST_FOOTER):
        return None
    file.seek(size - 8 - length)
    try:
        fields: Fields = _Compact(file.read(length)).value(_STRUCT)
    except IndexError:
        return None
    return fields


def _refuse_absurd(footer: Fields, file: IO[bytes], size: int) -> None:
    rows, columns, groups = footer[3], len(footer[2]) - 1, footer.get(4, [])
    guarded.refuse_bomb(sum(group[2] for group in groups), size)
    if rows * columns * _CELL_BYTES > max(4 * guarded.UNPACKED_AT_WILL, _MOST_DECODED * size):
        raise DataError(
            f"the file's {size:,} bytes hold {rows:,} rows of {columns:,} columns, as those of no table do",
            hint="cut it into several files if it is meant, and check what it holds",
        )
    unpacked = 0
    for chunk in (chunk for group in groups for chunk in group[1]):
        unpacked += _unpacked(chunk[3], file)
        guarded.refuse_bomb(unpacked, size)


def _unpacked(column: Fields, file: IO[bytes]) -> int:
    """Bytes that the pages of a column unpack to."""
    values, left = column[5], column[7]
    place = min(column[9], column.get(11) or column[9])
    unpacked = 0
    while left > 0:
        header, length = _page_header(file, place)
        told = header.get(5) or header.get(7) or header.get(8) or {1: 0}
        inside = [told.get(5, 0), told.get(6, 0)] if 8 in header else []
        if not (
            0 <= header[3] <= left + _SLACK
            and header[2] >= 0
            and 0 <= told[1] <= values
            and all(0 <= n <= header[2] for n in inside)
        ):
            name = ".".join(part.decode(errors="replace") for part in column[3])
            raise DataError(
                f"the file is no whole Parquet file: a page of column {name!r} says that it has {told[1]:,} values in "
                f"{header[2]:,} bytes",
                hint="copy or write it again",
            )
        unpacked += header[2]
        left -= length + header[3]
        place += length + header[3]
    return unpacked


def _page_header(file: IO[bytes], place: int) -> tuple[Fields, int]:
    for size in _HEADER_BYTES:
        file.seek(place)
        reader = _Compact(file.read(size))
        try:
            fields: Fields = reader.value(_STRUCT)
        except IndexError:
            continue
        return fields, reader.place
    raise IndexError


class _Compact:
    """Thrift's compact protocol (its specification is in apache/thrift), as far as a footer needs it."""

    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0

    def value(self, kind: int) -> Any:
        """The next value, of a type; a struct as field number to value."""
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_LIST, _SET):
            return self._list()
        if kind == _STRUCT:
            return {field: self.value(inner) for field, inner in self._fields()}
        if kind == _MAP:
            raise IndexError  # there is none in a footer
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _list(self) -> list[Any]:
        head = self._byte()
        count, kind = (self._varint() if head >> 4 == 15 else head >> 4), head & 15
        if count > len(self._data):
            raise IndexError
        # A truth value is a byte of its own in a list.
        return [self.value(_BYTE if kind in (_TRUE, _FALSE) else kind) for _ in range(count)]

    def _fields(self) -> Iterator[tuple[int, int]]:
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self.value(0)
            yield field, head & 15

    def _byte(self) -> int:
        self.place += 1
        return self._data[self.place - 1]

    def _bytes(self, count: int) -> bytes:
        self.place += count
        if self.place > len(self._data):
            raise IndexError
        return self._data[self.place - count : self.place]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise IndexError
