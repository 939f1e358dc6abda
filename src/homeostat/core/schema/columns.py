"""What the columns of a table look like: inferred once, widened by later rows, compared in sentences."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import msgspec

from homeostat.core.errors import DataError, SchemaError
from homeostat.core.table.spec import TableSpec
from homeostat.core.text import records

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["number", "integer", "boolean", "category", "text", "time"]

MOST_CATEGORIES = 1_000
"""A text column with more distinct values than this is `text`: its values are not listed."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one column.

    Attributes:
        kind: What its values are; `category` is text with few distinct values.
        minimum, maximum: Range seen, of numbers and integers; None for other kinds or without values.
        categories: The values of a category, sorted.
        form: How a time is written when it is text, if it is not year first, as `homeostat.core.times` reads it.
    """

    name: str
    kind: Kind
    nullable: bool
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    form: str | None = None


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a table in order, and what they mean.

    Example:
        >>> import polars as pl
        >>> schema = infer_schema(pl.DataFrame({"at": ["2013-01-01"], "n": [1]}), TableSpec(time="at"))
        >>> [(column.name, column.kind) for column in schema.columns]
        [('at', 'time'), ('n', 'integer')]
        >>> Schema.from_json(schema.to_json()) == schema
        True
    """

    columns: tuple[Column, ...]
    spec: TableSpec

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON form."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The columns of a prediction request: all but target and label time."""
        return tuple(column for column in self.columns if column.name not in self.spec.labels)

    @property
    def as_read(self) -> TableSpec:
        """What the columns mean to the reader of a file: each that is known to be a time is one, if it is text."""
        times = {column.name: column.form or "" for column in self.columns if column.kind == "time"}
        return msgspec.structs.replace(self.spec, dates=tuple(sorted((times | dict(self.spec.dates)).items())))

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces."""
        return records.to_json(self)

    @staticmethod
    def from_json(data: bytes | str) -> Schema:
        """The inverse of `to_json`."""
        return records.from_json(data, Schema, SchemaError, "this is not a schema")


def stored_type(kind: str) -> pl.DataType:
    """The type in which a table stores a kind of column."""
    import polars as pl

    types: dict[str, pl.DataType] = {"number": pl.Float64(), "integer": pl.Int64(), "boolean": pl.Boolean()}
    return pl.Datetime("us", "UTC") if kind == "time" else types.get(kind, pl.String())


def infer_schema(rows: pl.DataFrame, spec: TableSpec) -> Schema:
    """What these rows look like.

    Raises:
        DataError: There are no rows, or a column cannot be stored.
    """
    from homeostat.core.table.rows import prepare

    if not rows.height:
        raise DataError("a schema cannot be inferred from no rows", hint="collect some rows first")
    rows = prepare(rows, spec)
    return Schema(columns=tuple(_infer(series, spec.times.get(series.name)) for series in rows), spec=spec)


def merge(old: Schema, new: Schema) -> Schema:
    """The schema of the rows of both: wider ranges, more categories, null where either has it.

    The old order of columns is kept.
    """
    columns = [_merged(column, new[column.name]) if column.name in new else column for column in old.columns]
    columns += [column for column in new.columns if column.name not in old]
    return Schema(columns=tuple(columns), spec=new.spec)


def difference(old: Schema, new: Schema) -> tuple[str, ...]:
    """What changed from one schema to the next, one sentence each; empty when nothing did."""
    lines = [f"column {column.name!r} is gone ({column.kind})" for column in old.columns if column.name not in new]
    lines += [f"column {column.name!r} is new ({column.kind})" for column in new.columns if column.name not in old]
    for column in old.columns:
        if column.name in new:
            lines += _changes(column, new[column.name])
    if old.spec.declared != new.spec.declared:
        lines.append(f"declared columns {old.spec.declared} -> {new.spec.declared}")
    return tuple(lines)


def _merged(old: Column, new: Column) -> Column:
    kind = old.kind
    categories: tuple[str, ...] | None = None
    if old.categories is not None and new.categories is not None:
        categories = tuple(sorted({*old.categories, *new.categories}))
    if old.kind == "category" and (categories is None or len(categories) > MOST_CATEGORIES):
        # A column without any value in the new rows has no categories there, and loses none for it.
        kind, categories = ("category", old.categories) if new.kind != "text" else ("text", None)
    lows = [one for one in (old.minimum, new.minimum) if one is not None]
    highs = [one for one in (old.maximum, new.maximum) if one is not None]
    return Column(
        name=old.name,
        kind=kind,
        nullable=old.nullable or new.nullable,
        minimum=min(lows, default=None),
        maximum=max(highs, default=None),
        categories=categories,
        form=new.form,
    )


def _infer(series: pl.Series, form: str | None) -> Column:
    name, dtype, nullable = series.name, series.dtype, series.null_count() > 0
    if dtype.is_temporal():
        return Column(name=name, kind="time", nullable=nullable, form=form)
    if dtype.is_numeric():
        lowest, highest = series.min(), series.max()
        return Column(
            name=name,
            kind="integer" if dtype.is_integer() else "number",
            nullable=nullable,
            minimum=None if lowest is None else float(lowest),  # type: ignore[arg-type]
            maximum=None if highest is None else float(highest),  # type: ignore[arg-type]
        )
    if str(dtype) == "Boolean":
        return Column(name=name, kind="boolean", nullable=nullable)
    values = series.drop_nulls().unique()
    if len(values) > MOST_CATEGORIES or len(values) > max(20, series.len() // 2):
        return Column(name=name, kind="text", nullable=nullable)
    return Column(name=name, kind="category", nullable=nullable, categories=tuple(sorted(values.to_list())))


def _changes(old: Column, new: Column) -> list[str]:
    name = old.name
    if old.kind != new.kind:
        return [f"column {name!r} was {old.kind}, is {new.kind}"]
    lines = []
    if old.nullable != new.nullable:
        lines.append(f"column {name!r} {'may now be null' if new.nullable else 'is never null now'}")
    if (old.minimum, old.maximum) != (new.minimum, new.maximum):
        lines.append(f"column {name!r} ranges over {_range(new)}, was {_range(old)}")
    if old.categories != new.categories:
        before, after = set(old.categories or ()), set(new.categories or ())
        added, gone = sorted(after - before), sorted(before - after)
        parts = [
            f"{len(names)} {word} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for names, word in ((added, "new"), (gone, "gone"))
            if names
        ]
        lines.append(f"column {name!r} has categories {' and '.join(parts)}")
    return lines


def _range(column: Column) -> str:
    if column.minimum is None or column.maximum is None:
        return "nothing"
    return f"{column.minimum:g} to {column.maximum:g}"
