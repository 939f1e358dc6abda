"""The shape that rows must have: inferred once, kept with the model, held against everything that comes later."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import msgspec

from homeostat.core.errors import DataError, SchemaError
from homeostat.core.events import Signal
from homeostat.core.spec import TableSpec, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

Kind = Literal["number", "integer", "boolean", "category", "text", "time"]

MOST_CATEGORIES = 1_000
"""A text column with more distinct values than this is `text`: its values are not listed."""

_TITLE = "the rows do not fit the schema"


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one column.

    Attributes:
        name: Its name.
        kind: What its values are; `category` is text with few distinct values.
        nullable: Whether nulls were seen.
        minimum, maximum: Range seen, of numbers and integers; None for other kinds or without values.
        categories: The values of a category, sorted.
    """

    name: str
    kind: Kind
    nullable: bool
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None


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

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces."""
        return msgspec.json.encode(self, order="sorted")

    @staticmethod
    def from_json(data: bytes | str) -> Schema:
        """The inverse of `to_json`.

        Raises:
            SchemaError: The text is not a schema.
        """
        try:
            return msgspec.json.decode(data, type=Schema)
        except msgspec.MsgspecError as error:
            raise SchemaError(f"this is not a schema: {error}") from error


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        problems: Schema skew, one sentence each: it stops whatever wanted the rows.
        signals: Value skew: values that the schema has not seen. Signals never stop anything.
    """

    problems: tuple[str, ...] = ()
    signals: tuple[Signal, ...] = ()

    def raise_if_any(self) -> None:
        """Stop when there is schema skew.

        Raises:
            SchemaError: Lists every problem.
        """
        if self.problems:
            from homeostat.core.rows import bulleted

            raise SchemaError(
                bulleted(_TITLE, self.problems),
                hint="mend the rows; if the change is meant, infer the schema anew and train on rows that fit it",
            )


def infer_schema(rows: pl.DataFrame, spec: TableSpec) -> Schema:
    """What these rows look like.

    Args:
        rows: At least one row.
        spec: What the columns mean.

    Returns:
        One column per column, in order.

    Raises:
        DataError: There are no rows, or a column cannot be stored.
    """
    from homeostat.core.rows import prepare

    if not rows.height:
        raise DataError("a schema cannot be inferred from no rows", hint="collect some rows first")
    rows = prepare(rows, spec)
    return Schema(columns=tuple(_infer(series) for series in rows), spec=spec)


def check(rows: pl.DataFrame, schema: Schema, *, target_required: bool) -> Findings:
    """Hold rows against a schema; the one check that guards training, batch inference and serving.

    Schema skew: missing, unexpected or mistyped columns, nulls where there never were any, NaN and infinity. Value
    skew: categories never seen, numbers outside the range seen.

    Args:
        rows: Any number of rows.
        schema: What they must look like.
        target_required: Whether target and label time must be there, as in training. If not, they are ignored.

    Returns:
        Every problem and every signal at once.
    """
    wanted = schema.columns if target_required else schema.inputs
    present = [name for name in rows.columns if target_required or name not in schema.spec.labels]
    problems = [
        f"column {column.name!r} is missing; {did_you_mean(column.name, _spare(present, schema))}"
        if _spare(present, schema)
        else f"column {column.name!r} is missing"
        for column in wanted
        if column.name not in present
    ]
    problems += [
        f"column {name!r} is unexpected; {did_you_mean(name, [c.name for c in wanted])}"
        for name in present
        if name not in schema
    ]
    signals: list[Signal] = []
    for column in wanted:
        if column.name in present:
            found = _check_column(rows[column.name], column)
            problems += found.problems
            signals += found.signals
    return Findings(problems=tuple(problems), signals=tuple(signals))


def difference(old: Schema, new: Schema) -> tuple[str, ...]:
    """What changed from one schema to the next, one sentence each; empty when nothing did."""
    lines = [f"column {column.name!r} is gone ({column.kind})" for column in old.columns if column.name not in new]
    lines += [f"column {column.name!r} is new ({column.kind})" for column in new.columns if column.name not in old]
    for column in old.columns:
        if column.name in new:
            lines += _changes(column, new[column.name])
    if old.spec != new.spec:
        lines.append(f"declared columns {old.spec.declared} -> {new.spec.declared}")
    return tuple(lines)


