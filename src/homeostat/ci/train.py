"""Train a candidate: from labelled rows to a bundle that is proved, seeded and complete."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from homeostat.core.errors import DataError, ModelError
from homeostat.core.model.bundle import (
    Blob,
    Bundle,
    EstimatorInfo,
    Lineage,
    Manifest,
    golden_rows,
    spaced,
    trusted_types,
    unlearned,
)
from homeostat.core.model.convert import store_estimator
from homeostat.core.model.encoder import Coder, Encoder, fit_encoder
from homeostat.core.model.estimator import (
    classes_of,
    default_estimator,
    prepared,
    seeded_clone,
    target_of,
    task_of,
    wants_table,
)
from homeostat.core.model.features import apply_features, check_rowwise, features_code
from homeostat.core.model.signature import signature_of
from homeostat.core.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.model.features import Features
    from homeostat.core.schema import Schema

PROOF_ROWS = 10_000
_TEXT = 2_000


def train(
    rows: pl.DataFrame,
    proof: pl.DataFrame,
    *,
    schema: Schema,
    now: datetime,
    loop: str = "loop",
    model: Any = None,
    features: Features | None = None,
    seed: int = 0,
    weights: NDArray[np.float64] | None = None,
    lineage: Lineage | None = None,
) -> Bundle:
    """Fit a model and make it storable.

    Args:
        rows: Training rows, all labelled, sorted by event time.
        proof: Rows that the stored form is proved on, usually the test rows; their labels are not looked at. At most
            10,000 of them are used, evenly spaced.
        schema: Of the table.
        now: Time on the loop's clock; the only time in the bundle.
        loop: Name of the Loop.
        model: An unfitted scikit-learn estimator, which stays unfitted; None for the default.
        features: From raw rows to features.
        seed: For every random state that the estimator leaves open.
        weights: Weight of each training row, shape (n,), positive; None for equal weights.
        lineage: Where the rows come from. Rows and window are filled in here.

    Returns:
        A bundle without metrics; the same rows, settings and seed give the same bytes.

    Raises:
        DataError: The rows cannot be trained on.
        ModelError: The estimator cannot be used, fitted or stored.
    """
    spec = schema.spec
    task = task_of(model)
    if spec.target is None:
        raise DataError("the table declares no target", hint="name the column to predict with target=")
    target, task = target_of(rows, spec.target, task)
    made = apply_features(features, rows, labels=spec.labels)
    check_rowwise(features, rows, made, labels=spec.labels)
    estimator = seeded_clone(model, seed) if model is not None else default_estimator(task, seed)
    table = wants_table(estimator)
    encoder = None if table else fit_encoder(made, exclude=spec.key)
    if encoder is not None:
        estimator = prepared(estimator, encoder)
    fit(estimator, _inputs(made, encoder, schema), target, weights)
    classes = None if task == "regression" else classes_of(target)
    proof_made = apply_features(features, proof[spaced(proof.height, PROOF_ROWS)], labels=spec.labels)
    with limited_threads():
        stored = store_estimator(estimator, _inputs(proof_made, encoder, schema), classes)
    signature = signature_of(schema, task, classes)
    if task == "classification" and not hasattr(estimator, "predict_proba"):
        signature = msgspec.structs.replace(signature, outputs=("label", "score"))
    manifest = Manifest(
        loop=loop,
        created=now,
        signature=signature,
        schema=schema,
        encoder=encoder,
        features=features_code(features),
        estimator=describe(estimator, model, seed, table=table),
        blob=Blob.of(stored),
        lineage=spanning(lineage, rows, spec.time),
    )
    return with_reference(Bundle(manifest, stored.data), rows, proof, features, trusted_types(estimator))


def fit(estimator: Any, inputs: NDArray[np.float32] | pl.DataFrame, target: NDArray[Any], weights: Any = None) -> None:
    """Fit in place.

    Args:
        estimator: Unfitted, ours to change.
        inputs: Codes of shape (n, k), or a table.
        target: Labels of shape (n,).
        weights: Weights of shape (n,), or None.

    Raises:
        ModelError: Fitting failed, with the estimator's own words.
    """
    settings = {}
    if weights is not None:
        from sklearn.pipeline import Pipeline

        settings = {
            f"{estimator.steps[-1][0]}__sample_weight" if isinstance(estimator, Pipeline) else "sample_weight": weights
        }
    try:
        with limited_threads():
            estimator.fit(inputs, target, **settings)
    except (TypeError, ValueError, ArithmeticError, AttributeError, np.linalg.LinAlgError) as error:
        raise ModelError(
            f"{type(estimator).__name__} could not be fitted on {len(target):,} rows: {' '.join(str(error).split())}",
            hint="check the estimator's parameters against its features; model=None trains a sensible default",
        ) from error


def limited_threads() -> AbstractContextManager[Any]:
    """Use all cores but one, which stays free for serving; at least one.

    OpenMP threads wait by spinning: with one more runnable thread than cores, a fit of 1.6 s takes 13 s.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cast("AbstractContextManager[Any]", threadpool_limits(max(1, cores - 1)))


def _inputs(made: pl.DataFrame, encoder: Encoder | None, schema: Schema) -> NDArray[np.float32] | pl.DataFrame:
    if encoder is None:
        return made.drop([name for name in unlearned(schema) if name in made.columns])
    return Coder(encoder).frame(made)


def with_reference(
    bundle: Bundle, rows: pl.DataFrame, proof: pl.DataFrame, features: Features | None, trusted: Sequence[str]
) -> Bundle:
    """Add what drift is measured from, and the golden rows.

    Args:
        bundle: Without either.
        rows: Training rows, whose raw inputs become the reference profile.
        proof: Rows whose predictions become the reference; training rows when there are none.
        features: From raw rows to features.
        trusted: Types that the bundle's estimator needs.
    """
    model = bundle.model(features, trusted=trusted)
    schema = bundle.manifest.schema
    source = proof if proof.height else rows
    seen = source[spaced(source.height, PROOF_ROWS)]
    answers = model.predict(seen)
    binary = answers.score is not None and answers.score.shape[1] == 2
    reference = Profile.of(
        rows.drop([name for name in schema.spec.labels if name in rows.columns]),
        exclude=schema.spec.key,
        prediction=answers.positive if binary else answers.value,
    )
    return bundle.with_facts(reference=reference, golden=golden_rows(model, seen))


def spanning(lineage: Lineage | None, rows: pl.DataFrame, time: str) -> Lineage:
    """A lineage with the number and the event times of the training rows filled in."""
    return msgspec.structs.replace(
        lineage or Lineage(),
        rows=rows.height,
        window_start=rows[time].min(),
        window_end=rows[time].max(),
    )


def describe(estimator: Any, model: Any, seed: int, *, table: bool) -> EstimatorInfo:
    """What was fitted, in text; `model` is what the user gave."""
    from sklearn.pipeline import Pipeline

    front = isinstance(estimator, Pipeline) and "prepare" in estimator.named_steps
    inner = estimator.named_steps["model"] if front and type(model) is not type(estimator) else estimator
    return EstimatorInfo(
        kind=f"{type(inner).__module__}.{type(inner).__qualname__}",
        text=" ".join(repr(inner).split())[:_TEXT],
        params={name: repr(value)[:200] for name, value in sorted(inner.get_params(deep=True).items())},
        prepared=front and inner is not estimator,
        table=table,
        seed=seed,
    )
