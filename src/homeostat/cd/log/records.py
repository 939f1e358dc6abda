"""What the prediction log records: answered predictions, the other arms' predictions, and labels, as typed values.

A record is one MessagePack array, tagged by its first item, so that fields can be added at the end without breaking
older logs. `features` are the raw inputs of a row, as they were received and before the user's `features` function.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

Label = bool | int | float | str
Scored = list[Any]
"""`[value, probability, ...]`: the predicted value, then one probability per class (none for a regression)."""


class RowRecord(msgspec.Struct, array_like=True):
    """One row of a request.

    Attributes:
        id: What a label refers to: the row's key, or the request's id.
        arm: The version whose prediction was returned.
        propensity: The probability (0..1) with which that arm was chosen.
        features: Column name to raw value.
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
        time: When it was answered, in UTC.
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
        requests, ids: Request and row id of each row.
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


Record = PredictionRecord | ShadowRecord | LabelRecord
