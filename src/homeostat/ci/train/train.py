"""Train a candidate: from labelled rows to a bundle that is proved, seeded and complete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from homeostat.ci.train.fitting import choose, fit, inputs_of, limited_threads
from homeostat.core.errors import DataError
from homeostat.core.model.bundle import Bundle, golden_rows, spaced
from homeostat.core.model.convert import Stored, store_estimator
from homeostat.core.model.encoder import Encoder, fit_encoder
from homeostat.core.model.estimator import (
    classes_of,
    default_estimator,
    prepared,
    seeded_clone,
    target_of,
    task_of,
    trusted_types,
    wants_table,
)
from homeostat.core.model.features import Features, apply_features, check_rowwise, features_code
from homeostat.core.model.manifest import Blob, EstimatorInfo, Lineage, Manifest, TriedSettings
from homeostat.core.model.own_code import lasting
from homeostat.core.model.signature import Label, Signature, signature_of
from homeostat.core.stats.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.model.task import Task
    from homeostat.core.schema import Schema

PROOF_ROWS = 10_000
_TEXT = 2_000
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where a function lies in memory, which is no part of a model."""


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
    candidates: Sequence[Mapping[str, Any]] = (),
    metric: str | None = None,
    trusted: Collection[str] = (),
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
        candidates: Parameters of the estimator to try, besides its own; the best on the newest fifth of the training
            rows are taken, and all that were tried are kept in the manifest.
        metric: What to choose settings by.
        trusted: Classes that the fitted model may hold besides those of `model`, as for `Bundle.load`.

    Returns:
        A bundle without metrics; the same rows, settings and seed give the same bytes.

    Raises:
        DataError: The rows cannot be trained on.
        ModelError: The estimator cannot be used, fitted or stored.
    """
    target, task, classes = _target(rows, schema, model, metric)
    unfitted = default_estimator(task, seed) if model is None else seeded_clone(model, seed)
    fitted = _fitted(unfitted, rows, target, classes, schema, features, weights, candidates, metric)
    stored = _proved(fitted, proof, features, schema, classes)
    manifest = Manifest(
        loop=loop,
        created=now,
        signature=_signature(schema, task, classes, fitted.estimator),
        schema=schema,
        encoder=fitted.encoder,
        features=features_code(features),
        estimator=describe(fitted.estimator, model, seed, table=fitted.encoder is None),
        blob=Blob.of(stored),
        lineage=spanning(lineage, rows, schema.spec.time),
        candidates=fitted.candidates,
    )
    vouched = {*trusted, *trusted_types(fitted.estimator)}
    return with_reference(Bundle(manifest, stored.data), rows, proof, features, vouched)


def _target(
    rows: pl.DataFrame, schema: Schema, model: Any, metric: str | None
) -> tuple[NDArray[Any], Task, tuple[Label, ...] | None]:
    if schema.spec.target is None:
        raise DataError("the table declares no target", hint="name the column to predict with target=")
    target, task = target_of(rows, schema.spec.target, task_of(model), metric)
    return target, task, None if task == "regression" else classes_of(target)


class _Fitted(NamedTuple):
    estimator: Any
    encoder: Encoder | None
    candidates: tuple[TriedSettings, ...]


def _fitted(
    estimator: Any,
    rows: pl.DataFrame,
    target: NDArray[Any],
    classes: Sequence[Any] | None,
    schema: Schema,
    features: Features | None,
    weights: NDArray[np.float64] | None,
    candidates: Sequence[Mapping[str, Any]],
    metric: str | None,
) -> _Fitted:
    made = apply_features(features, rows, labels=schema.spec.labels)
    check_rowwise(features, rows, made, labels=schema.spec.labels)
    encoder = None if wants_table(estimator) else fit_encoder(made, exclude=schema.spec.key)
    inputs = inputs_of(made, encoder, schema)
    estimator, tried = choose(estimator, candidates, inputs, target, encoder, classes, metric)
    if encoder is not None:
        estimator = prepared(estimator, encoder)
    fit(estimator, inputs, target, weights)
    return _Fitted(estimator, encoder, tried)


def _proved(
    fitted: _Fitted, proof: pl.DataFrame, features: Features | None, schema: Schema, classes: Sequence[Any] | None
) -> Stored:
    made = apply_features(features, proof[spaced(proof.height, PROOF_ROWS)], labels=schema.spec.labels)
    with limited_threads():
        inputs = inputs_of(made, fitted.encoder, schema)
        return store_estimator(fitted.estimator, inputs, classes, _holes(fitted.encoder, features, schema))


def _holes(encoder: Encoder | None, features: Features | None, schema: Schema) -> tuple[int, ...]:
    """Codes that may be missing in serving: of categories, which may be new, and whatever is not always there."""
    never = set() if features is not None else {column.name for column in schema.columns if not column.nullable}
    codes = () if encoder is None else encoder.codes
    return tuple(place for place, code in enumerate(codes) if code.kind == "category" or code.name not in never)


def _signature(schema: Schema, task: Task, classes: tuple[Label, ...] | None, estimator: Any) -> Signature:
    signature = signature_of(schema, task, classes)
    if task == "classification" and not hasattr(estimator, "predict_proba"):
        return msgspec.structs.replace(signature, outputs=("label", "score"))
    return signature


def with_reference(
    bundle: Bundle, rows: pl.DataFrame, proof: pl.DataFrame, features: Features | None, trusted: Collection[str]
) -> Bundle:
    """Add what drift is measured from, and the golden rows."""
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
        lineage or Lineage(), rows=rows.height, window_start=rows[time].min(), window_end=rows[time].max()
    )


def describe(estimator: Any, model: Any, seed: int, *, table: bool) -> EstimatorInfo:
    """What was fitted, in text; `model` is what the user gave."""
    from sklearn.pipeline import Pipeline

    front = isinstance(estimator, Pipeline) and "prepare" in estimator.named_steps
    inner = estimator.named_steps["model"] if front and type(model) is not type(estimator) else estimator
    return EstimatorInfo(
        kind=lasting(f"{type(inner).__module__}.{type(inner).__qualname__}"),
        text=" ".join(_printed(inner).split())[:_TEXT],
        params={name: _printed(value)[:200] for name, value in sorted(inner.get_params(deep=True).items())},
        prepared=front and inner is not estimator,
        table=table,
        seed=seed,
    )


def _printed(value: Any) -> str:
    """How a parameter prints, without anything that is so on this machine alone."""
    return lasting(_ADDRESS.sub("", repr(value)))
