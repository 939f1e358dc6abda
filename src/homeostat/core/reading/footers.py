"""How large a Parquet file is once it is read, from its footer alone, so that a bomb is refused before it goes off."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, NamedTuple

from homeostat.core import guarded
from homeostat.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_FOOTER = 64 << 20
_CELL_BYTES = 8
_MOST_DECODED = 2_000
"""How many times its size a file may be in memory, beyond what any file may: columns of one value pack that well."""
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


class Footer(NamedTuple):
    """What a Parquet file says of itself.

    Attributes:
        rows: How many rows it has.
        columns: How many columns.
        unpacked: Bytes of its pages once they are unpacked.
    """

    rows: int
    columns: int
    unpacked: int


def refuse_parquet_bomb(file: IO[bytes]) -> None:
    """Refuse a file that would unpack to absurd sizes; what cannot be read here is for the reader to refuse.

    Raises:
        DataError: It would.
    """
    size = file.seek(0, io.SEEK_END)
    footer = _footer(file, size)
    if footer is None:
        return
    guarded.refuse_bomb(footer.unpacked, size)
    decoded = footer.rows * footer.columns * _CELL_BYTES
    if decoded > max(4 * guarded.UNPACKED_AT_WILL, _MOST_DECODED * size):
        raise DataError(
            f"the file's {size:,} bytes hold {footer.rows:,} rows of {footer.columns:,} columns, as those of no table "
            "do",
            hint="cut it into several files if it is meant, and check what it holds",
        )


def _footer(file: IO[bytes], size: int) -> Footer | None:
    if size < 12:
        return None
    file.seek(size - 8)
    length = int.from_bytes(file.read(4), "little")
    if file.read(4) != b"PAR1" or length > min(size - 8, _MOST_FOOTER):
        return None
    file.seek(size - 8 - length)
    reader = _Compact(file.read(length))
    rows = columns = unpacked = 0
    try:
        for field, kind in reader.fields():
            if field == 2 and kind == _LIST:
                columns = reader.size_of_list()[0] - 1
                reader.skip_items(columns + 1, _STRUCT)
            elif field == 3:
                rows = reader.number()
            elif field == 4 and kind == _LIST:
                for _ in range(reader.size_of_list()[0]):
                    unpacked += _unpacked(reader)
            else:
                reader.skip(kind)
    except (IndexError, RecursionError):
        return None
    return Footer(rows, columns, unpacked)


def _unpacked(reader: _Compact) -> int:
    """Bytes of a row group's pages once they are unpacked."""
    size = 0
    for field, kind in reader.fields():
        if field == 2:
            size = reader.number()
        else:
            reader.skip(kind)
    return size


class _Compact:
    """Just enough of Thrift's compact protocol (its specification is in apache/thrift) to walk over a footer."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; the caller takes or skips its value."""
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self.number()
            yield field, head & 15

    def number(self) -> int:
        """A whole number of any width, zigzag-coded."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def size_of_list(self) -> tuple[int, int]:
        """How many items a list has, and their type."""
        head = self._byte()
        return (self._varint() if head >> 4 == 15 else head >> 4), head & 15

    def skip(self, kind: int) -> None:
        """Pass over a value."""
        if kind in (_TRUE, _FALSE):
            return
        if kind == _BYTE:
            self._place += 1
        elif kind == _DOUBLE:
            self._place += 8
        elif kind == _BINARY:
            length = self._varint()
            self._place += length
        elif kind in (_LIST, _SET):
            self.skip_items(*self.size_of_list())
        elif kind == _MAP:
            if count := self._varint():
                kinds = self._byte()
                for _ in range(count):
                    self.skip(kinds >> 4)
                    self.skip(kinds & 15)
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner)
        else:
            self._varint()

    def skip_items(self, count: int, kind: int) -> None:
        """Pass over the items of a list."""
        for _ in range(count):
            # A truth value is a byte of its own in a list.
            self.skip(_BYTE if kind in (_TRUE, _FALSE) else kind)
            self._data[self._place - 1]

    def _byte(self) -> int:
        self._place += 1
        return self._data[self._place - 1]

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
