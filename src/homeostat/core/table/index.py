"""Which rows a table has, in memory: what makes an append idempotent without reading the table again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from homeostat.core.table.rows import NEVER, known_at, row_hashes

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.table.spec import TableSpec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_799_999_999
"""Microseconds until the end of the year 9999."""


@dataclass
class RowIndex:
    """One entry per row: its identity, its content and when its label became known. 24 bytes a row.

    Attributes:
        keys: Hashes of the rows' identities, ascending; shape (rows,).
        content: Hashes of the whole rows, in the order of `keys`.
        known: Label times in microseconds, `NEVER` without a label, in the order of `keys`.
        latest: Newest event time in microseconds.
        files: Data files that it knows.
        version: Table version that it describes; -1 before the first.
    """

    spec: TableSpec
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    content: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    known: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    latest: int | None = None
    files: set[str] = field(default_factory=set)
    version: int = -1

    @property
    def count(self) -> int:
        """Rows of the table."""
        return self.keys.size

    @property
    def newest(self) -> datetime | None:
        """Newest event time; that of a row which an earlier Homeostat took from beyond the calendar is its end."""
        return None if self.latest is None else _EPOCH + timedelta(microseconds=min(self.latest, _LAST))

    @property
    def digest(self) -> str:
        """Content digest of the row set: the sum of its row hashes, which knows neither order nor batches."""
        return _digest(self.content)

    @staticmethod
    def digest_of(rows: pl.DataFrame) -> str:
        """The digest of these rows."""
        return _digest(row_hashes(rows))

    def trainable(self, known_by: int) -> int:
        """Rows whose label was known by then, in microseconds since 1970."""
        return int(((self.known <= known_by) & (self.known != NEVER)).sum())

    def late(self, rows: pl.DataFrame) -> int:
        """How many of these rows have an event time before the newest one stored."""
        if self.latest is None:
            return 0
        return int((rows[self.spec.time].dt.timestamp("us") < self.latest).sum())

    def sort_out(self, rows: pl.DataFrame) -> Fresh:
        """Split prepared rows into new ones, ones that bring a missing label, and repetitions."""
        keys = row_hashes(rows, self.spec.key or None)
        content = row_hashes(rows) if self.spec.key else keys
        known = known_at(rows, self.spec)
        first = _first_of_each(keys, known)
        place = np.searchsorted(self.keys, keys[first])
        there = np.zeros(first.size, dtype=bool)
        inside = place < self.count
        there[inside] = self.keys[place[inside]] == keys[first][inside]
        labels = np.zeros(first.size, dtype=bool)
        if self.spec.key:
            labels[there] = (self.known[place[there]] == NEVER) & (known[first][there] != NEVER)
        new, upgrade = first[~there], first[labels]
        after = self._with(keys[new], content[new], known[new])
        spot = np.searchsorted(after.keys, keys[upgrade])
        after.content[spot], after.known[spot] = content[upgrade], known[upgrade]
        kept, content_there, known_there = there & ~labels, content[first], known[first]
        content_there[kept], known_there[kept] = self.content[place[kept]], self.known[place[kept]]
        of = np.searchsorted(keys[first], keys)
        # A row that comes without its label when that is known already says nothing new.
        changed = (content != content_there[of]) & ((known != NEVER) | (known_there[of] == NEVER))
        taken = rows[np.sort(np.concatenate([new, upgrade]))]
        if taken.height:
            newest = _latest(taken[self.spec.time])
            after.latest = newest if self.latest is None else max(self.latest, newest)
        return Fresh(taken, new.size, upgrade.size, int(changed.sum()), after)

    def learn(self, rows: pl.DataFrame, *, files: set[str], version: int) -> None:
        """Take in stored rows that another writer, or an earlier process, added."""
        after = self.sort_out(rows).after
        self.keys, self.content, self.known, self.latest = after.keys, after.content, after.known, after.latest
        self.files, self.version = files, version

    def _with(self, keys: NDArray[np.uint64], content: NDArray[np.uint64], known: NDArray[np.int64]) -> RowIndex:
        order = np.argsort(keys)
        place = np.searchsorted(self.keys, keys[order])
        return RowIndex(
            self.spec,
            np.insert(self.keys, place, keys[order]),
            np.insert(self.content, place, content[order]),
            np.insert(self.known, place, known[order]),
            self.latest,
            self.files,
            self.version,
        )


@dataclass(frozen=True)
class Fresh:
    """What a batch brings: the rows to store, how many are new, how many bring a label, and the index afterwards."""

    rows: pl.DataFrame
    new: int
    labelled: int
    changed: int
    after: RowIndex


def _latest(times: pl.Series) -> int:
    return int(times.dt.timestamp("us").sort()[-1])


def _digest(content: NDArray[np.uint64]) -> str:
    return f"{content.size:016x}{int(content.sum(dtype=np.uint64)):016x}"


def _first_of_each(keys: NDArray[np.uint64], known: NDArray[np.int64]) -> NDArray[np.intp]:
    """Position of the row that stands for each key: the first labelled one, else the first."""
    order = np.lexsort((known == NEVER, keys))
    ordered = keys[order]
    starts = np.ones(order.size, dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return order[starts]
