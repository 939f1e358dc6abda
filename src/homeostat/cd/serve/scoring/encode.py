"""Code rows for a model without building a table: its encoder, compiled into plain functions of rows and of columns.

For a model without `features()` this is the whole way from typed rows to the runtime; what a table costs (some 100 us)
is many times what the model does. The codes are those of `core.model.encoder.Coder`, which a test compares.
"""

from __future__ import annotations

import math
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.core.model.encoder import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from homeostat.cd.serve.rows import RowDecoder, Rows
    from homeostat.core.model import Code, Encoder

    Translate = Callable[[Any], float]


class _Vocabulary(dict[Any, float]):
    """Category to code; NaN for whatever else."""

    def __missing__(self, _: object) -> float:
        return math.nan


class QuickCoder:
    """Makes the matrix that a runtime takes from the rows of several requests."""

    def __init__(self, encoder: Encoder, decoder: RowDecoder) -> None:
        self._names = tuple(code.name for code in encoder.codes)
        self._translated = [
            (place, translate)
            for place, code in enumerate(encoder.codes)
            if (translate := _translation(code)) is not None
        ]
        self._columns = {
            place: _column_translation(encoder.codes[place], translate) for place, translate in self._translated
        }
        fields = [decoder.fields[name] for name in self._names]
        # With a single name, attrgetter gives no tuple.
        self._values = attrgetter(*fields, fields[0])

    def matrix(self, parts: Sequence[Rows]) -> NDArray[np.float32]:
        """The codes of all rows of all parts, in order: shape (rows, codes)."""
        blocks: list[Any] = []
        loose: list[list[Any]] = []
        for part in parts:
            if part.rows is not None:
                loose += [self._row(row) for row in part.rows]
                continue
            if loose:
                blocks.append(np.array(loose, dtype=np.float64))
                loose = []
            blocks.append(self._block(part))
        if loose:
            blocks.append(np.array(loose, dtype=np.float64))
        codes = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        np.maximum(np.minimum(codes, LARGEST, out=codes), -LARGEST, out=codes)
        matrix: NDArray[np.float32] = codes.astype(np.float32)
        return matrix

    def _row(self, row: Any) -> list[Any]:
        values = list(self._values(row))
        values.pop()
        for place, translate in self._translated:
            values[place] = translate(values[place])
        return values

    def _block(self, part: Rows) -> NDArray[np.float64]:
        assert part.columns is not None
        codes = np.empty((part.count, len(self._names)), dtype=np.float64)
        for place, name in enumerate(self._names):
            column, translate = part.columns[name], self._columns.get(place)
            # null becomes NaN, and truth values 0 and 1.
            codes[:, place] = column if translate is None else translate(column)
        return codes


def _translation(code: Code) -> Translate | None:
    """What makes a value a code, or None when it is one already."""
    if code.kind == "category":
        return _Vocabulary({value: float(place) for place, value in enumerate(code.vocabulary)}).__getitem__
    return {"hour": _hour, "weekday": _weekday}.get(code.kind)


def _column_translation(code: Code, translate: Translate) -> Callable[[Sequence[Any]], list[float]]:
    """The same for a whole column, without a call for each value where that is what takes the time."""
    if code.kind == "hour":
        return _hours
    if code.kind == "weekday":
        return _weekdays
    return lambda column: list(map(translate, column))


def _hours(column: Sequence[datetime | None]) -> list[float]:
    try:
        return [value.hour + value.minute / 60 for value in column]  # type: ignore[union-attr]
    except AttributeError:  # one of them is null
        return list(map(_hour, column))


def _weekdays(column: Sequence[datetime | None]) -> list[float]:
    try:
        return list(map(datetime.isoweekday, column))  # type: ignore[arg-type]
    except TypeError:  # one of them is null
        return list(map(_weekday, column))


def _hour(value: datetime | None) -> float:
    """Of a decoded time, which is in UTC."""
    return math.nan if value is None else value.hour + value.minute / 60


def _weekday(value: datetime | None) -> float:
    return math.nan if value is None else float(value.isoweekday())
