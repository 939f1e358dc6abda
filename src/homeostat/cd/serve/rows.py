"""Turn request bodies into typed rows, with a decoder that is compiled once from a model's input columns.

The rules are those of `core.schema.check`: every column is there and no other, whole numbers widen to numbers, null
only where the schema saw nulls, no NaN or infinity, and a category that was never seen is let through to the encoder.
Key columns may be left out: a row without its key is called by its request's id.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from homeostat.core.errors import DataError, printable
from homeostat.core.table.ids import LONGEST_ID, id_problem, row_id
from homeostat.core.table.spec import did_you_mean
from homeostat.core.text.read_json import FEW_BYTES, count_quotes, nulls_among, parse, refuse_twice
from homeostat.core.values import EXACT, FIRST_YEAR, LAST_YEAR, LONGEST_TEXT, found, taken, text_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from homeostat.core.model import Signature
    from homeostat.core.schema import Column

MOST_PROBLEMS = 20
"""So many problems are listed in an answer; the rest is counted."""

FEW = 8
"""Requests of more rows are handled by columns from here to the log."""

_TABLE_ROWS = 64
"""Up to so many rows, Polars builds a table faster from rows than from columns."""


_TEXTS = ("category", "text", "time")
"""Kinds whose values are texts in JSON."""

# What these take, `core.values.taken` takes too, and as the same; what they refuse, it looks at once more.
_TYPES: dict[str, Any] = {
    "number": Annotated[float, msgspec.Meta(gt=-float(EXACT), lt=float(EXACT))],
    "integer": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "boolean": bool,
    "category": str,
    "text": str,
    "time": datetime,
}


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with one value: the row counted from 0, the column when there is one, and a sentence."""

    row: int
    column: str | None
    message: str


class RowsError(DataError):
    """Rows of a request are not what the model's signature says; nothing was predicted."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(
            Problem(one.row, one.column and printable(one.column), printable(one.message))
            for one in problems[:MOST_PROBLEMS]
        )
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
        rows: Instances of the decoder's row type, or None when there are columns.
        columns: Column name to one value per row, a sequence or an array; None when there are rows.
        request: The caller's own id of the request, if any.
        wanted: What the protocol has to know for the answer.
        patience: Seconds that the body says the caller waits at most, if it does.
    """

    count: int
    rows: list[Any] | None
    columns: dict[str, Any] | None = None
    request: str | None = None
    ids: list[str] | None = None
    wanted: Any = None
    patience: float | None = None


