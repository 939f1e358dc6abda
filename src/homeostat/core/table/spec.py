"""What the columns of a table mean: the declaration that tables, schemas and sources share, without their libraries."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from homeostat.core.errors import DataError
from homeostat.core.times.forms import refuse_unknown_form

MARK = " sha256:"
"""Between the name of a file and the digest of its content, in what an append says of its source."""

_MOST_NAMES, _LONGEST_NAME = 1_000, 100
"""What is compared to guess a name: comparing takes time by the square of what a caller sends."""


class TableSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns carry time, identity and label.

    Attributes:
        time: The event time: when the row happened, and when a prediction for it would be asked.
        key: The columns that identify a row. Empty means that the whole row is its identity, and then a label cannot
            arrive later than its row.
        target: The column to predict; None for a table without labels.
        label_time: When the target became known. None means that it was known at the event time.
        dates: How times are written that are not year first, by column, as in `core/times/columns.py`.

    Example:
        >>> TableSpec(time="scheduled", key=("flight_id",), target="late", label_time="landed").declared
        ('scheduled', 'flight_id', 'late', 'landed')
    """

    time: str
    key: tuple[str, ...] = ()
    target: str | None = None
    label_time: str | None = None
    dates: tuple[tuple[str, str], ...] = ()

    @property
    def times(self) -> dict[str, str | None]:
        """The columns that are times whatever they look like, and how they are written."""
        return {name: None for name in (self.time, self.label_time) if name is not None} | dict(self.dates)

    @property
    def declared(self) -> tuple[str, ...]:
        """Every column that is named here: time, key, target, label time."""
        return tuple(name for name in (self.time, *self.key, self.target, self.label_time) if name is not None)

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that are unknown when a prediction is asked: target and label time."""
        return tuple(name for name in (self.target, self.label_time) if name is not None)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a table, by name: enough to read exactly these rows again.

    Attributes:
        digest: Content digest of its rows: equal row sets have equal digests, however they were batched or compacted.
    """

    uri: str
    version: int
    digest: str
    rows: int
    spec: TableSpec

    def __fingerprint__(self) -> tuple[str, TableSpec]:
        """What stands for a snapshot in cache keys: its rows and their meaning, not where and how they are stored."""
        return self.digest, self.spec


def without_dates(spec: TableSpec) -> TableSpec:
    """What the columns mean, however their times are written: what a table is made with, which stores times."""
    return msgspec.structs.replace(spec, dates=())


def table_spec(
    time: str,
    key: str | Sequence[str] = (),
    target: str | None = None,
    label_time: str | None = None,
    dates: str | Mapping[str, str] | None = None,
) -> TableSpec:
    """A `TableSpec` from what a user writes, refused when one column is given two meanings.

    Args:
        time: Event time column.
        key: One column or several; empty for whole-row identity.
        target: Column to predict.
        label_time: Column that says when the target became known.
        dates: How times are written that are not year first: a form for time and label time, or forms by column.

    Raises:
        DataError: A name is empty, or one column plays two parts.

    Example:
        >>> table_spec("scheduled", "flight_id").key
        ('flight_id',)
    """
    spec = TableSpec(
        time=time,
        key=(key,) if isinstance(key, str) else tuple(key),
        target=target,
        label_time=label_time,
        dates=_forms(dates, time, label_time),
    )
    if not all(isinstance(name, str) and name for name in spec.declared):
        raise DataError("a column name is empty or not a string", hint="name columns as they are in the table")
    labels = spec.labels
    if len(set(spec.key)) < len(spec.key) or len(set(labels)) < len(labels) or {spec.time, *spec.key} & set(labels):
        raise DataError(
            f"one column is declared twice: {describe(spec)}",
            hint="only time and key may share a column; leave label_time out when the label is known at the event time",
        )
    return spec


def _forms(dates: str | Mapping[str, str] | None, time: str, label_time: str | None) -> tuple[tuple[str, str], ...]:
    if not dates:
        return ()
    if isinstance(dates, str):
        dates = {name: dates for name in (time, label_time) if name is not None}
    for name, form in dates.items():
        try:
            refuse_unknown_form(form)
        except DataError as error:
            raise DataError(f"dates of column {name!r}: {error.what}", hint=error.hint) from error
    return tuple(sorted(dates.items()))


def describe(spec: TableSpec) -> str:
    """A declaration as one would write it."""
    return f"time={spec.time!r}, key={spec.key!r}, target={spec.target!r}, label_time={spec.label_time!r}"


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint for a name that is not there, built from the names that are; bounded whatever the names."""
    names = list(islice(known, _MOST_NAMES))
    lower = {candidate.lower(): candidate for candidate in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6) if len(name) <= _LONGEST_NAME else []
    if near:
        return f"did you mean {lower[near[0]]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"there are {shown}" if names else None
