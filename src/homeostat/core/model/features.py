"""The user's `features()`: applied to the same columns in training and serving, and held to one row in, one row out."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec
import polars as pl

from homeostat.core.errors import DataError, HomeostatError, ModelError, blamed

Features = Callable[[pl.DataFrame], pl.DataFrame]
_ALONE = 3
_SHOWN = 30
_FEW = 50


class FeaturesCode(msgspec.Struct, frozen=True, kw_only=True):
    """Which `features()` a model was trained with.

    Attributes:
        fingerprint: Of the function and of the project functions that it reaches.
        functions: Fingerprint of each of them, by name.
    """

    fingerprint: str
    functions: dict[str, str]


def features_code(features: Features | None) -> FeaturesCode | None:
    """The identity of a `features()`; None without one."""
    if features is None:
        return None
    from homeostat.core.fingerprint import code_fingerprint, fingerprint

    # Another version of a library is another environment, not another features(); golden rows guard against that. The
    # name of the module that holds it may differ between a script and an import.
    functions = {name: part for name, part in code_fingerprint(features)[1].items() if not name.startswith("package:")}
    return FeaturesCode(fingerprint=fingerprint(sorted(functions.values())), functions=functions)


def apply_features(features: Features | None, rows: pl.DataFrame, *, labels: Collection[str] = ()) -> pl.DataFrame:
    """Compute features of raw rows, without the columns that are unknown when a prediction is asked.

    Args:
        features: From raw rows to features, one row for each and in their order; None keeps the rows as they are.
        rows: Raw rows.
        labels: Target and label time, which `features` never sees.

    Raises:
        DataError: It returned something else than that.
        ModelError: It raised; the message says in which line.
    """
    seen = rows.drop([name for name in labels if name in rows.columns])
    if features is None:
        return seen
    made = _called(features, seen)
    if not isinstance(made, pl.DataFrame):
        hint = "end it with .collect()" if isinstance(made, pl.LazyFrame) else "return a polars DataFrame"
        raise DataError(f"features() returned a {type(made).__name__}, not a DataFrame", hint=hint)
    if made.height != rows.height:
        raise DataError(
            f"features() was given {rows.height:,} rows and returned {made.height:,}",
            hint="return one row for each row, in their order: filter rows when they are collected",
        )
    return made


def _called(features: Features, seen: pl.DataFrame) -> object:
    try:
        return features(seen)
    except HomeostatError:
        raise
    except Exception as error:
        line = blamed(error)
        what = f"features() raised {type(error).__name__}{f' ({line})' if line else ''}: {' '.join(str(error).split())}"
        hint = f"it is given the columns {', '.join(seen.columns[:_SHOWN])}{', …' if seen.width > _SHOWN else ''}"
        raise ModelError(what, hint=hint) from error


def check_rowwise(
    features: Features | None, rows: pl.DataFrame, made: pl.DataFrame, *, labels: Collection[str]
) -> None:
    """Refuse a `features()` whose answer for a row depends on the rows around it, or that reorders rows.

    Such features are computed from many rows in training and from one when serving, and may look into the future.

    Raises:
        DataError: Names the column and the row that came out differently alone.
    """
    if features is None or rows.height < 2:
        return
    last = rows.height - 1
    spans = [(place, 1) for place in sorted({0, rows.height // 2, last})[:_ALONE]]
    spans.append((rows.height // 3, min(_FEW, rows.height - rows.height // 3)))
    for start, length in spans:
        alone = apply_features(features, rows.slice(start, length), labels=labels)
        expected = made.slice(start, length)
        if alone.columns != expected.columns:
            raise DataError(
                f"features() returns {alone.width} columns for {length} rows and {expected.width} for {rows.height:,}",
                hint="return the same columns whatever the rows hold",
            )
        for name in expected.columns:
            if not _same(alone[name], expected[name]):
                raise DataError(
                    f"features() looks at other rows: column {name!r} of row {start + 1} changes when fewer rows are "
                    "given",
                    hint="compute it from its own row; what needs other rows belongs where the rows are collected",
                )


def _same(first: pl.Series, second: pl.Series) -> bool:
    if pl.Null in {first.dtype, second.dtype}:
        return first.null_count() == second.null_count()
    if first.dtype.is_float() and second.dtype.is_float():
        near = (first - second).abs() <= 1e-9 * second.abs() + 1e-12
        alike = near | first.eq_missing(second) | (first.is_nan() & second.is_nan())
        return bool(alike.fill_null(value=False).all())
    return first.cast(second.dtype, strict=False).equals(second, null_equal=True)
