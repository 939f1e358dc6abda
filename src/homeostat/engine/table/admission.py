"""Which labelled rows of the prediction log get into the training table: those that fit it, once, and not again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from homeostat.cd.labels.training_rows import storable
from homeostat.ci.admit import refuse_skew, schema_of
from homeostat.core.events import RowsRemoved
from homeostat.core.table.rows import row_hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homeostat.core.store import Store
    from homeostat.core.table.table import Table

_REMOVED = "taken out by a person before"


class Admission:
    """The door of the training table for rows of the log.

    The log is read again at each start, so rows that a person took out of the table would come back.
    """

    def __init__(self, store: Store, loop: str, table: Table) -> None:
        self._store, self._loop, self._table = store, loop, table
        self._removed: dict[int, NDArray[np.uint64]] = {}

    def admitted(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
        """The rows as the table takes them, and how many were set aside for which reason."""
        accepted = schema_of(self._store, self._loop)
        rows = self._columns_of_now(rows)
        rows, aside = storable(rows, lambda some: refuse_skew(self._table.conform(some), accepted))
        gone = self._gone()
        if not rows.height or not gone.size:
            return rows, aside
        back = np.isin(row_hashes(self._table.conform(rows)), gone)
        aside[_REMOVED] += int(back.sum())
        return rows.filter(pl.Series(~back)), +aside

    def _columns_of_now(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The columns of the table: one that it lost since is left out, and one that it got since is not known."""
        types = self._table.columns
        rows = rows.select(name for name in rows.columns if name in types)
        lacking = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in types.items() if name not in rows.columns]
        return rows.with_columns(lacking)

    def _gone(self) -> NDArray[np.uint64]:
        """Hashes of rows that people took out."""
        for recorded in self._store.ledger.events(loop=self._loop, kinds=(RowsRemoved,)):
            event = recorded.event
            if isinstance(event, RowsRemoved) and recorded.seq not in self._removed:
                self._removed[recorded.seq] = self._table.removed(event.before, event.after)
        return np.concatenate([np.empty(0, np.uint64), *self._removed.values()])
