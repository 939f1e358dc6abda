"""Train a candidate by test-then-train: it continues from its parent's state, one labelled row after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import numpy as np

from homeostat.ci.train.fitting import said_by
from homeostat.ci.train.train import describe, spanning, with_reference
from homeostat.core.errors import ModelError
from homeostat.core.model.bundle import Bundle
from homeostat.core.model.convert import Stored
from homeostat.core.model.encoder import Coder, Encoder, fit_encoder
from homeostat.core.model.estimator import classes_of, prepared, seeded_clone, target_of, task_of, trusted_types
from homeostat.core.model.features import Features, apply_features, check_rowwise, features_code
from homeostat.core.model.labelling import Labelling
from homeostat.core.model.manifest import Blob, EstimatorInfo, Lineage, Manifest
from homeostat.core.model.online import OnlineState, dump_state, learn, load_state, new_state, sizes_of
from homeostat.core.model.runtimes import EstimatorRuntime, dump_estimator, load_estimator
from homeostat.core.model.signature import Label, Predictions, joined, signature_of
from homeostat.core.stats.prequential import StreamReport, stream_report
from homeostat.core.table.rows import known_at

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.model.task import Task
    from homeostat.core.schema import Schema

_BIRTH = 200
"""Rows that a `partial_fit` estimator's scaling is fitted on when it is born; it stays as it is from then on."""


class OnlineSettings(Protocol):
    """What `ct.how.Online` holds."""

    learner: str
    learning_rate: float
    l2: float
    batch: int


class Learned(NamedTuple):
    """A bundle, and how its learner did on each row before learning from it."""

    bundle: Bundle
    report: StreamReport


def train_online(
    rows: pl.DataFrame,
    proof: pl.DataFrame,
    *,
    schema: Schema,
    now: datetime,
    how: OnlineSettings,
    parent: Bundle | None = None,
    loop: str = "loop",
    model: Any = None,
    features: Features | None = None,
    seed: int = 0,
    lineage: Lineage | None = None,
    metric: str | None = None,
    trusted: Collection[str] = (),
) -> Learned:
    """Predict and then learn from each row, in the order in which labels became known.

    Args:
        rows: Labelled rows. Those whose label the parent knew already are passed over.
        proof: Rows whose predictions become the reference for prediction drift.
        schema: Of the table.
        now: Time on the loop's clock.
        how: The learner and its settings.
        parent: The version to continue; where features, classes or settings changed, the lineage says that it is not.
        loop: Name of the Loop.
        model: The Loop's estimator, for `learner="estimator"`; it needs `partial_fit`.
        features: From raw rows to features.
        seed: For every random state that the estimator leaves open.
        lineage: Where the rows come from.
        metric: The Loop's metric, which says whether numbers are classes.
        trusted: Classes that the model may hold besides those of `model`, as for `Bundle.load`.

    Raises:
        DataError: The rows cannot be learned from.
        ModelError: The estimator cannot learn online, or the task has more than two classes for `linear`.
    """
    fresh = _news(rows, schema, how, parent, model, features, metric)
    begun, classes, spec = fresh.begun, fresh.classes, schema.spec
    made = apply_features(features, fresh.rows, labels=spec.labels)
    check_rowwise(features, fresh.rows, made, labels=spec.labels)
    encoder = (begun.manifest.encoder if begun is not None else None) or fit_encoder(made, exclude=spec.key)
    teach = _linear if how.learner == "linear" else _estimator
    vouched = frozenset({*trusted, *trusted_types(model)})
    taught = teach(begun, encoder, Coder(encoder).frame(made), fresh.labels, classes, how, model, seed, vouched)
    report = stream_report(fresh.labels, taught.said, times=fresh.times, label_times=fresh.known, classes=classes)
    origin = spanning(lineage, fresh.rows if fresh.rows.height else rows, spec.time)
    manifest = Manifest(
        loop=loop,
        created=now,
        signature=signature_of(schema, "regression" if classes is None else "classification", classes),
        schema=schema,
        encoder=encoder,
        features=features_code(features),
        estimator=taught.info,
        blob=Blob.of(taught.stored),
        lineage=msgspec.structs.replace(origin, how=_recorded(fresh, how, lineage, report)),
    )
    return Learned(with_reference(Bundle(manifest, taught.stored.data), rows, proof, features, vouched), report)


class _News(NamedTuple):
    """The rows that the parent has not learned from, in the order in which their labels became known."""

    rows: pl.DataFrame
    labels: NDArray[Any]
    times: NDArray[np.int64]
    known: NDArray[np.int64]
    classes: tuple[Label, ...] | None
    begun: Bundle | None
    anew: str | None
    after: int


def _news(
    rows: pl.DataFrame,
    schema: Schema,
    how: OnlineSettings,
    parent: Bundle | None,
    model: Any,
    features: Features | None,
    metric: str | None,
) -> _News:
    spec = schema.spec
    own = task_of(model) if how.learner == "estimator" else None
    target, task = target_of(rows, str(spec.target), own, metric)
    anew = _why_anew(parent, how, features, target, task)
    begun = None if anew else parent
    known = known_at(rows, spec)
    after = -1 if begun is None else int(begun.manifest.lineage.how["learned_until"])
    times = rows[spec.time].dt.timestamp("us").to_numpy()
    order = np.lexsort((times, known))
    order = order[known[order] > after]
    classes = None if task == "regression" else classes_of(target)
    if begun is not None:
        classes = begun.manifest.signature.classes
    return _News(rows[order], target[order], times[order], known[order], classes, begun, anew, after)


