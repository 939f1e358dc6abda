"""Score few rows without building a table: a model's encoder, compiled into one plain function of a row.

For a model without `features()` this is the whole way from typed rows to the runtime; what a table costs (some 100 us)
is many times what the model does. The numbers are those of `Model.predict`, which a test compares.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import astuple

from homeostat.core.clock import utc
from homeostat.core.model.encoder import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.cd.log import Scored
    from homeostat.cd.serve.decode import RowDecoder
    from homeostat.core.model import Code, Model


class _Vocabulary(dict[Any, float]):
    """Category to code; NaN for whatever else."""

    def __missing__(self, _: object) -> float:
        return math.nan


def quick_scorer(model: Model, decoder: RowDecoder) -> Callable[[list[Any]], list[Scored] | None] | None:
    """A function from rows of the decoder's type to `[value, probability, ...]` each.

    Args:
        model: What answers.
        decoder: What made the rows.

    Returns:
        None when the model needs tables: it has `features()`, or an estimator that takes the table itself. The function
        gives None for rows that only `Model.predict` can judge: an answer was NaN or infinite.
    """
    encoder = model.manifest.encoder
    if model.manifest.features is not None or encoder is None:
        return None
    plan = [(decoder.names.index(code.name), _column(code)) for code in encoder.codes]
    scores = model._runtime.scores  # noqa: SLF001 - coded rows go to the runtime directly, which is the point
    classes = model.signature.classes

    def quick(rows: list[Any]) -> list[Scored] | None:
        values = [astuple(row) for row in rows]
        coded = [[column(row[place]) for place, column in plan] for row in values]
        found = scores(np.array(coded, dtype=np.float32)).tolist()
        if classes is None:
            return [[value] for value in found] if all(map(math.isfinite, found)) else None
        if not all(math.isfinite(score) for row in found for score in row):
            return None
        return [[classes[row.index(max(row))], *row] for row in found]

    return quick


def _column(code: Code) -> Callable[[Any], float]:
    if code.kind == "category":
        return _Vocabulary({value: float(place) for place, value in enumerate(code.vocabulary)}).__getitem__
    if code.kind == "hour":
        return _hour
    return _weekday if code.kind == "weekday" else _number


def _number(value: Any) -> Any:
    if value is None:
        return math.nan
    return value if -LARGEST <= value <= LARGEST else math.copysign(LARGEST, value)


def _hour(value: Any) -> float:
    if value is None:
        return math.nan
    moment = utc(value)
    return float(moment.hour + moment.minute / 60)


def _weekday(value: Any) -> float:
    return math.nan if value is None else float(utc(value).isoweekday())