class RowDecoder:
    """The decoder of one model's requests.

    Example:
        >>> from homeostat.core.schema import Column
        >>> decoder = RowDecoder((Column(name="distance", kind="integer", nullable=False),))
        >>> decoder.body(b'{"distance": 1400}').rows[0].c0
        1400
    """

    def __init__(self, columns: Sequence[Column], key: Sequence[str] = (), time: str | None = None) -> None:
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
        # A declared form of times is not for the decoder: it knows year first alone.
        self.declared = any(column.form is not None for column in columns)
        self._event = time if time in self.times else None
        self._times = [(name, self.fields[name], name == self._event) for name in self.times]
        self._texts = tuple(column.name for column in columns if column.kind in ("category", "text"))
        self._keys = [name for name in key if name in self._fields]
        self._key_values = [attrgetter(self.fields[name]) for name in self._keys]
        self._key_is_text = all(self.by_name[name].kind in ("category", "text") for name in self._keys)
        self._quotes = 2 * len(self.columns) + 2 * sum(column.kind in _TEXTS for column in columns)
        self._absent = [
            (column.name, attrgetter(field), 2 * (column.name in self.optional) + 2 * (column.kind in _TEXTS))
            for field, column in ordered
            if column.name in self.optional or (column.nullable and column.kind in _TEXTS)
        ]

    def body(self, data: bytes) -> Rows:
        """The rows of a JSON body: one object, a list of objects, or `{"records": [...], "id": ..., "ids": [...]}`.

        Raises:
            RowsError: Rows do not fit; lists every problem up to a bound.
            DataError: The body is no JSON, or none of the three shapes.
        """
        if self.declared:
            return self._slow_body(data)
        try:
            rows = self._many.decode(data) if data.lstrip()[:1] == b"[" else [self._one.decode(data)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._slow_body(data)
        # A text without a backslash is what it looks like; the calls are left out because most bodies have none.
        if (b"\\" in data or len(data) > LONGEST_TEXT) and suspicious(data):
            self._refuse_texts(rows)
        if len(rows) <= FEW:
            found = Rows(len(rows), self.finish(rows))
        else:
            found = self.gathered(rows)
            assert found.columns is not None
            for name in self.times:
                found.columns[name] = self.moments(name, found.columns[name])
        if not self._told_once(data, found):
            refuse_twice(data)
        return found

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
        """
        if not finite or self.declared:
            return self.finish(self._slow_rows(records))
        try:
            rows: list[Any] = msgspec.convert(records, list[self.row_type])  # type: ignore[name-defined]
        except (msgspec.MsgspecError, RecursionError):
            rows = self._slow_rows(records)
        else:
            self._refuse_texts(rows)
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
        """Each row's own id, by `core.ids.row_id`, or None when it has no key.

        Raises:
            RowsError: An id is empty, or longer than is taken anywhere.
        """
        if not self._keys:
            return [None] * rows.count
        simple = self._key_is_text and len(self._keys) == 1
        if simple and rows.count == 1 and rows.rows is not None:
            key = self._key_values[0](rows.rows[0])
            if key is None or 0 < len(key) <= LONGEST_ID:
                return [key]
        if rows.columns is not None:
            parts = [_plain(rows.columns[name]) for name in self._keys]
        else:
            parts = [list(map(value, rows.rows or ())) for value in self._key_values]
        keys = parts[0] if simple else list(map(row_id, zip(*parts, strict=True)))
        try:
            lengths = set(map(len, keys))
            fits = not lengths or (max(lengths) <= LONGEST_ID and 0 not in lengths)
        except TypeError:
            fits = False
        if not fits:
            self._refuse_keys(keys)
        return keys

    def _refuse_keys(self, keys: Sequence[str | None]) -> None:
        refuse(
            Problem(row, self._keys[0] if len(self._keys) == 1 else None, f"its id {problem}")
            for row, key in enumerate(keys)
            if key is not None and (problem := id_problem(key)) is not None
        )

    @cached_property
    def _stored(self) -> dict[str, Any]:
        return {column.name: _stored(column.kind) for column in self.columns}

    def _field(self, field: str, column: Column) -> tuple[str, Any] | tuple[str, Any, None]:
        if column.name in self.optional:
            return field, _TYPES[column.kind] | None, None
        return field, column_type(column)

    def finish(self, rows: list[Any]) -> list[Any]:
        """The rows, with every time in UTC.

        Raises:
            RowsError: A time is outside of the calendar.
        """
        for name, field, event in self._times:
            for place, row in enumerate(rows):
                moment = getattr(row, field)
                if moment is None:
                    continue
                if moment.tzinfo is not UTC or (event and not FIRST_YEAR <= moment.year <= LAST_YEAR):
                    setattr(row, field, self._in_utc(name, place, moment))
        return rows

    def moments(self, name: str, moments: Sequence[datetime | None]) -> Sequence[datetime | None]:
        """The times of a column in UTC; see `finish`."""
        event = name == self._event
        with suppress(AttributeError):  # None has no zone: it takes the long way
            elsewhere = [moment for moment in moments if moment.tzinfo is not UTC]  # type: ignore[union-attr]
            if not elsewhere and (not event or not moments or _between(min(moments), max(moments))):  # type: ignore[type-var]
                return moments
        return [None if moment is None else self._in_utc(name, row, moment) for row, moment in enumerate(moments)]

    def _in_utc(self, name: str, row: int, moment: datetime) -> datetime:
        value, message = taken(moment, "time", event=name == self._event)
        if message is not None:
            raise RowsError([Problem(row, name, message)])
        return value  # type: ignore[no-any-return]

    def _told_once(self, data: bytes, rows: Rows) -> bool:
        """Whether a body is known to say no column twice: it has no more quotes than its columns and texts need."""
        quotes = rows.count * self._quotes
        for name, value, fewer in self._absent:
            if rows.columns is not None:
                quotes -= fewer * nulls_among(rows.columns[name])
            else:
                for row in rows.rows or ():
                    if value(row) is None:
                        quotes -= fewer
        return (data.count(b'"') if len(data) < FEW_BYTES else count_quotes(data)) == quotes

    def _refuse_texts(self, rows: list[Any]) -> None:
        """Refuse texts that JSON can say and that cannot be stored."""
        for name in self._texts:
            values = map(attrgetter(self.fields[name]), rows)
            refuse_texts(name, values)

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
                f"the body is {found(content)}, not rows",
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
            problems.append(Problem(place, None, f"is {found(record)}, not an object of columns"))
            return None
        before = len(problems)
        missing = [name for name in self.names if name not in record and name not in self.optional]
        # A row can have a million columns too many, and names of megabytes.
        unknown = (name for name in record if name not in self._fields)
        spare = [str(name)[:100] for name in islice(unknown, MOST_PROBLEMS + 1)]
        problems += [Problem(place, name, f"is missing{_hint(name, spare)}") for name in missing]
        problems += [Problem(place, name, f"is unexpected{_hint(name, missing or self.names)}") for name in spare]
        values = {}
        for name, (field, column) in self._fields.items():
            if name in record:
                values[field], message = self._value(record[name], column)
                if message is not None:
                    problems.append(Problem(place, name, message))
        return values if len(problems) == before else None

    def _value(self, value: Any, column: Column) -> tuple[Any, str | None]:
        if value is None:
            null = column.nullable or column.name in self.optional
            return None, None if null else "is null, and never was in training"
        return taken(value, column.kind, event=column.name == self._event, form=column.form)


@lru_cache(maxsize=8)
def row_decoder(signature: Signature) -> RowDecoder:
    """The decoder of a signature; versions of a model mostly have the same, and compiling takes milliseconds."""
    return RowDecoder(signature.inputs, signature.key, signature.time)


def _between(first: Any, last: Any) -> bool:
    return bool(first.year >= FIRST_YEAR and last.year <= LAST_YEAR)


def suspicious(data: bytes) -> bool:
    """Whether a body may hold a text that JSON can say and that cannot be stored."""
    return len(data) > LONGEST_TEXT or (b"\\" in data and b"\\u0000" in data)


def refuse_texts(name: str, texts: Iterable[str | None]) -> None:
    """Refuse the texts of a column that cannot be stored."""
    texts = list(texts)
    with suppress(TypeError):  # None is no text: it takes the long way
        joined = "".join(texts)  # type: ignore[arg-type]
        if "\0" not in joined and len(joined) * 4 <= LONGEST_TEXT:
            return
    refuse(
        Problem(row, name, problem)
        for row, text in enumerate(texts)
        # All else that is wrong with a text has made it unreadable already.
        if text is not None
        and ("\0" in text or len(text) * 4 > LONGEST_TEXT)
        and (problem := text_problem(text)) is not None
    )


def refuse(problems: Iterable[Problem]) -> None:
    """Refuse rows with problems; of a great many, only as many are looked for as are told."""
    few = list(islice(problems, MOST_PROBLEMS + 1))
    if few:
        raise RowsError(few)


def column_type(column: Column) -> Any:
    """The type of a column's values in a request."""
    kind = _TYPES[column.kind]
    return kind | None if column.nullable else kind


def _plain(column: Any) -> Any:
    """A column as Python values."""
    return column.tolist() if hasattr(column, "tolist") else column


def _taken(column: Any, places: list[int]) -> Any:
    return column[places] if hasattr(column, "tolist") else [column[place] for place in places]


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
        raise DataError(f"the request's id is {found(request)}, not a text")
    if request and (problem := id_problem(request)) is not None:
        raise DataError(f"the request's id {problem}")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(item, str) and item for item in ids)):
        raise DataError("the field ids is not a list of texts", hint='send "ids": ["a", "b"], one per record')
    refuse(
        Problem(row, None, f"its id {problem}")
        for row, one in enumerate(ids or ())
        if (problem := id_problem(one)) is not None
    )
    return request, ids


def _hint(name: str, known: Sequence[str]) -> str:
    hint = did_you_mean(name, known)
    return f"; {hint}" if hint else ""
