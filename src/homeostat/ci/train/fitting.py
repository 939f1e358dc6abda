"""Fitting an estimator: its inputs, its threads, its errors in plain words, and the choice among settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from homeostat.core.errors import HomeostatError, ModelError
from homeostat.core.model.boosters import library, library_of
from homeostat.core.model.bundle import unlearned
from homeostat.core.model.encoder import Coder, Encoder
from homeostat.core.model.estimator import prepared
from homeostat.core.model.labelling import Output
from homeostat.core.model.manifest import TriedSettings
from homeostat.core.model.runtimes import EstimatorRuntime
from homeostat.core.model.signature import Predictions
from homeostat.core.stats.metrics import default_metric, greater_is_better, score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.schema import Schema

HELD_OUT = 0.2
"""Share of the training rows, the newest, that settings are compared on."""


def inputs_of(features: pl.DataFrame, encoder: Encoder | None, schema: Schema) -> NDArray[np.float32] | pl.DataFrame:
    """What an estimator is given: codes of shape (n, k), or, without an encoder, the table itself."""
    if encoder is None:
        return features.drop([name for name in unlearned(schema) if name in features.columns])
    return Coder(encoder).frame(features)


def limited_threads() -> AbstractContextManager[Any]:
    """Use all cores but one, which stays free for serving; at least one.

    OpenMP threads wait by spinning: with one more runnable thread than cores, a fit of 1.6 s takes 13 s.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cast("AbstractContextManager[Any]", threadpool_limits(max(1, cores - 1)))


def fit(estimator: Any, inputs: NDArray[np.float32] | pl.DataFrame, target: NDArray[Any], weights: Any = None) -> None:
    """Fit in place.

    Raises:
        ModelError: Fitting failed, with the estimator's own words; or what was fitted cannot predict.
    """
    from sklearn.base import is_classifier
    from sklearn.pipeline import Pipeline

    path, last = "", estimator
    while isinstance(last, Pipeline):
        step, last = last.steps[-1]
        path += f"{step}__"
    if (booster := library_of(last)) is not None:
        library(booster)
        if booster == "xgboost" and is_classifier(last):
            # It takes classes as their places only; the scores' columns are in that order for every classifier.
            target = np.unique(target, return_inverse=True)[1]
    settings = {} if weights is None else {f"{path}sample_weight": weights}
    try:
        with limited_threads():
            _fit(estimator, inputs, target, settings)
    except (HomeostatError, MemoryError):
        raise
    except Exception as error:  # other libraries' estimators have errors of their own
        raise ModelError(
            f"{type(last).__name__} could not be fitted on {len(target):,} rows: {' '.join(str(error).split())}",
            hint="check the estimator's parameters against its features; model=None trains a sensible default",
        ) from error
    if not callable(getattr(estimator, "predict", None)):
        what = f"the model, a {type(last).__name__}, has no predict after it was fitted"
        raise ModelError(what, hint="pass a scikit-learn estimator, or None for a sensible default")


def _fit(estimator: Any, inputs: Any, target: NDArray[Any], settings: Mapping[str, Any]) -> None:
    try:
        estimator.fit(inputs, target, **settings)
    except ValueError as error:
        if target.dtype.kind != "U" or "dtype object" not in str(error):
            raise
        estimator.fit(inputs, target.astype(object), **settings)  # some take texts in this form alone


def said_by(output: Output, classes: Sequence[Any] | None) -> Predictions:
    """What an estimator says, its labels being its own."""
    if classes is None or output.places is None:
        return Predictions(output.scores)
    return Predictions(np.array(classes)[output.places], output.scores)


def choose(
    estimator: Any,
    candidates: Sequence[Mapping[str, Any]],
    inputs: NDArray[np.float32] | pl.DataFrame,
    target: NDArray[Any],
    encoder: Encoder | None,
    classes: Sequence[Any] | None,
    metric: str | None,
) -> tuple[Any, tuple[TriedSettings, ...]]:
    """Try settings on the newest fifth of the training rows, having learned from the rest.

    The estimator's own parameters are always tried first.

    Returns:
        An unfitted estimator with the best settings, and all that were tried.
    """
    from sklearn.base import clone

    tried: list[Mapping[str, Any]] = [{}, *candidates]
    if not candidates:
        return estimator, (TriedSettings(params={}, metric=None, score=None, chosen=True),)
    name = metric or default_metric("regression" if classes is None else "classification", len(classes or ()))
    begin = round(len(target) * (1 - HELD_OUT))
    found: list[tuple[Any, float | None]] = []
    for params in tried:
        try:
            candidate = clone(estimator).set_params(**params)
        except ValueError as error:
            raise ModelError(f"a setting to try does not exist: {' '.join(str(error).split())}") from error
        fresh = clone(candidate) if encoder is None else prepared(clone(candidate), encoder)
        fit(fresh, inputs[:begin], target[:begin])
        said = said_by(EstimatorRuntime(fresh, classes).output(inputs[begin:]), classes)
        found.append((candidate, score(name, target[begin:], said, classes)))
    sign = 1.0 if greater_is_better(name) else -1.0
    ranks = [-np.inf if value is None else sign * value for _, value in found]
    best = int(np.argmax(ranks))
    told = tuple(
        TriedSettings(params=dict(params), metric=name, score=value, chosen=place == best)
        for place, (params, (_, value)) in enumerate(zip(tried, found, strict=True))
    )
    return found[best][0], told
