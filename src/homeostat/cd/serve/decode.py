"""Turn request bodies into typed rows, with a decoder that is compiled once from a model's input columns.

The rules are those of `core.schema.check`: every column is there and no other, whole numbers widen to numbers, null
only where the schema saw nulls, no NaN or infinity, and a category that was never seen is let through to the encoder.
Key columns may be left out: a row without its key is called by its request's id.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from homeostat.core.clock import utc
from homeostat.core.errors import DataError
from homeostat.core.spec import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from homeostat.core.schema import Column

MOST_PROBLEMS = 20
"""So many problems are listed in an answer; the rest is counted."""

FEW = 8
"""Requests of more rows are handled by columns from here to the log."""

_TABLE_ROWS = 64
"""Up to so many rows, Polars builds a table faster from rows than from columns."""

_MOST_NESTED = 1_000_000

_WHOLE = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TYPES: dict[str, Any] = {
    "number": float,
    "integer": _WHOLE,
    "boolean": bool,
    "category": str,
    "text": str,
    "time": datetime,
}
_NAMES = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "category": "a text",
    "text": "a text",
    "time": "a time such as 2013-03-01T12:00:00Z",
}


class TooLargeError(DataError):
    """A request is larger than the server takes."""


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with one value: the row counted from 0, the column when there is one, and a sentence."""

    row: int
    column: str | None
    message: str


