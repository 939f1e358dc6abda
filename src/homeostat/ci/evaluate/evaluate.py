"""Evaluate a candidate: on training and test rows, in segments, against the champion and the baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from homeostat.ci.evaluate.answers import Answers, scored
from homeostat.ci.evaluate.behaviour import Behaviour, behave
from homeostat.ci.evaluate.compare import baselines, compare, segments
from homeostat.ci.evaluate.report import Baseline, Evaluation, Leak
from homeostat.core.errors import DataError, LoopError, ModelError
from homeostat.core.model.bundle import Bundle, Model, spaced
from homeostat.core.schema.accepted import never_held
from homeostat.core.stats.leakage import suspicious_features
from homeostat.core.stats.metrics import default_metric, kappa_per, metrics_for
from homeostat.core.stats.metrics import metric as find_metric

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

    from homeostat.core.model.features import Features
    from homeostat.core.schema import Column, Schema

TRAIN_ROWS = 50_000
LEAK = 0.98
"""Share of the target (0..1) from which one feature alone tells too much to be honest."""


def evaluate(
    candidate: Model,
    train: pl.DataFrame,
    test: pl.DataFrame,
    *,
    metric: str | None = None,
    champion: Model | Bundle | None = None,
    champion_version: int | None = None,
    accepted: Schema | None = None,
    slices: Sequence[str] = (),
    behaviours: Sequence[Behaviour] = (),
    warnings: Sequence[str] = (),
    features: Features | None = None,
) -> Evaluation:
    """Everything that gates, people and the ledger want to know about a candidate.

    Args:
        candidate: The model as it would be served.
        train: The rows that it was trained on, labelled.
        test: Labelled rows that it was not trained on, of any number; sorted here by event time.
        metric: What it is judged by; None takes the default of the task.
        champion: The version in charge, scored on the same rows, as far as they came after its own training rows. One
            that is given as a bundle and cannot run, because `features()` changed, is not compared, with a warning.
        champion_version: Its number.
        accepted: The schema that rows are held against: the champion's with the changes that were accepted since.
        slices: Columns of the raw rows or of the features to evaluate by.
        behaviours: Declared invariances and directions.
        warnings: What the split has to say.
        features: The Loop's `features()`, for a champion that is given as a bundle.

    Returns:
        The evaluation. A candidate that gives NaN, or has no rows to be judged by, has `problems` instead of metrics.

    Raises:
        DataError: A slice's column does not exist, or labels are missing.
        LoopError: The metric does not exist or is for another task.
    """
    name = _checked_metric(metric, candidate)
    spec = candidate.manifest.schema.spec
    report = _empty(candidate, train, test, name, champion, champion_version, warnings, accepted)
    if report.problems:
        return report
    try:
        on_test = Answers(candidate, test.sort(spec.time, *spec.key))
        on_train = Answers(candidate, train[spaced(train.height, TRAIN_ROWS)])
    except ModelError as error:
        return msgspec.structs.replace(report, problems=(error.what,))
    report = _with_metrics(report, on_train, on_test)
    compared = None if champion is None else compare(champion, on_test, name, features)
    simpler = baselines(train, on_test, name, on_test.estimates()[name])
    return msgspec.structs.replace(
        report,
        baselines=simpler,
        kappa_per=_kappa(report, simpler),
        champion=None if compared is None else compared.whole,
        slices=segments(on_test, slices, name, compared),
        behaviours=tuple(behave(candidate, on_test.rows, behaviour) for behaviour in behaviours),
        leaks=_leaks(on_test),
        warnings=(*warnings, *_order_warnings(train, test, candidate), *(compared.warnings if compared else ())),
    )


def _empty(
    candidate: Model,
    train: pl.DataFrame,
    test: pl.DataFrame,
    name: str,
    champion: Model | Bundle | None,
    champion_version: int | None,
    warnings: Sequence[str],
    accepted: Schema | None,
) -> Evaluation:
    """What is known before anything is predicted, with the reasons why nothing can be."""
    classes, spec = candidate.signature.classes, candidate.manifest.schema.spec
    parts = {"training": train, "test": test}
    for part, rows in parts.items():
        nulls = rows[str(spec.target)].null_count()
        if nulls:
            raise DataError(f"{nulls:,} {part} rows have no label", hint="split labelled rows only")
    return Evaluation(
        task=candidate.signature.task,
        metric=name,
        classes=None if classes is None else tuple(map(str, classes)),
        train={},
        test={},
        train_rows=train.height,
        test_rows=test.height,
        train_until=cast("datetime | None", train[spec.time].max()),
        test_from=cast("datetime | None", test[spec.time].min()),
        test_until=cast("datetime | None", test[spec.time].max()),
        inputs=_inputs(candidate.signature.inputs),
        champion_inputs=None if champion is None else _inputs(champion.manifest.signature.inputs),
        accepted_inputs=None if accepted is None else _inputs(accepted.inputs),
        champion_version=champion_version,
        problems=tuple(f"there are no {part} rows" for part, rows in parts.items() if not rows.height),
        warnings=tuple(warnings),
    )


def _with_metrics(report: Evaluation, on_train: Answers, on_test: Answers) -> Evaluation:
    estimates = on_test.estimates()
    known = estimates[report.metric].value is not None
    return msgspec.structs.replace(
        report,
        train={key: found.value for key, found in on_train.estimates().items()},
        test={key: found.value for key, found in estimates.items()},
        scored={key: scored(found) for key, found in estimates.items()},
        rarest_class=on_test.rarest_class(),
        calibration=on_test.calibration(),
        problems=() if known else (f"{report.metric} is undefined on the test rows",),
    )


def _leaks(answers: Answers) -> tuple[Leak, ...]:
    features = answers.features.drop([name for name in answers.spec.declared if name in answers.features.columns])
    found = suspicious_features(features, answers.rows[answers.target], telling=LEAK)
    return tuple(Leak(feature=one.column, strength=one.told, detail=one.reason) for one in found)


def _order_warnings(train: pl.DataFrame, test: pl.DataFrame, candidate: Model) -> list[str]:
    spec = candidate.manifest.schema.spec
    found = []
    until, start = cast("datetime", train[spec.time].max()), cast("datetime", test[spec.time].min())
    if until >= start:
        found.append(
            f"training rows reach to {until:%Y-%m-%d %H:%M} and test rows begin at {start:%Y-%m-%d %H:%M}: the model "
            "has seen the future of its test rows, so its test metrics are too good"
        )
    if spec.key:
        shared = test.select(spec.key).join(train.select(spec.key), on=spec.key, how="semi").height
        if shared:
            found.append(f"{shared:,} test rows are training rows too (same {', '.join(spec.key)})")
    return found


def _checked_metric(metric: str | None, candidate: Model) -> str:
    task, classes = candidate.signature.task, candidate.signature.classes
    scores_only = candidate.signature.outputs == ("label", "score")
    fallback = "accuracy" if scores_only and len(classes or ()) > 2 else default_metric(task, len(classes or ()))
    name = metric or fallback
    found = find_metric(name)
    if found.task != task:
        raise LoopError(
            f"{name!r} is a metric for {found.task}, and the target makes this {task}",
            hint=f"choose one of {', '.join(metrics_for(task))}",
        )
    if found.probabilities and scores_only:
        raise LoopError(
            f"{name!r} needs probabilities, and {candidate.manifest.estimator.kind} has no predict_proba",
            hint="choose accuracy or roc_auc, or wrap it in sklearn's CalibratedClassifierCV",
        )
    return name


def _inputs(columns: Sequence[Column]) -> dict[str, str]:
    """Name to kind, which is not known of a column that never had a value."""
    return {column.name: "unknown" if never_held(column) else column.kind for column in columns}


def _kappa(report: Evaluation, simpler: Sequence[Baseline]) -> float | None:
    last = next((baseline for baseline in simpler if baseline.name == "persistence"), None)
    if last is None:
        return None
    perfect = 1.0 if find_metric(report.metric).greater_is_better else 0.0
    return kappa_per(report.test[report.metric], last.metrics.get(report.metric), perfect)
