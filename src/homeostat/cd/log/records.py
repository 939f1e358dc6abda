"""What the prediction log records: answered predictions, the other arms' predictions, and labels, as typed values.

A record is one MessagePack array, tagged by its first item, so that fields can be added at the end without breaking
older logs. `features` are the raw inputs of a row, as they were received and before the user's `features` function.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from homeostat.core.model.signature import Label

Scored = list[Any]
"""`[value, probability, ...]`: the predicted value, then one probability per class (none for a regression)."""


class RowRecord(msgspec.Struct, array_like=True):
    """One row of a request.

    Attributes:
        id: What a label refers to: the row's key, or the request's id.
        arm: The version whose prediction was returned.
        propensity: The probability (0..1) with which that arm was chosen.
        predictions: Version to `[value, probability, ...]`; the answering arm's only.
    """

    id: str
    arm: int
    propensity: float
    features: dict[str, Any]
    predictions: dict[int, Scored]


class PredictionRecord(msgspec.Struct, array_like=True, tag=1):
    """One answered request, written before its answer is sent.

    Attributes:
        request: The request's id, as it is returned to the caller.
        awaits: Versions that score the same rows afterwards, in a `ShadowRecord` each.
    """

    request: str
    time: datetime
    rows: list[RowRecord]
    awaits: tuple[int, ...] = ()


class ShadowRecord(msgspec.Struct, array_like=True, tag=2):
    """What an arm that did not answer made of rows, of one request or several, or why it made nothing of them.

    Attributes:
        time: When the last of the rows was answered by its arm, in UTC.
        predictions: One `[value, probability, ...]` per row; empty when `error` is set.
        error: None, or `dropped` (its queue was full) or the first line of what it raised.
    """

    time: datetime
    version: int
    requests: list[str]
    ids: list[str]
    predictions: list[Scored]
    error: str | None = None


class LabelItem(msgspec.Struct, array_like=True):
    """One label: of which row, what it was, and when it became known."""

    id: str
    label: Label
    time: datetime


class LabelRecord(msgspec.Struct, array_like=True, tag=3):
    """Labels that arrived together, written before they are acknowledged."""

    time: datetime
    labels: list[LabelItem]


class Packed(msgspec.Struct, frozen=True):
    """Numbers as bytes, as they arrived or as a model gave them.

    Attributes:
        dtype: NumPy's name of their type, little-endian: `<f8`, `<f4`, `<i8`, `|b1`, …
        data: The numbers, row by row; none of them is NaN.
    """

    dtype: str
    data: bytes


class BlockRecord(msgspec.Struct, array_like=True, tag=4):
    """One answered request of many rows, by columns; a reader gives it as the `PredictionRecord` that it stands for.

    Attributes:
        request, time, awaits: As in a `PredictionRecord`.
        ids: One per row; None when row `place` is called `request/place`, and a single row like its request.
        arms: The version that answered all rows, or one per row.
        propensities: The probability (0..1) with which it was chosen, or one per row.
        values: What the answering arm predicted, one per row.
        scores: The classes' probabilities of each row, of shape (rows, classes); None for a regression.
    """

    request: str
    time: datetime
    rows: int
    ids: list[str] | None
    arms: int | list[int]
    propensities: float | list[float]
    columns: dict[str, list[Any] | Packed]
    values: list[Any] | Packed
    scores: list[list[Any]] | Packed | None
    awaits: tuple[int, ...] = ()


class UnrecordedRecord(msgspec.Struct, array_like=True, tag=5):
    """A gap: so many records were not taken, by the policy `drop`, from `since` on until `time`."""

    time: datetime
    since: datetime
    records: int


Record = PredictionRecord | ShadowRecord | LabelRecord | UnrecordedRecord
"""What a reader gives."""

Written = Record | BlockRecord
"""What a writer takes."""