class RowsError(DataError):
    """Rows of a request are not what the model's signature says; nothing was predicted."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems[:MOST_PROBLEMS])
        lines = [
            f"row {p.row}: {p.message}" if p.column is None else f"row {p.row}, column {p.column!r}: {p.message}"
            for p in self.problems
        ]
        if len(problems) > MOST_PROBLEMS:
            lines.append("and more")
        super().__init__("; ".join(lines))

    def __reduce__(self) -> tuple[type[RowsError], tuple[tuple[Problem, ...]]]:
        return (RowsError, (self.problems,))


class Rows(msgspec.Struct):
    """The rows of one request: few of them one by one, many by columns.

    Attributes:
        count: How many.
        rows: Instances of the decoder's row type, or None when there are columns.
        columns: Column name to one value per row, a sequence or an array; None when there are rows.
        request: The caller's own id of the request, if any.
        ids: The caller's own ids of the rows, if any.
    """

    count: int
    rows: list[Any] | None
    columns: dict[str, Any] | None = None
    request: str | None = None
    ids: list[str] | None = None


class RowDecoder:
    """The decoder of one model's requests.

    Args:
        columns: The model's raw input columns.
        key: Those of them that identify a row.

    Example:
        >>> from homeostat.core.schema import Column
        >>> decoder = RowDecoder((Column(name="distance", kind="integer", nullable=False),))
        >>> decoder.body(b'{"distance": 1400}').rows[0].c0
        1400
    """

    def __init__(self, columns: Sequence[Column], key: Sequence[str] = ()) -> None:
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in columns)
        self.by_name = {column.name: column for column in columns}
        self.optional = frozenset(key)
        # By name, so that a row of one version is a row of every other one that takes the same columns.
        self.fields = {name: f"c{place}" for place, name in enumerate(sorted(self.names))}
        self._fields = {column.name: (self.fields[column.name], column) for column in columns}
        # What may be left out comes last, so that a row can be made from values in order.
        ordered = sorted(self._fields.values(), key=lambda field: (field[1].name in self.optional, field[1].name))
        self.order = tuple(column.name for _, column in ordered)
        self.row_type: type[Any] = msgspec.defstruct(
            "Row",
            [self._field(field, column) for field, column in ordered],
            rename={field: column.name for field, column in ordered},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._one = msgspec.json.Decoder(self.row_type)
        self._many = msgspec.json.Decoder(list[self.row_type])  # type: ignore[name-defined]
        self.times = tuple(column.name for column in columns if column.kind == "time")
        self._times = [self.fields[name] for name in self.times]
        self._keys = [name for name in key if name in self._fields]
        timely = any(name in self.times for name in self._keys)
        self._key_values = [attrgetter(self.fields[name]) for name in self._keys]
        self._key_is_text = all(self.by_name[name].kind in ("category", "text") for name in self._keys)
        self._id_part: Callable[[Any], str] = id_part if timely else str

    def body(self, data: bytes) -> Rows:
        """The rows of a JSON body: one object, a list of objects, or `{"records": [...], "id": ..., "ids": [...]}`.

        Raises:
            RowsError: Rows do not fit; lists every problem up to a bound.
            DataError: The body is no JSON, or none of the three shapes.
        """
        try:
            rows = self._many.decode(data) if data.lstrip()[:1] == b"[" else [self._one.decode(data)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._slow_body(data)
        return self.gathered(self.finish(rows))

    def gathered(self, rows: list[Any], request: str | None = None, ids: list[str] | None = None) -> Rows:
        """Rows of the decoder's type as a request's rows."""
        if len(rows) <= FEW:
            return Rows(len(rows), rows, None, request, ids)
        columns = dict(zip(self.order, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True))
        return Rows(len(rows), None, columns, request, ids)

    def rows(self, records: Sequence[Any], *, finite: bool = True) -> list[Any]:
        """Rows from plain objects, checked by the same rules.

        Args:
            records: One per row.
            finite: Whether they are known to hold no NaN or infinity, as what a strict parser read.

        Raises:
            RowsError: Lists every problem up to a bound.
        """
        if not finite:
            return self.finish(self._slow_rows(records))
        try:
            rows: list[Any] = msgspec.convert(records, list[self.row_type])  # type: ignore[name-defined]
        except (msgspec.MsgspecError, RecursionError):
            rows = self._slow_rows(records)
        return self.finish(rows)

    def frame(self, rows: Sequence[Any]) -> pl.DataFrame:
        """The rows as a table with one column per input column, in the types that tables are stored in."""
        import polars as pl

        if len(rows) <= _TABLE_ROWS:
            schema = {name: self._stored[name] for name in self.order}
            table = pl.DataFrame([msgspec.structs.astuple(row) for row in rows], schema=schema, orient="row")
            return table.select(self.names)
        values = zip(*map(msgspec.structs.astuple, rows), strict=True)
        return self.table(dict(zip(self.order, values, strict=True)))

    def table(self, columns: dict[str, Any]) -> pl.DataFrame:
        """The same from columns: a sequence or an array each."""
        import polars as pl

        return pl.DataFrame([pl.Series(name, columns[name], dtype=kind) for name, kind in self._stored.items()])

    def structs(self, rows: Rows) -> list[Any]:
        """Instances of the row type, whichever form the rows have."""
        if rows.rows is not None:
            return rows.rows
        assert rows.columns is not None
        values = zip(*(_plain(rows.columns[name]) for name in self.order), strict=True)
        return [self.row_type(*row) for row in values]

    def chosen(self, rows: Rows, places: list[int]) -> Rows:
        """Some of the rows."""
        if rows.rows is not None:
            return Rows(len(places), [rows.rows[place] for place in places])
        assert rows.columns is not None
        columns = {name: _taken(column, places) for name, column in rows.columns.items()}
        return Rows(len(places), None, columns)

    def keys(self, rows: Rows) -> Sequence[str | None]:
        """Each row's own id: its key's values joined by `/`, or None when it has no key."""
        if not self._keys:
            return [None] * rows.count
        if rows.columns is not None:
            parts = [_plain(rows.columns[name]) for name in self._keys]
        else:
            parts = [list(map(value, rows.rows or ())) for value in self._key_values]
        if len(parts) > 1:
            found = zip(*parts, strict=True)
            return [None if None in values else "/".join(map(self._id_part, values)) for values in found]
        if self._key_is_text:
            return parts[0]  # type: ignore[no-any-return]
        return [None if value is None else self._id_part(value) for value in parts[0]]

    @cached_property
    def _stored(self) -> dict[str, Any]:
        return {column.name: _stored(column.kind) for column in self.columns}

    def _field(self, field: str, column: Column) -> tuple[str, Any] | tuple[str, Any, None]:
        if column.name in self.optional:
            return field, _TYPES[column.kind] | None, None
        return field, column_type(column)

    def finish(self, rows: list[Any]) -> list[Any]:
        """The rows, with every time in UTC."""
        for field in self._times:
            for row in rows:
                moment = getattr(row, field)
                if moment is not None and moment.tzinfo is not UTC:
                    setattr(row, field, utc(moment))
        return rows

    def _slow_body(self, data: bytes) -> Rows:
        content, finite = parse(data)
        request = ids = None
        if isinstance(content, dict) and isinstance(content.get("records"), list) and "records" not in self._fields:
            request, ids = _named(content)
            content = content["records"]
            if ids is not None and len(ids) != len(content):
                raise DataError(f"there are {len(ids)} ids for {len(content)} records", hint="send one id per record")
        elif isinstance(content, dict):
            content = [content]
        if not isinstance(content, list):
            raise DataError(
                f"the body is {_found(content)}, not rows",
                hint='send one object, a list of objects, or {"records": [...]}',
            )
        return self.gathered(self.rows(content, finite=finite), request, ids)

    def _slow_rows(self, records: Sequence[Any]) -> list[Any]:
        problems: list[Problem] = []
        rows = []
        for place, record in enumerate(records):
            values = self._values(place, record, problems)
            if len(problems) > MOST_PROBLEMS:
                break
            if values is not None:
                rows.append(self.row_type(**values))
        if problems:
            raise RowsError(problems)
        return rows

    def _values(self, place: int, record: Any, problems: list[Problem]) -> dict[str, Any] | None:
        if not isinstance(record, dict):
            problems.append(Problem(place, None, f"is {_found(record)}, not an object of columns"))
            return None
        before = len(problems)
        missing = [name for name in self.names if name not in record and name not in self.optional]
        # A row can have a million columns too many, and names of megabytes.
        spare = [str(name)[:100] for name in islice((n for n in record if n not in self._fields), MOST_PROBLEMS + 1)]
        problems += [Problem(place, name, f"is missing{_hint(name, spare)}") for name in missing]
        problems += [Problem(place, name, f"is unexpected{_hint(name, missing or self.names)}") for name in spare]
        values = {}
        for name, (field, column) in self._fields.items():
            if name in record:
                values[field], message = _value(record[name], column, optional=name in self.optional)
                if message is not None:
                    problems.append(Problem(place, name, message))
        return values if len(problems) == before else None


def refuse_crowd(data: bytes) -> None:
    """Refuse a body of so many lists and objects that holding them would take gigabytes: each costs 30 times its text.

    Raises:
        TooLargeError: There are more than any table needs.
    """
    if len(data) > _MOST_NESTED and (count := data.count(b"{") + data.count(b"[")) > _MOST_NESTED:
        what = f"the body has {count:,} lists and objects"
        raise TooLargeError(what, hint=f"at most {_MOST_NESTED:,}; send columns or tensors, or several requests")


def parse(data: bytes) -> tuple[Any, bool]:
    """The content of a JSON body, and whether it is strict JSON.

    NaN and infinity come through, marked as not strict, so that the row and column that hold them can be named.

    Raises:
        TooLargeError: It holds too many lists and objects.
        DataError: The body is no JSON.
    """
    refuse_crowd(data)
    try:
        return msgspec.json.decode(data), True
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(data), False
    except (ValueError, RecursionError) as error:
        raise DataError(f"the body is no JSON: {error}") from error


def _value(value: Any, column: Column, *, optional: bool) -> tuple[Any, str | None]:
    if value is None:
        return None, None if column.nullable or optional else "is null, and never was in training"
    if isinstance(value, float) and not math.isfinite(value):
        return None, f"holds {value}; write null for what is unknown"
    if column.kind == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    kind = _TYPES[column.kind]
    try:
        return msgspec.convert(value, kind), None
    except (msgspec.MsgspecError, OverflowError, RecursionError):
        return None, f"should be {_NAMES[column.kind]}; found {_found(value)}"


def column_type(column: Column) -> Any:
    """The type of a column's values in a request."""
    kind = _TYPES[column.kind]
    return kind | None if column.nullable else kind


