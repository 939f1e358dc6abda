"""What every candidate is compared with: the most frequent answer, the last known answer, and a simple model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.ci.train.fitting import fit, said_by
from homeostat.core.model.bundle import spaced
from homeostat.core.model.encoder import Coder, fit_encoder
from homeostat.core.model.estimator import prepared
from homeostat.core.model.runtimes import EstimatorRuntime
from homeostat.core.model.signature import Predictions
from homeostat.core.stats.losses import label_codes
from homeostat.core.stats.prequential import last_known
from homeostat.core.table.rows import known_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.table.spec import TableSpec

SIMPLE_ROWS = 10_000


def constant(target: NDArray[Any], rows: int, classes: Sequence[Any] | None, *, median: bool = False) -> Predictions:
    """Always the same answer: the class frequencies of the training rows, or their mean or median."""
    if classes is None:
        value = float(np.median(target) if median else np.mean(target))
        return Predictions(np.full(rows, value))
    shares = np.bincount(label_codes(target, classes), minlength=len(classes)) / len(target)
    value = np.array(classes)[int(shares.argmax())]
    return Predictions(np.full(rows, value), np.tile(shares, (rows, 1)))


def persistence(train: pl.DataFrame, test: pl.DataFrame, spec: TableSpec, classes: Sequence[Any] | None) -> Predictions:
    """Repeat the label that was known last at each row's event time (`homeostat.core.stats.prequential.last_known`).

    It is chosen by label time, so it uses nothing that a live system would not have. The scores are how often each
    class followed each class in the training rows.

    Returns:
        One answer per test row; the label that was known first where nothing was known yet.
    """
    assert spec.target is not None
    time = spec.time
    known = np.concatenate([known_at(train, spec), known_at(test, spec)])
    asked = np.concatenate([_microseconds(train, time), _microseconds(test, time)])
    labels = np.concatenate([train[spec.target].to_numpy(), test[spec.target].to_numpy()])
    last = last_known(asked, known)
    repeated = labels[np.where(last >= 0, last, int(known.argmin()))]
    here = repeated[train.height :]
    if classes is None:
        return Predictions(here.astype(np.float64))
    codes, truth = label_codes(repeated, classes), label_codes(labels, classes)
    size = len(classes)
    counts = np.zeros((size, size))
    told = np.flatnonzero(last[: train.height] >= 0)
    np.add.at(counts, (codes[told], truth[told]), 1.0)
    follows = (counts + 1 / size) / (counts + 1 / size).sum(axis=1, keepdims=True)
    return Predictions(here, follows[codes[train.height :]])


def simple(
    train: pl.DataFrame,
    target: NDArray[Any],
    test: pl.DataFrame,
    classes: Sequence[Any] | None,
    *,
    exclude: Sequence[str] = (),
) -> Predictions:
    """Logistic or ridge regression on standardised numbers and one-hot categories.

    At most 10,000 evenly spaced rows are learned from.
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    chosen = spaced(train.height, SIMPLE_ROWS)
    if classes is not None and len(np.unique(target[chosen])) < len(classes):
        chosen = list(range(train.height))
    encoder = fit_encoder(train, exclude=exclude)
    coder = Coder(encoder)
    estimator = LogisticRegression(max_iter=100, tol=1e-3) if classes is not None else Ridge()
    estimator = prepared(estimator, encoder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a baseline that has not quite converged is a baseline
        fit(estimator, coder.frame(train[chosen]), target[chosen])
    return said_by(EstimatorRuntime(estimator, classes).output(coder.frame(test)), classes)


def _microseconds(rows: pl.DataFrame, column: str) -> NDArray[np.int64]:
    return rows[column].dt.timestamp("us").to_numpy()
