"""How a table of features becomes the matrix that a model sees: the same codes in training and in serving.

Every feature becomes one float32 column, or two for a date-time. Categories become the ordinal of their place in a
vocabulary that is kept with the model, so that no library's own treatment of categories stands between training and
serving. Training rounds to float32 as serving does: no row can fall on another side of a split for that reason.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import polars as pl

from homeostat.core.clock import utc
from homeostat.core.errors import DataError
from homeostat.core.table.spec import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

CodeKind = Literal["number", "category", "hour", "weekday"]
VOCABULARY = 254
"""Most frequent values of a text column that get a code of their own; histogram trees have one bin more."""

_FREE_TEXT = 1_000
LARGEST = 1e30
"""Values are clipped here: beyond it, sums over a column leave the range of float32."""

_TEXT = (pl.String, pl.Categorical, pl.Enum)


class Code(msgspec.Struct, frozen=True):
    """One column of the matrix.

    Attributes:
        kind: `number` (truth values are 0 and 1), `category` (place in `vocabulary`), `hour` (0..24, with fraction) or
            `weekday` (1 = Monday) of a date-time in UTC.
        vocabulary: The known categories, sorted. Anything else, and missing, is NaN.
    """

    name: str
    kind: CodeKind
    vocabulary: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name of the matrix column."""
        return f"{self.name}.{self.kind}" if self.kind in {"hour", "weekday"} else self.name