def utc_column(moments: Sequence[datetime | None]) -> Sequence[datetime | None]:
    """Times of a column in UTC."""
    if all(moment is None or moment.tzinfo is UTC for moment in moments):
        return moments
    return [None if moment is None else utc(moment) for moment in moments]


def _plain(column: Any) -> Any:
    """A column as Python values."""
    return column.tolist() if hasattr(column, "tolist") else column


def _taken(column: Any, places: list[int]) -> Any:
    return column[places] if hasattr(column, "tolist") else [column[place] for place in places]


def id_part(value: Any) -> str:
    """A key's value in a row's id; a time as it is written in JSON."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _stored(kind: str) -> Any:
    import polars as pl

    types: dict[str, Any] = {"number": pl.Float64, "integer": pl.Int64, "boolean": pl.Boolean}
    return pl.Datetime("us", "UTC") if kind == "time" else types.get(kind, pl.String)


def _named(content: dict[str, Any]) -> tuple[str | None, list[str] | None]:
    spare = sorted(set(content) - {"records", "id", "ids"})
    if spare:
        raise DataError(
            f"the body has the unexpected field {spare[0]!r}", hint="beside records there may be id and ids"
        )
    request, ids = content.get("id"), content.get("ids")
    if request is not None and not isinstance(request, str):
        raise DataError(f"the request's id is {_found(request)}, not a text")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(item, str) and item for item in ids)):
        raise DataError("the field ids is not a list of texts", hint='send "ids": ["a", "b"], one per record')
    return request, ids


def _hint(name: str, known: Sequence[str]) -> str:
    hint = did_you_mean(name, known)
    return f"; {hint}" if hint else ""


def _found(value: Any) -> str:
    kinds: list[tuple[type, Callable[[Any], str]]] = [
        (bool, lambda v: "true" if v else "false"),
        (int, lambda v: f"the number {v}" if abs(v) < 10**20 else "a number beyond 64 bits"),
        (float, lambda v: f"the number {v!r}"),
        (str, lambda v: f"the text {v[:40]!r}" + ("…" if len(v) > 40 else "")),
        (list, lambda _: "a list"),
        (dict, lambda _: "an object"),
    ]
    return next((say(value) for kind, say in kinds if isinstance(value, kind)), "null")
