"""What a model takes and gives: the columns of a request, the task, the classes and the names of its outputs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from homeostat.core.clock import utc
from homeostat.core.errors import DataError
from homeostat.core.model.task import Task
from homeostat.core.schema import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from homeostat.core.schema import Schema

Label = str | int | bool | float

_DTYPES: dict[str, Any] = {
    "number": pl.Float64,
    "integer": pl.Int64,
    "boolean": pl.Boolean,
    "category": pl.String,
    "text": pl.String,
    "time": pl.Datetime("us", "UTC"),
}


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """The contract between a model and whoever asks it.

    Attributes:
        inputs: Columns of a request: all of the table but target and label time.
        classes: The labels, in the order of the score columns; for two classes the second is the positive one. None
            for regression.
        outputs: `("label", "probability")`, `("label", "score")` when the model has scores that are no probabilities,
            or `("value",)`.
    """

    inputs: tuple[Column, ...]
    key: tuple[str, ...]
    time: str | None
    target: str
    task: Task
    classes: tuple[Label, ...] | None = None
    outputs: tuple[str, ...] = ("value",)

    def decode(self, records: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
        """Rows in the table's types from plain values: times as ISO text, absent names as nulls."""
        rows = list(records)
        columns = []
        for column in self.inputs:
            values = [row.get(column.name) for row in rows]
            try:
                if column.kind == "time":
                    values = [_moment(value) for value in values]
                columns.append(pl.Series(column.name, values, dtype=_DTYPES[column.kind], strict=True))
            except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
                shown = next((value for value in values if value is not None), None)
                raise DataError(
                    f"input {column.name!r} should be a {column.kind} and is {str(shown)[:60]!r}",
                    hint=f"give it as in {_example(column)}",
                ) from None
        return pl.DataFrame(columns)

    def encode(self, rows: pl.DataFrame) -> tuple[dict[str, Any], ...]:
        """The inverse of `decode`: plain values that JSON can hold."""
        names = [column.name for column in self.inputs if column.name in rows.columns]
        text = [
            pl.col(column.name).dt.to_string("iso:strict")
            for column in self.inputs
            if column.kind == "time" and column.name in rows.columns
        ]
        return tuple(rows.select(names).with_columns(text).to_dicts())


class Predictions(msgspec.Struct, frozen=True):
    """What a model says about n rows.

    Attributes:
        value: Predicted labels, or numbers for regression; shape (n,).
        score: One column per class in the order of `Signature.classes`, float64 of shape (n, classes); None for
            regression.
    """

    value: NDArray[Any]
    score: NDArray[np.float64] | None = None

    @property
    def positive(self) -> NDArray[np.float64]:
        """Score of the second class of two; shape (n,)."""
        if self.score is None or self.score.shape[1] != 2:
            raise ValueError("only a two-class model has a positive class")
        return self.score[:, 1]


def joined(parts: Sequence[Predictions]) -> Predictions:
    """What one or several models say about rows that follow each other; at least one part."""
    value = np.concatenate([part.value for part in parts])
    scores = [part.score for part in parts if part.score is not None]
    return Predictions(value, np.concatenate(scores) if len(scores) == len(parts) else None)


def signature_of(schema: Schema, task: Task, classes: tuple[Label, ...] | None) -> Signature:
    """The signature of a model that is trained on a table."""
    if schema.spec.target is None:
        raise DataError("the table declares no target", hint="name the column to predict with target=")
    return Signature(
        inputs=schema.inputs,
        key=schema.spec.key,
        time=schema.spec.time,
        target=schema.spec.target,
        task=task,
        classes=classes,
        outputs=("value",) if task == "regression" else ("label", "probability"),
    )


def _moment(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return None if value is None else utc(value)
    return utc(datetime.fromisoformat(value))


def _example(column: Column) -> str:
    values: dict[str, Any] = {"number": 1.5, "integer": 1, "boolean": True, "time": "2013-01-31T05:15:00Z"}
    category = column.categories[0] if column.categories else "text"
    return json.dumps(values.get(column.kind, category))
