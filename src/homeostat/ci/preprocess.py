"""Split rows by time, so that a model is tested on what came after everything that it learned from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
import numpy as np
import polars as pl

from homeostat.core.clock import duration, utc
from homeostat.core.errors import DataError, LoopError
from homeostat.core.table.rows import NEVER, known_at

if TYPE_CHECKING:
    from homeostat.core.table.spec import TableSpec


class SplitInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How rows were divided.

    Attributes:
        cutoff: Event time of the first test row.
        unlabelled: Rows left out because their label was not known at `now`.
        purged: Rows from before the cutoff left out of training because their label came after it.
    """

    method: str
    cutoff: datetime | None
    train_rows: int
    test_rows: int
    unlabelled: int = 0
    purged: int = 0
    warnings: tuple[str, ...] = ()


class SplitRows(NamedTuple):
    """Training rows, test rows, and how they were divided."""

    train: pl.DataFrame
    test: pl.DataFrame
    info: SplitInfo


def split(
    rows: pl.DataFrame,
    spec: TableSpec,
    *,
    test: float | str | timedelta = 0.2,
    now: datetime | None = None,
    seed: int | None = None,
) -> SplitRows:
    """Divide labelled rows into training and test rows at one event time.

    Training rows are those from before the cutoff whose label was known at the cutoff: what a model trained at that
    moment could have seen. Rows that share the cutoff's event time are all test rows.

    Args:
        rows: Rows in stored types, in any order.
        spec: What the columns mean.
        test: The end of the time line to test on: a share of the labelled rows in (0, 1), or a length of time such as
            `"7d"`.
        now: Labels that came after this moment are not known yet; None knows all of them.
        seed: Divide at random instead, with this seed; rows then see their own future, and the report warns of it.

    Raises:
        DataError: A part is empty.
        LoopError: `test` is out of range.

    Example:
        >>> from datetime import UTC
        >>> from homeostat.core.table.spec import TableSpec
        >>> days = [datetime(2013, 1, day, tzinfo=UTC) for day in range(1, 11)]
        >>> parts = split(pl.DataFrame({"at": days, "y": [0.0] * 10}), TableSpec(time="at", target="y"), test=0.2)
        >>> parts.train.height, parts.test.height
        (8, 2)
    """
    if isinstance(test, float | int) and not 0 < test < 1:
        raise LoopError(
            f"test={test} is no share of the rows", hint="choose a share such as 0.2, or a time such as '7d'"
        )
    labelled = _labelled(rows, spec, now)
    unlabelled = rows.height - labelled.height
    if seed is not None:
        return _random(labelled, test, seed, unlabelled)
    return _by_time(labelled, spec.time, _cutoff(labelled, spec.time, test), unlabelled)


def _labelled(rows: pl.DataFrame, spec: TableSpec, now: datetime | None) -> pl.DataFrame:
    """The rows whose label is known at `now`, in order of time, with the moment in microseconds as `__known`."""
    known = known_at(rows, spec)
    limit = int(NEVER) if now is None else _microseconds(now) + 1
    rows = rows.with_columns(pl.Series("__known", known)).sort(spec.time, *spec.key, maintain_order=True)
    labelled = rows.filter(pl.col("__known") < limit)
    if labelled.height < 2:
        raise DataError(
            f"{labelled.height} of {rows.height:,} rows have a label that is known"
            + (f" at {now:%Y-%m-%d %H:%M}" if now else ""),
            hint="wait for labels, or check target and label_time in the source",
        )
    return labelled


def _by_time(labelled: pl.DataFrame, time: str, cutoff: datetime, unlabelled: int) -> SplitRows:
    before = labelled.filter(pl.col(time) < cutoff)
    train = before.filter(pl.col("__known") <= pl.lit(_microseconds(cutoff)))
    after = labelled.filter(pl.col(time) >= cutoff)
    if not (train.height and after.height):
        raise DataError(
            f"a split at {cutoff:%Y-%m-%d %H:%M} leaves {train.height:,} rows to train and {after.height:,} to test on",
            hint=_way_to_parts(labelled, time),
        )
    info = SplitInfo(
        method="time",
        cutoff=cutoff,
        train_rows=train.height,
        test_rows=after.height,
        unlabelled=unlabelled,
        purged=before.height - train.height,
    )
    return SplitRows(train.drop("__known"), after.drop("__known"), info)


def _way_to_parts(labelled: pl.DataFrame, time: str) -> str:
    """Which `test=` leaves rows on both sides, if any does."""
    moments = labelled[time].n_unique()
    if moments < 2:
        return f"all {labelled.height:,} labelled rows have the same {time!r}: collect rows of another time"
    days = (cast("datetime", labelled[time][-1]) - cast("datetime", labelled[time][0])) / timedelta(days=1)
    return f"the {labelled.height:,} labelled rows span {days:,.1f} days: try test=0.2, or widen the training window"


def _cutoff(labelled: pl.DataFrame, time: str, test: float | str | timedelta) -> datetime:
    if isinstance(test, float | int):
        place = min(max(1, round(labelled.height * (1 - test))), labelled.height - 1)
        return cast("datetime", labelled[time][place])
    length = duration(test) if isinstance(test, str) else test
    return cast("datetime", labelled[time][-1]) - length


def _random(labelled: pl.DataFrame, test: float | str | timedelta, seed: int, unlabelled: int) -> SplitRows:
    if not isinstance(test, float | int):
        raise LoopError("a random split takes a share of the rows, not a length of time", hint="write test=0.2")
    count = min(max(1, round(labelled.height * test)), labelled.height - 1)
    chosen = np.zeros(labelled.height, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(labelled.height)[:count]] = True
    rows = labelled.drop("__known")
    info = SplitInfo(
        method="random",
        cutoff=None,
        train_rows=labelled.height - count,
        test_rows=count,
        unlabelled=unlabelled,
        warnings=("the split is random and the rows have times: the model has seen the future of its test rows",),
    )
    return SplitRows(rows.filter(~chosen), rows.filter(chosen), info)


def _microseconds(moment: datetime) -> int:
    return (utc(moment) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
