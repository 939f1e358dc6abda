"""Features that give the target away: one column that alone knows nearly everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.ci.evaluate.report import Leak
from homeostat.core.metrics import estimate, label_codes
from homeostat.core.model.bundle import spaced
from homeostat.core.model.encoder import Coder, Encoder
from homeostat.core.model.signature import Predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

LEAK = 0.995
"""Area under the ROC curve, or absolute rank correlation, from which one feature alone is too good to be honest."""

_ROWS = 5_000


def find_leaks(
    features: pl.DataFrame, target: NDArray[Any], encoder: Encoder, classes: Sequence[Any] | None
) -> tuple[Leak, ...]:
    """Look at each feature alone.

    Args:
        features: Test rows' features.
        target: Their labels.
        encoder: What is a feature, and how it is coded.
        classes: The labels in score order; None for regression.

    Returns:
        The features that alone order the target almost perfectly, strongest first.
    """
    chosen = spaced(features.height, _ROWS)
    codes, labels = Coder(encoder).frame(features[chosen]).astype(np.float64), target[chosen]
    truth = labels.astype(np.float64) if classes is None else label_codes(labels, classes)
    found = []
    for place, code in enumerate(encoder.codes):
        column = codes[:, place]
        if code.kind == "category":
            column = _by_category(column, truth, len(code.vocabulary), classes)
        strength = _strength(column, truth, classes)
        if strength >= LEAK:
            words = f"alone it orders the target with {strength:.4f} of 1"
            found.append(Leak(feature=code.label, strength=strength, detail=words))
    return tuple(sorted(found, key=lambda leak: (-leak.strength, leak.feature)))


def _by_category(column: NDArray[Any], truth: NDArray[Any], size: int, classes: Sequence[Any] | None) -> NDArray[Any]:
    """Each category replaced by its mean target; categories are too many to be told from chance when rows are few."""
    place = np.where(np.isnan(column), size, column).astype(int)
    counts = np.bincount(place, minlength=size + 1)
    if counts[counts > 0].mean() < 10:
        return np.full(len(column), np.nan)
    positive = truth if classes is None or len(classes) > 2 else (truth == 1)
    sums = np.bincount(place, weights=positive.astype(float), minlength=size + 1)
    return np.asarray((sums / np.maximum(counts, 1))[place])


def _strength(column: NDArray[Any], truth: NDArray[Any], classes: Sequence[Any] | None) -> float:
    known = np.isfinite(column)
    if known.sum() < 50 or known.mean() < 0.5:
        return 0.0
    column, truth = column[known], truth[known]
    if classes is None:
        return abs(_rank_correlation(column, truth))
    best = 0.0
    for place in range(1 if len(classes) == 2 else 0, len(classes)):
        ranked = Predictions(truth == place, np.stack([-column, column], axis=1))
        area = estimate("roc_auc", truth == place, ranked, (False, True)).value
        best = max(best, area or 0.0, 1.0 - area if area is not None else 0.0)
    return best


def _rank_correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    from scipy.stats import rankdata

    a, b = rankdata(first), rankdata(second)
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / spread if spread else 0.0