def _recorded(fresh: _News, how: OnlineSettings, lineage: Lineage | None, report: StreamReport) -> dict[str, Any]:
    """What the lineage says of the learning, and what a child needs to go on."""
    before = 0 if fresh.begun is None else fresh.begun.manifest.lineage.how["learned_rows"]
    return {
        **(lineage.how if lineage else {}),
        **_settings(how),
        "learned_until": int(fresh.known[-1]) if len(fresh.known) else fresh.after,
        "learned_rows": before + fresh.rows.height,
        "began": fresh.anew or "continued",
        "prequential": msgspec.to_builtins(report),
    }


class _Taught(NamedTuple):
    stored: Stored
    said: Predictions
    info: EstimatorInfo


def _linear(
    begun: Bundle | None,
    encoder: Encoder,
    codes: NDArray[np.float32],
    labels: NDArray[Any],
    classes: Any,
    how: OnlineSettings,
    _model: Any,
    seed: int,
    _vouched: frozenset[str],
) -> _Taught:
    task = "regression" if classes is None else "classification"
    state: OnlineState = (
        load_state(begun.data)
        if begun
        else new_state(sizes_of(encoder), task=task, learning_rate=how.learning_rate, l2=how.l2)
    )
    truth = labels if classes is None else (labels == np.array(classes)[1])
    found = learn(state, codes, truth)
    info = EstimatorInfo(
        kind="homeostat.core.model.online.OnlineState",
        text=f"online {'logistic' if classes is not None else 'linear'} regression",
        params={"learning_rate": repr(how.learning_rate), "l2": repr(how.l2)},
        prepared=False,
        table=False,
        seed=seed,
    )
    return _Taught(Stored(runtime="numpy", data=dump_state(state)), _said(found, classes), info)


def _estimator(
    begun: Bundle | None,
    encoder: Encoder,
    codes: NDArray[np.float32],
    labels: NDArray[Any],
    classes: Any,
    how: OnlineSettings,
    model: Any,
    seed: int,
    vouched: frozenset[str],
) -> _Taught:
    if not callable(getattr(model, "partial_fit", None)):
        raise ModelError(
            f"{type(model).__name__} cannot learn online: it has no partial_fit",
            hint="use Online(learner='linear'), an estimator such as SGDClassifier, or Refit",
        )
    from sklearn.pipeline import Pipeline

    if begun is None:
        inner = seeded_clone(model, seed)
        whole = prepared(inner, encoder)
        if isinstance(whole, Pipeline) and whole is not inner:
            whole.steps[0][1].fit(codes[:_BIRTH])
    else:
        whole = load_estimator(begun.data, vouched)
    front, inner = (whole.steps[0][1], whole.steps[-1][1]) if isinstance(whole, Pipeline) else (None, whole)
    seen = codes if front is None else front.transform(codes)
    runtime = EstimatorRuntime(inner, classes)
    extra = {} if classes is None else {"classes": np.array(classes)}
    said: list[Predictions] = []
    for start in range(0, len(labels), how.batch):
        span = slice(start, start + how.batch)
        if start or begun:
            said.append(said_by(runtime.output(seen[span]), classes))
        else:
            said.append(_unborn(len(labels[span]), classes))
        inner.partial_fit(seen[span], labels[span], **(extra if not start else {}))
    data, trusted = dump_estimator(whole)
    by = Labelling() if classes is None else Labelling(by="model")
    stored = Stored(runtime="skops", data=data, reason="it goes on learning", trusted=trusted, labels=by)
    return _Taught(stored, joined(said or [_unborn(0, classes)]), describe(whole, model, seed, table=False))


def _unborn(count: int, classes: Any) -> Predictions:
    """An estimator that has seen nothing cannot predict: the first batch gets the even answer."""
    if classes is None:
        return Predictions(np.zeros(count))
    return Predictions(np.repeat(np.array(classes)[:1], count), np.full((count, len(classes)), 1 / len(classes)))


def _said(found: NDArray[np.float64], classes: Any) -> Predictions:
    if classes is None:
        return Predictions(found)
    scores = np.stack([1.0 - found, found], axis=1)
    return Predictions(np.array(classes)[scores.argmax(axis=1)], scores)


def _settings(how: OnlineSettings) -> dict[str, Any]:
    return {"learner": how.learner, "learning_rate": how.learning_rate, "l2": how.l2, "batch": how.batch}


def _why_anew(
    parent: Bundle | None, how: OnlineSettings, features: Features | None, target: NDArray[Any], task: Task
) -> str | None:
    """Why the parent's state cannot be continued; None when it can."""
    if how.learner == "linear" and task == "classification" and len(np.unique(target)) > 2:
        hint = "use learner='estimator' or Refit; or metric='mae', if the target's numbers are amounts"
        raise ModelError("the online linear learner takes two classes", hint=hint)
    if parent is None:
        return "anew: there is no parent"
    manifest = parent.manifest
    before = manifest.lineage.how
    if "learned_until" not in before:
        return "anew: the parent was not trained online"
    if features_code(features) != manifest.features:
        return "anew: features() changed"
    if task != manifest.signature.task:
        return "anew: the target changed"
    if task == "classification" and not set(classes_of(target)) <= set(manifest.signature.classes or ()):
        return "anew: the target has a new class"
    now = _settings(how)
    changed = [name for name in ("learner", "learning_rate", "l2") if before.get(name) != now[name]]
    return f"anew: {', '.join(changed)} changed" if changed else None
