"""Which labelled rows of the log can join the training table, and why the others cannot.

Whoever calls the server may send a label that is none and leave out a row's key. One such row must not keep the others
from being learned, and is told of instead.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from homeostat.cd.labels.values import stored_label
from homeostat.core.errors import DataError
from homeostat.core.times.columns import UTC_TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from homeostat.cd.labels.join import Labelled
    from homeostat.core.model import Signature
    from homeostat.core.table.spec import TableSpec

_MISFIT = "inputs of another type"
_REFUSED = "not as the training table stores rows"


def training_rows(
    labelled: Sequence[Labelled], signature: Signature, spec: TableSpec, dtype: pl.DataType
) -> tuple[pl.DataFrame, Counter[str]]:
    """Labelled rows in the types of the training table, and how many were set aside for which reason.

    A label is never rounded to fit: 30.7 does not become the integer 30.
    """
    aside: Counter[str] = Counter()
    rows, places = decoded([features for features, _, _ in labelled], signature)
    aside[_MISFIT] += len(labelled) - len(places)
    assert spec.target is not None
    labels = [stored_label(labelled[place][1], dtype) for place in places]
    rows = rows.with_columns(pl.Series(spec.target, labels, dtype=dtype))
    if spec.label_time is not None:
        moments = [labelled[place][2] for place in places]
        rows = rows.with_columns(pl.Series(spec.label_time, moments, dtype=UTC_TIME))
    for reason, broken in _reasons(spec, rows).items():
        kept = rows.filter(~broken.fill_null(value=False))
        aside[reason] += rows.height - kept.height
        rows = kept
    return rows, +aside


def storable(rows: pl.DataFrame, conform: Callable[[pl.DataFrame], object]) -> tuple[pl.DataFrame, Counter[str]]:
    """The rows that a table takes, and how many were set aside; of one bad row only that row.

    `conform` raises `DataError` for rows that the table refuses.
    """
    try:
        conform(rows)
    except DataError:
        if rows.height <= 1:
            return rows.clear(), Counter({_REFUSED: rows.height})
        half = rows.height // 2
        (first, one), (second, other) = storable(rows[:half], conform), storable(rows[half:], conform)
        return pl.concat([first, second]), one + other
    return rows, Counter()


def decoded(records: Sequence[Mapping[str, Any]], signature: Signature) -> tuple[pl.DataFrame, list[int]]:
    """Raw inputs in the types of a signature, and which of the records they are: those that do not fit are left out."""
    try:
        return signature.decode(records), list(range(len(records)))
    except DataError:
        places = [place for place, record in enumerate(records) if _fits(record, signature)]
        return signature.decode([records[place] for place in places]), places


def _reasons(spec: TableSpec, rows: pl.DataFrame) -> dict[str, pl.Expr]:
    """By reason: which rows the training table would refuse."""
    assert spec.target is not None
    numbers = [pl.col(name).is_finite().not_() for name in rows.columns if rows[name].dtype.is_float()]
    reasons = {
        "no time": pl.col(spec.time).is_null(),
        "no key": pl.any_horizontal(pl.lit(value=False), *(pl.col(name).is_null() for name in spec.key)),
        f"a label that is no {rows[spec.target].dtype}": pl.col(spec.target).is_null(),
        "numbers that are not finite": pl.any_horizontal(pl.lit(value=False), *numbers),
    }
    if spec.label_time is not None:
        reasons["a label from before the row"] = pl.col(spec.label_time) < pl.col(spec.time)
    return reasons


def _fits(record: Mapping[str, Any], signature: Signature) -> bool:
    try:
        signature.decode([record])
    except DataError:
        return False
    return True
