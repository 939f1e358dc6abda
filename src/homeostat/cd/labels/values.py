"""What a label is in each of its places: as it is sent, as a table stores it, and as the judge counts it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.core.stats.losses import label_codes
from homeostat.core.values import found, taken

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import ArrayLike, NDArray

    from homeostat.core.model import Signature
    from homeostat.core.model.signature import Label

_LARGEST = 2**63


def typed_label(value: Any, signature: Signature) -> tuple[Any, str | None]:
    """The label in the model's own type, or why it is none: 1 and 0 stand for true and false, and 1.0 for 1."""
    if signature.classes is None:
        return taken(value, "number")
    for known in signature.classes:
        if value == known and isinstance(value, str) == isinstance(known, str):
            return known, None
    classes = ", ".join(map(repr, signature.classes[:8])) + (", …" if len(signature.classes) > 8 else "")
    return None, f"should be one of {classes}; found {found(value)}"


def stored_label(label: object, dtype: pl.DataType) -> Label | None:
    """A label as the target's type holds it; None when it is not of that type.

    Example:
        >>> import polars as pl
        >>> stored_label(30.0, pl.Int64()), stored_label(30.7, pl.Int64()), stored_label("late", pl.Boolean())
        (30, None, None)
    """
    import polars as pl

    if dtype == pl.String:
        return as_text(label)
    if dtype == pl.Boolean:
        return bool(label) if isinstance(label, (bool, int, float)) and label in (0, 1) else None
    number = as_number(label)
    if number is None or not dtype.is_numeric():
        return None
    if dtype.is_integer():
        return int(number) if number == int(number) and -_LARGEST <= number < _LARGEST else None
    return float(number)


def as_number(label: object) -> int | float | None:
    """A label as a finite number; None when it is none."""
    try:
        number = label if isinstance(label, int) else float(label)  # type: ignore[arg-type]
        return number if math.isfinite(number) else None
    except (TypeError, ValueError, OverflowError):
        return None


def as_text(label: object) -> str | None:
    """A label as a table of texts holds it: `true` for True, `1` for 1; None stays None."""
    if label is None or isinstance(label, str):
        return label
    return str(label).lower() if isinstance(label, bool) else str(label)


def coded_labels(labels: ArrayLike, classes: tuple[Any, ...] | None) -> NDArray[np.float64]:
    """Labels as numbers, shape (n,): a class by its place among `classes`; NaN for one that is null or unknown."""
    # One text among numbers would turn them all into text.
    alike = as_text if classes is not None and isinstance(classes[0], str) else as_number
    given = [alike(label) for label in np.asarray(labels, dtype=object).tolist()]
    coded = np.full(len(given), np.nan)
    there = np.array([label is not None for label in given], dtype=bool)
    known = [label for label in given if label is not None]
    if classes is None:
        coded[there] = np.array(known, dtype=float)
    elif known:
        places = label_codes(np.array(known), classes)
        coded[there] = np.where(places < 0, np.nan, places)
    return coded
