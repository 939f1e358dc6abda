"""What may enter a table: rows are held against all that could refuse them later, before the first is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from homeostat.core.errors import DataError, SchemaError
from homeostat.core.events import ColumnChange, SchemaAccepted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from homeostat.core.clock import Clock
    from homeostat.core.ledger import Ledger
    from homeostat.core.schema import Schema
    from homeostat.core.store import Store
    from homeostat.core.table.table import Table

WAYS_OUT = "mend or delete the file, or, if the change is meant, take it with `homeostat accept-schema`"
THE_LOOP = "the loop"


class Growth(msgspec.Struct, frozen=True):
    """A change of a table that loses nothing, so that it is made without asking.

    Attributes:
        types: Column to its new type: whole numbers become fractions where each is held exactly, and a column without
            any value takes the type of its first ones.
        changes, described: The same for the ledger.
    """

    types: dict[str, pl.DataType]
    changes: tuple[ColumnChange, ...] = ()
    described: tuple[str, ...] = ()


def schema_of(store: Store, loop: str) -> Schema | None:
    """What new rows are held against: the champion's schema with what was accepted since; None without a champion."""
    from homeostat.core.model import Bundle
    from homeostat.core.schema.accepted import accepted_schema

    champion = store.ledger.champion(loop)
    if champion is None:
        return None
    manifest = Bundle.read(store.artifacts, store.ledger.version(loop, champion.version).manifest).manifest
    return accepted_schema(store.ledger, loop, manifest.schema)


def for_rows(schema: Schema) -> Schema:
    """The schema of rows on their way into a table: their labels may come later."""
    columns = tuple(
        msgspec.structs.replace(column, nullable=True) if column.name in schema.spec.labels else column
        for column in schema.columns
    )
    return msgspec.structs.replace(schema, columns=columns)


def refuse_skew(rows: pl.DataFrame, accepted: Schema | None) -> None:
    """Refuse conformed rows that no later run could train on.

    Raises:
        SchemaError: Lists every problem with its first row.
    """
    from homeostat.core.schema import check
    from homeostat.core.table.rows import bulleted

    if accepted is None:
        return
    problems = check(rows, for_rows(accepted), target_required=True).problems
    if problems:
        raise SchemaError(bulleted("the rows do not fit the schema", problems), hint=WAYS_OUT)


def growth(table: Table, frames: Sequence[pl.DataFrame]) -> Growth:
    """What of a table's types has to grow for new rows, and may without losing anything."""
    import polars as pl

    types: dict[str, pl.DataType] = {}
    changes, described = [], []
    for name, stored in table.columns.items():
        came = [rows[name] for rows in frames if name in rows.columns and rows[name].count()]
        if name in table.spec.declared or not came:
            continue
        if stored == pl.Int64 and any(map(_has_fractions, came)) and _exact(table, name):
            types[name] = pl.Float64()
            described.append(f"column {name!r} was integer, is number: every stored value is held exactly")
        elif stored == pl.String and (first := _first_type(came)) is not None and _empty(table, name):
            types[name] = first
            described.append(f"column {name!r} had no values yet, is {kind_of(first)}")
        else:
            continue
        changes.append(ColumnChange(column=name, kind=kind_of(types[name]), nullable=stored == pl.String))
    return Growth(types, tuple(changes), tuple(described))


def grow(table: Table, found: Growth, ledger: Ledger, loop: str, clock: Clock) -> None:
    """Make the change, which the ledger hears of first: a crash between the two is gone on from by the next look."""
    if not found.types:
        return
    reason = "the new rows have them, and nothing that was stored is lost"
    accepted = SchemaAccepted(loop=loop, user=THE_LOOP, reason=reason, changes=found.changes, described=found.described)
    ledger.append(accepted, time=clock.now())
    table.rewrite(lambda rows: retyped(rows, found.types), source="; ".join(found.described))


def retyped(rows: pl.DataFrame, types: dict[str, pl.DataType]) -> pl.DataFrame:
    """Rows with columns in other types, which must lose no value.

    Raises:
        DataError: Values would be lost; names the first.
    """
    import polars as pl

    from homeostat.core.errors import shown

    columns = []
    for name, dtype in types.items():
        series = rows[name]
        if not series.count():
            columns.append(pl.Series(name, [None] * series.len(), dtype=dtype))
            continue
        cast = _cast(series, dtype)
        lost = series.is_not_null() & cast.is_null()
        if lost.any():
            row = lost.arg_true()[0]
            what = (
                f"column {name!r} holds {shown(series[row])}, which is no {kind_of(dtype)} ({lost.sum():,} stored rows)"
            )
            raise DataError(what, hint="take those rows out first: `homeostat rows --remove`")
        columns.append(cast)
    return rows.with_columns(columns)


def _cast(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    import polars as pl

    from homeostat.core.times.columns import read_times

    if dtype.is_temporal():
        return read_times(series)
    if dtype == pl.Boolean and series.dtype == pl.String:
        return series.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    if dtype == pl.String and series.dtype.is_temporal():
        return series.dt.to_string("iso:strict")
    return series.cast(dtype, strict=False)


def _has_fractions(series: pl.Series) -> bool:
    if not (series.dtype.is_float() or series.dtype.is_decimal()):
        return False
    import polars as pl

    numbers = series.cast(pl.Float64).drop_nulls()
    return bool((numbers != numbers.round()).any())


def _exact(table: Table, name: str) -> bool:
    from homeostat.core.values import inexact_whole

    return inexact_whole(table.read(columns=[name])[name]) is None


def _empty(table: Table, name: str) -> bool:
    return table.read(columns=[name])[name].count() == 0


def _first_type(came: Sequence[pl.Series]) -> pl.DataType | None:
    """The stored type of a column's first values, where it is one and no text."""
    import polars as pl

    from homeostat.core.table.rows import stored_form

    found = set()
    for series in came:
        rows, problems = stored_form(series.to_frame(), {})
        if problems:
            return None
        found.add(rows[series.name].dtype)
    if found == {pl.Int64(), pl.Float64()}:
        return pl.Float64()
    return found.pop() if len(found) == 1 and pl.String() not in found else None


def kind_of(dtype: pl.DataType) -> str:
    """The kind of a stored type; text for whatever has few or many texts."""
    import polars as pl

    if dtype.is_temporal():
        return "time"
    names = {pl.Float64(): "number", pl.Int64(): "integer", pl.Boolean(): "boolean"}
    return names.get(dtype, "text")