class Encoder(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of the matrix, in order.

    Attributes:
        ignored: Features that are not used: free text (nearly every row has a value of its own), and columns without
            any value in the training rows.
    """

    codes: tuple[Code, ...]
    ignored: tuple[str, ...] = ()

    @property
    def categorical(self) -> tuple[int, ...]:
        """Places of the columns that hold category codes."""
        return tuple(place for place, code in enumerate(self.codes) if code.kind == "category")


def fit_encoder(features: pl.DataFrame, *, exclude: Collection[str] = ()) -> Encoder:
    """Decide how each feature is coded, from the training rows only.

    Args:
        features: Training rows; numbers, truth values, text, dates and date-times.
        exclude: Columns that are no features, such as keys.

    Raises:
        DataError: A column has a type that cannot be coded, or no column is left.

    Example:
        >>> fit_encoder(pl.DataFrame({"carrier": ["UA", "AA"], "distance": [1.0, 2.0]})).codes[0].vocabulary
        ('AA', 'UA')
    """
    codes: list[Code] = []
    ignored, problems = [], []
    for series in features:
        if series.name in exclude:
            continue
        dtype = series.dtype
        if _never_known(series):
            ignored.append(series.name)
        elif dtype.is_numeric() or dtype == pl.Boolean:
            codes.append(Code(series.name, "number"))
        elif dtype in _TEXT:
            vocabulary = _vocabulary(series)
            if vocabulary is None:
                ignored.append(series.name)
            else:
                codes.append(Code(series.name, "category", vocabulary))
        elif dtype == pl.Date or isinstance(dtype, pl.Datetime):
            kinds: tuple[CodeKind, ...] = ("weekday",) if dtype == pl.Date else ("hour", "weekday")
            codes.extend(Code(series.name, kind) for kind in kinds)
        else:
            problems.append(f"feature {series.name!r} has the type {dtype}")
    if problems:
        raise DataError("; ".join(problems[:20]), hint="features are numbers, truth values, text, dates or times")
    if not codes:
        raise DataError(
            "there is no feature to learn from"
            + (f": {', '.join(ignored[:20])} hold free text or nothing" if ignored else ""),
            hint="add columns to the source, or return some from features()",
        )
    return Encoder(codes=tuple(codes), ignored=tuple(ignored))


class Coder:
    """An encoder made ready to run.

    Example:
        >>> coder = Coder(fit_encoder(pl.DataFrame({"carrier": ["UA", "AA"]})))
        >>> coder.frame(pl.DataFrame({"carrier": ["UA", "??"]})).ravel().tolist()
        [1.0, nan]
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._names = tuple(code.name for code in encoder.codes)
        self._lookup = [{value: float(place) for place, value in enumerate(code.vocabulary)} for code in encoder.codes]
        self._enums = [pl.Enum(code.vocabulary) if code.kind == "category" else None for code in encoder.codes]

    def frame(self, features: pl.DataFrame) -> NDArray[np.float32]:
        """Code a table.

        Returns:
            Array of shape (n, codes), in row order. Values beyond ±1e30 are clipped.

        Raises:
            DataError: A column is missing, has another kind of values, or holds infinity.
        """
        missing = sorted({name for name in self._names if name not in features.columns})
        if missing:
            raise DataError(
                f"feature columns are missing: {', '.join(map(repr, missing[:20]))}",
                hint=did_you_mean(missing[0], features.columns),
            )
        matrix = np.empty((features.height, len(self._names)), dtype=np.float32)
        for place, code in enumerate(self.encoder.codes):
            matrix[:, place] = self._column(place, code, features[code.name])
        return matrix

    def records(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Code rows given as dictionaries, as `frame` would; an absent name is missing. For few rows it is faster."""
        matrix = np.empty((len(rows), len(self._names)), dtype=np.float64)
        for place, code in enumerate(self.encoder.codes):
            name, lookup = code.name, self._lookup[place]
            if code.kind == "number":
                matrix[:, place] = [_number(row.get(name), name) for row in rows]
            elif code.kind == "category":
                matrix[:, place] = [lookup.get(row.get(name), np.nan) for row in rows]  # type: ignore[arg-type]
            else:
                matrix[:, place] = [_moment(row.get(name), code) for row in rows]
        infinite = np.isinf(matrix).any(axis=0)
        if infinite.any():
            _refuse_infinity(self._names[int(infinite.argmax())])
        return np.clip(matrix, -LARGEST, LARGEST).astype(np.float32)

    def _column(self, place: int, code: Code, series: pl.Series) -> NDArray[Any]:
        enum = self._enums[place]
        if enum is not None:
            if series.dtype not in (*_TEXT, pl.Null):
                raise _mistyped(series, "text")
            if series.len() <= 64:
                lookup = self._lookup[place]
                return np.array([lookup.get(value, np.nan) for value in series.to_list()])
            places = series.cast(pl.String).cast(enum, strict=False).to_physical().cast(pl.Float32)
            return np.asarray(places.to_numpy())
        if code.kind == "number":
            if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)):
                raise _mistyped(series, "numbers")
            values = series.cast(pl.Float64).to_numpy()
            if np.isinf(values).any():
                _refuse_infinity(series.name)
            return np.asarray(np.clip(values, -LARGEST, LARGEST))
        if not (series.dtype in (pl.Date, pl.Null) or isinstance(series.dtype, pl.Datetime)):
            raise _mistyped(series, "times")
        return _time_part(series, code.kind)


def _never_known(series: pl.Series) -> bool:
    known = series.drop_nulls()
    return not (known.drop_nans() if series.dtype.is_float() else known).len()


def _vocabulary(series: pl.Series) -> tuple[str, ...] | None:
    """The most frequent values in alphabetical order; None for free text."""
    known = series.cast(pl.String).drop_nulls().alias("value")
    counts = known.value_counts(name="rows")
    if counts.height > _FREE_TEXT and counts.height > known.len() / 2:
        return None
    top = counts.sort(["rows", "value"], descending=[True, False]).head(VOCABULARY)
    return tuple(sorted(top["value"].to_list()))


def _time_part(series: pl.Series, kind: CodeKind) -> NDArray[Any]:
    if series.dtype == pl.Null:
        return np.full(series.len(), np.nan)
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone not in (None, "UTC"):
        series = series.dt.convert_time_zone("UTC")
    if kind == "weekday":
        return np.asarray(series.dt.weekday().cast(pl.Float64).to_numpy())
    hours = series.dt.hour().cast(pl.Float64) + series.dt.minute().cast(pl.Float64) / 60
    return np.asarray(hours.to_numpy())


def _moment(value: Any, code: Code) -> float:
    if value is None:
        return np.nan
    try:
        moment: Any = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            moment = utc(moment)
        elif code.kind == "hour" or not isinstance(moment, date):
            raise TypeError
    except (ValueError, TypeError):
        raise DataError(f"feature {code.name!r} should hold times and holds {str(value)[:60]!r}") from None
    return float(moment.isoweekday() if code.kind == "weekday" else moment.hour + moment.minute / 60)


def _number(value: Any, name: str) -> float:
    if value is None:
        return np.nan
    if isinstance(value, (bool, int, float)):
        return float(value)
    raise DataError(f"feature {name!r} should hold numbers and holds {str(value)[:60]!r}")


def _mistyped(series: pl.Series, wanted: str) -> DataError:
    return DataError(
        f"feature {series.name!r} should hold {wanted} and has the type {series.dtype}",
        hint="give it the type that it had in training",
    )


def _refuse_infinity(name: str) -> None:
    raise DataError(
        f"feature {name!r} holds infinity",
        hint="make it missing (null) or bound it, for example where features() divides by zero",
    )
