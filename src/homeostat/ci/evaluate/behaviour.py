"""What a model should do whatever its score: stay the same when something irrelevant changes, move the right way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from homeostat.ci.evaluate.report import Behaved
from homeostat.core.errors import DataError
from homeostat.core.model.bundle import spaced

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.model import Model, Predictions

TRIED = 1_000
_NOISE = 1e-6


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """A declared behaviour; made by `invariant` or `directional`."""

    name: str
    kind: Literal["invariance", "directional"]
    change: Callable[[Any], Any]
    tolerance: float
    expect: Literal["same", "up", "down"]
    allowed: float


def invariant(
    name: str, change: Callable[[pl.DataFrame], pl.DataFrame], *, tolerance: float = 0.01, allowed: float = 0.0
) -> Behaviour:
    """The prediction must not depend on this change of the raw rows.

    Source: Ribeiro, Wu, Guestrin and Singh, "Beyond accuracy: behavioral testing of NLP models with CheckList", 2020.

    Args:
        name: What is claimed, for people.
        change: Gives the raw rows, changed; as many and in the same order.
        tolerance: Largest change of a probability, or of a number relative to the spread of the predictions.
        allowed: Share of rows (0..1) that may violate it.

    Example:
        >>> import polars as pl
        >>> check = invariant("the tail number does not matter", lambda rows: rows.with_columns(tail=pl.lit("N1")))
    """
    return Behaviour(name=name, kind="invariance", change=change, tolerance=tolerance, expect="same", allowed=allowed)


def directional(
    name: str,
    change: Callable[[pl.DataFrame], pl.DataFrame],
    *,
    expect: Literal["up", "down"],
    tolerance: float = 0.0,
    allowed: float = 0.05,
) -> Behaviour:
    """The prediction (of the positive class) must not move against the expected direction.

    Args:
        name: What is claimed, for people.
        change: Gives the raw rows, changed; as many and in the same order.
        expect: Where the prediction should go, if anywhere.
        tolerance: A move against it of this size is not counted; in units as for `invariant`.
        allowed: Share of rows (0..1) that may violate it.

    Example:
        >>> import polars as pl
        >>> later = lambda rows: rows.with_columns(origin_delay=pl.col("origin_delay") + 60)
        >>> check = directional("delays at the airport delay flights", later, expect="up")
    """
    return Behaviour(name=name, kind="directional", change=change, tolerance=tolerance, expect=expect, allowed=allowed)


def behave(model: Model, rows: pl.DataFrame, behaviour: Behaviour) -> Behaved:
    """Try a behaviour on at most 1,000 evenly spaced rows."""
    tried = rows[spaced(rows.height, TRIED)]
    changed = behaviour.change(tried)
    if changed.height != tried.height:
        raise DataError(
            f"the change of {behaviour.name!r} was given {tried.height} rows and returned {changed.height}",
            hint="change values, not rows",
        )
    before, after = model.predict(tried), model.predict(changed)
    moved = _moves(before, after)
    limit = behaviour.tolerance + _NOISE
    if behaviour.expect == "same":
        wrong = np.abs(moved) > limit
    else:
        wrong = (moved < -limit) if behaviour.expect == "up" else (moved > limit)
    violations = int(wrong.any(axis=1).sum())
    return Behaved(
        name=behaviour.name,
        kind=behaviour.kind,
        rows=tried.height,
        violations=violations,
        allowed=behaviour.allowed,
        passed=violations <= behaviour.allowed * tried.height,
        detail=f"{violations} of {tried.height} rows did otherwise; the largest move was {np.abs(moved).max():.3g}",
    )


def _moves(before: Predictions, after: Predictions) -> NDArray[np.float64]:
    if before.score is None or after.score is None:
        return np.asarray((after.value - before.value) / max(float(before.value.std()), 1e-12))[:, None]
    moved = after.score - before.score
    return np.asarray(moved[:, 1:] if moved.shape[1] == 2 else moved)
