"""Taking rows out of a loop's table: which ones are meant, and the table and the ledger after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from homeostat.core.errors import DataError, NotFoundError
from homeostat.core.events import RowsRemoved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

    from homeostat.core.clock import Clock
    from homeostat.core.store import Store
    from homeostat.core.table.table import Table


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows are meant: those that all of these hold for.

    Attributes:
        keys: Ids of rows, as answers and labels have them.
        since, until: Event times, the first included and the second not.
        source: The file that brought them, as the ledger calls it.
        where: A condition in SQL over the columns, such as `wind > 100 AND carrier = 'UA'`.
    """

    keys: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    source: str | None = None
    where: str | None = None

    def __str__(self) -> str:
        parts = [f"key {', '.join(self.keys[:5])}{', …' if len(self.keys) > 5 else ''}"] if self.keys else []
        parts += [f"since {self.since.isoformat()}"] if self.since else []
        parts += [f"until {self.until.isoformat()}"] if self.until else []
        parts += [f"from {self.source}"] if self.source else []
        parts += [f"where {self.where}"] if self.where else []
        return "; ".join(parts) or "all rows"


def selected(table: Table, rows: pl.DataFrame, selection: Selection) -> pl.Series:
    """Which rows of a table are meant.

    Raises:
        DataError: The condition is none, or the table has no key.
        NotFoundError: No file of that name brought rows.
    """
    import polars as pl

    spec = table.spec
    mask = pl.repeat(value=True, n=rows.height, eager=True)
    if selection.since is not None:
        mask &= rows[spec.time] >= selection.since
    if selection.until is not None:
        mask &= rows[spec.time] < selection.until
    if selection.where is not None:
        mask &= _where(rows, selection.where)
    if selection.keys:
        mask &= _keyed(rows, spec.key, selection.keys)
    if selection.source is not None:
        mask &= _brought(table, rows, selection.source)
    return mask


def remove(
    store: Store, loop: str, table: Table, selection: Selection, *, user: str, reason: str, clock: Clock
) -> RowsRemoved:
    """Take rows out of a table, in one commit; the version before keeps them, for what was trained on it."""
    taken = 0

    def left(rows: pl.DataFrame) -> pl.DataFrame:
        nonlocal taken
        mask = selected(table, rows, selection)
        taken = int(mask.sum())
        if not taken:
            raise NotFoundError(
                f"no row of the table is meant: {selection}", hint="`homeostat rows` shows what is there"
            )
        return rows.filter(~mask)

    before, after = table.rewrite(left, source=f"rows --remove: {reason}")
    event = RowsRemoved(
        loop=loop,
        table=table.folder.name,
        user=user,
        reason=reason,
        selection=str(selection),
        rows=taken,
        before=before,
        after=after,
        total=table.rows,
    )
    store.ledger.append(event, time=clock.now())
    return event


def _where(rows: pl.DataFrame, condition: str) -> pl.Series:
    import polars as pl

    try:
        mask = rows.select(pl.sql_expr(condition).alias("mask"))["mask"]
    except (pl.exceptions.PolarsError, ValueError) as error:
        said = str(error).partition("\n")[0][:200]
        hint = "a condition over the columns, such as \"wind > 100 AND carrier = 'UA'\""
        raise DataError(f"{condition[:200]!r} is no condition: {said}", hint=hint) from error
    if mask.dtype != pl.Boolean or len(mask) != rows.height:
        raise DataError(f"{condition[:200]!r} is no condition", hint="write what holds for the rows that are meant")
    return mask.fill_null(value=False)


def _keyed(rows: pl.DataFrame, key: Sequence[str], wanted: Sequence[str]) -> pl.Series:
    import polars as pl

    from homeostat.core.table.ids import row_id

    if not key:
        raise DataError("the table has no key", hint="say which rows with --where, --since and --until")
    ids = [row_id(values) for values in rows.select(key).iter_rows()]
    unknown = sorted(set(wanted) - set(ids))
    if unknown:
        raise NotFoundError(f"the table has no row {unknown[0][:200]!r}", hint="ids are as in answers and labels")
    return pl.Series([one in set(wanted) for one in ids])


def _brought(table: Table, rows: pl.DataFrame, source: str) -> pl.Series:
    """Rows whose key, or whole content, a file brought."""
    import numpy as np
    import polars as pl

    from homeostat.core.table.rows import row_hashes

    brought = table.added_by(source)
    if not brought.height:
        raise NotFoundError(f"no row came from {source!r}", hint="name a file as `homeostat rows` and the ledger do")
    same = table.spec.key or [name for name in rows.columns if name in brought.columns]
    return pl.Series(np.isin(row_hashes(rows, same), row_hashes(brought, same)))