def _spare(present: list[str], schema: Schema) -> list[str]:
    return [name for name in present if name not in schema]


def _infer(series: pl.Series) -> Column:
    name, dtype, nullable = series.name, series.dtype, series.null_count() > 0
    if dtype.is_temporal():
        return Column(name=name, kind="time", nullable=nullable)
    if dtype.is_numeric():
        lowest, highest = series.min(), series.max()
        return Column(
            name=name,
            kind="integer" if dtype.is_integer() else "number",
            nullable=nullable,
            minimum=None if lowest is None else float(lowest),  # type: ignore[arg-type]
            maximum=None if highest is None else float(highest),  # type: ignore[arg-type]
        )
    if dtype.is_nested() or str(dtype) == "Boolean":
        return Column(name=name, kind="boolean", nullable=nullable)
    values = series.drop_nulls().unique()
    if len(values) > MOST_CATEGORIES or len(values) > max(20, series.len() // 2):
        return Column(name=name, kind="text", nullable=nullable)
    return Column(name=name, kind="category", nullable=nullable, categories=tuple(sorted(values.to_list())))


def _check_column(series: pl.Series, column: Column) -> Findings:
    import polars as pl

    from homeostat.core.rows import shown

    n = series.len()

    def problem(wrong: pl.Series, text: Callable[[str], str]) -> str:
        row = int(wrong.arg_true()[0])
        return (
            f"column {column.name!r} {text(shown(series[row]))} (first in row {row + 1}, {wrong.sum():,} of {n:,} rows)"
        )

    if series.dtype == pl.Null:
        series = series.cast(pl.String)
    nulls = series.is_null()
    problems = []
    if not column.nullable and nulls.any():
        problems.append(problem(nulls, lambda _: "is null, and never was"))
    if nulls.all():
        return Findings(problems=tuple(problems))
    mistyped = _mistyped(series, column)
    if mistyped.any():
        kind = "a whole number" if column.kind == "integer" else f"a {column.kind}"
        return Findings(problems=(*problems, problem(mistyped, lambda value: f"should be {kind}; found {value}")))
    if series.dtype.is_float():
        wild = ~series.is_finite().fill_null(value=True)
        if wild.any():
            return Findings(
                problems=(*problems, problem(wild, lambda value: f"holds {value}; write null for what is unknown"))
            )
    return Findings(problems=tuple(problems), signals=tuple(_value_skew(series, column)))


def _mistyped(series: pl.Series, column: Column) -> pl.Series:
    """Mask of the values that are not of the column's kind."""
    import polars as pl

    dtype, present = series.dtype, series.is_not_null()
    if column.kind == "integer" and dtype.is_float():
        return present & series.is_finite() & (series != series.round())
    text = dtype in (pl.String, pl.Categorical, pl.Enum)
    fits = {
        "number": dtype.is_numeric(),
        "integer": dtype.is_numeric(),
        "boolean": dtype == pl.Boolean,
        "category": text,
        "text": text,
        "time": dtype.is_temporal() and dtype != pl.Duration,
    }[column.kind]
    return present & (not fits)


def _value_skew(series: pl.Series, column: Column) -> list[Signal]:
    n = series.len() - series.null_count()
    if column.categories is not None:
        import polars as pl

        values = series.cast(pl.String).drop_nulls()
        unseen = values.filter(~values.is_in(list(column.categories)))
        if len(unseen):
            names = unseen.unique(maintain_order=True).to_list()
            listed = ", ".join(repr(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
            return [_signal(column, len(unseen) / n, n, f"values never seen before: {listed}")]
    if column.minimum is not None and column.maximum is not None:
        outside = ((series < column.minimum) | (series > column.maximum)).sum()
        if outside:
            detail = (
                f"values from {_shown(series.min())} to {_shown(series.max())}; "
                f"seen before were {column.minimum:g} to {column.maximum:g}"
            )
            return [_signal(column, int(outside) / n, n, detail)]
    return []


def _signal(column: Column, share: float, n: int, detail: str) -> Signal:
    return Signal(
        kind="value_drift", subject=column.name, value=share, n=n, detail=f"{share:.1%} of the rows hold {detail}"
    )


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


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _range(column: Column) -> str:
    if column.minimum is None or column.maximum is None:
        return "nothing"
    return f"{column.minimum:g} to {column.maximum:g}"
