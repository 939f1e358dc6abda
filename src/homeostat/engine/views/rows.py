"""Rows of a loop's table: how many are meant, and the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.engine.table.remove import Selection, selected

if TYPE_CHECKING:
    from homeostat.core.store import Store
    from homeostat.loop import Loop

_SHOWN = 10


class RowsFound(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that are meant."""

    selection: str
    rows: int
    version: int
    columns: tuple[str, ...]
    first: tuple[dict[str, Any], ...]


def rows(store: Store, loop: Loop, selection: Selection) -> RowsFound:
    """The rows of a loop's table that are meant."""
    import polars as pl

    table = store.table(loop.name, "rows", loop.source.spec)
    there = table.read()
    found = there.filter(selected(table, there, selection)) if there.width else there
    times = [name for name, dtype in found.schema.items() if dtype.is_temporal()]
    # A time from beyond the calendar, which an earlier version let in, is no Python datetime.
    first = found.head(_SHOWN).with_columns(pl.col(times).cast(pl.String)).to_dicts()
    return RowsFound(
        selection=str(selection),
        rows=found.height,
        version=table.version,
        columns=tuple(found.columns),
        first=tuple(first),
    )
