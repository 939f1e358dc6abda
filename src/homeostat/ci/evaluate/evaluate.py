"""Evaluate a candidate: on training and test rows, in segments, against the champion and the baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from homeostat.ci.evaluate.baselines import constant, persistence, simple
from homeostat.ci.evaluate.behaviour import Behaviour, behave
from homeostat.ci.evaluate.leaks import find_leaks
from homeostat.ci.evaluate.report import (
    Baseline,
    CalibrationBin,
    CalibrationReport,
    Evaluation,
    Leak,
    Scored,
    Segment,
)
from homeostat.core.errors import DataError, ModelError
from homeostat.core.metrics import (
    Estimate,
    default_metric,
    difference,
    estimate,
    kappa_per,
    label_codes,
    metric as find_metric,
    metrics_for,
)
from homeostat.core.model.bundle import spaced
from homeostat.core.model.encoder import fit_encoder
from homeostat.core.profile import Calibration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from homeostat.core.metrics import Difference
    from homeostat.core.model import Model, Predictions

TRAIN_ROWS = 50_000
_MOST_SEGMENTS = 50
_FEWEST_SEGMENT_ROWS = 30
_QUARTILES = (0.25, 0.5, 0.75)


def evaluate(
    candidate: Model,
    train: pl.DataFrame,
    test: pl.DataFrame,
    *,
    metric: str | None = None,
    champion: Model | None = None,
    champion_version: int | None = None,
    slices: Sequence[str] = (),
    behaviours: Sequence[Behaviour] = (),
    warnings: Sequence[str] = (),
) -> Evaluation:
    """Everything that gates, people and the ledger want to know about a candidate.

    Args:
        candidate: The model as it would be served.
        train: The rows that it was trained on, labelled.
        test: Labelled rows that it was not trained on, of any number; sorted here by event time.
        metric: What it is judged by; None takes the default of the task.
        champion: The version in charge, scored on the same rows, as far as they came after its own training rows.
        champion_version: Its number.
        slices: Columns of the raw rows or of the features to evaluate by.
        behaviours: Declared invariances and directions.
        warnings: What the split has to say.

    Returns:
        The evaluation. A candidate that gives NaN, or has no rows to be judged by, has `problems` instead of metrics.

    Raises:
        DataError: A slice's column does not exist, or labels are missing.
        LoopError: The metric does not exist or is for another task.
    """
    spec = candidate.manifest.schema.spec
    classes = candidate.signature.classes
    name = metric or default_metric(candidate.signature.task, len(classes or ()))
    _check_metric(name, candidate)
    assert spec.target is not None
    test = test.sort(spec.time, *spec.key)
    base = {
        "task": candidate.signature.task,
        "metric": name,
        "classes": None if classes is None else tuple(map(str, classes)),
        "train_rows": train.height,
        "test_rows": test.height,
        "inputs": _inputs(candidate),
        "champion_inputs": None if champion is None else _inputs(champion),
        "champion_version": champion_version,
    }
    problems = [f"there are no {part} rows" for part, rows in (("training", train), ("test", test)) if not rows.height]
    if problems:
        return Evaluation(**base, train={}, test={}, problems=tuple(problems), warnings=tuple(warnings))
    for part, rows in (("training", train), ("test", test)):
        if rows[spec.target].null_count():
            raise DataError(f"{rows[spec.target].null_count():,} {part} rows have no label", hint="split labelled rows only")
    judged = _Judged(candidate, name)
    try:
        on_test = judged.predict(test)
        on_train = judged.predict(train[spaced(train.height, TRAIN_ROWS)])
    except ModelError as error:
        return Evaluation(**base, train={}, test={}, problems=(error.what,), warnings=tuple(warnings))
    estimates = on_test.estimates()
    baselines = _baselines(judged, train, on_test, estimates[name])
    by_name = {baseline.name: baseline for baseline in baselines}
    compared = None if champion is None else _compare(champion, on_test, name)
    return Evaluation(
        **base,
        train={key: found.value for key, found in on_train.estimates().items()},
        test={key: found.value for key, found in estimates.items()},
        scored={key: _scored(found) for key, found in estimates.items()},
        rarest_class=None if classes is None else _rarest(on_test),
        train_until=train[spec.time].max(),
        test_from=test[spec.time].min(),
        test_until=test[spec.time].max(),
        baselines=baselines,
        kappa_per=_kappa(name, estimates[name].value, by_name.get("persistence")),
        champion=None if compared is None else compared.whole,
        slices=_segments(on_test, slices, name, compared),
        calibration=_calibration(on_test),
        behaviours=tuple(behave(candidate, test, behaviour) for behaviour in behaviours),
        leaks=_leaks(on_test),
        problems=(() if estimates[name].value is not None else (f"{name} is undefined on the test rows",)),
        warnings=(*warnings, *_order_warnings(train, test, candidate), *(compared.warnings if compared else ())),
    )


class _Judged:
    """A model and how it is judged."""

    def __init__(self, model: Model, metric: str) -> None:
        self.model = model
        self.metric = metric
        self.spec = model.manifest.schema.spec
        self.classes = model.signature.classes
        probable = model.signature.outputs != ("label", "score")
        self.names = [name for name in metrics_for(model.signature.task) if probable or not find_metric(name).probabilities]

    def predict(self, rows: pl.DataFrame) -> _Answers:
        features = self.model.featurize(rows)
        return _Answers(self, rows, features, self.model.predict_features(features))


class _Answers:
    """A model's predictions of labelled rows."""

    def __init__(self, judged: _Judged, rows: pl.DataFrame, features: pl.DataFrame, said: Predictions) -> None:
        self.judged = judged
        self.rows = rows
        self.features = features
        self.said = said
        assert judged.spec.target is not None
        self.labels = rows[judged.spec.target].to_numpy()

    def estimates(self) -> dict[str, Estimate]:
        return {name: estimate(name, self.labels, self.said, self.judged.classes) for name in self.judged.names}


class _Compared:
    """Candidate and champion on the same rows."""

    def __init__(self, new: NDArray[np.bool_], said: Predictions | None, whole: Difference | None,
                 warnings: tuple[str, ...]) -> None:
        self.new = new
        self.said = said
        self.whole = whole
        self.warnings = warnings


def _compare(champion: Model, answers: _Answers, name: str) -> _Compared:
    """Score the champion on the rows that came after everything it learned from."""
    judged = answers.judged
    until = champion.manifest.lineage.window_end
    times = answers.rows[judged.spec.time]
    new = np.ones(len(times), dtype=bool) if until is None else (times > until).to_numpy()
    if champion.signature.task != judged.model.signature.task or champion.signature.classes != judged.classes:
        return _Compared(new, None, None, ("the champion predicts other classes, so it was not compared",))
    if not new.any():
        return _Compared(new, None, None, ("the champion was trained on all of the test rows, so it was not compared",))
    try:
        said = champion.predict(answers.rows.filter(new))
    except (DataError, ModelError) as error:
        return _Compared(new, None, None, (f"the champion cannot predict the test rows: {error.what}",))
    labels = answers.labels[new]
    ours = estimate(name, labels, _taken(answers.said, new), judged.classes)
    theirs = estimate(name, labels, said, judged.classes)
    return _Compared(new, said, difference(name, ours, theirs), ())


def _baselines(judged: _Judged, train: pl.DataFrame, on_test: _Answers, ours: Estimate) -> tuple[Baseline, ...]:
    spec, classes, name = judged.spec, judged.classes, judged.metric
    assert spec.target is not None
    target = train[spec.target].to_numpy()
    said = {
        "majority" if classes is not None else "mean": constant(target, on_test.rows.height, classes, median=name == "mae"),
        "persistence": persistence(train, on_test.rows, spec, classes),
    }
    try:
        features = judged.model.featurize(train)
        said["simple"] = simple(features, target, on_test.features, classes, exclude=spec.declared)
    except (DataError, ModelError):
        pass  # features that no linear model can take, such as text alone, have no simple baseline
    found = []
    for baseline, predictions in said.items():
        estimates = {key: estimate(key, on_test.labels, predictions, classes) for key in judged.names}
        found.append(
            Baseline(
                name=baseline,
                metrics={key: made.value for key, made in estimates.items()},
                gain=difference(name, ours, estimates[name]),
            )
        )
    return tuple(found)


def _segments(answers: _Answers, columns: Sequence[str], name: str, compared: _Compared | None) -> tuple[Segment, ...]:
    found = []
    for column in columns:
        groups = _groups(_slice_column(answers, column))
        for value, inside in groups:
            labels = answers.labels[inside]
            scored = estimate(name, labels, _taken(answers.said, inside), answers.judged.classes)
            gain = _segment_gain(answers, inside, name, compared)
            found.append(
                Segment(column=column, value=value, rows=int(inside.sum()), scored=_scored(scored), gain=gain)
            )
    return tuple(found)


def _segment_gain(
    answers: _Answers, inside: NDArray[np.bool_], name: str, compared: _Compared | None
) -> Difference | None:
    if compared is None or compared.said is None:
        return None
    both = inside & compared.new
    theirs = _taken(compared.said, both[compared.new])
    labels, classes = answers.labels[both], answers.judged.classes
    ours = estimate(name, labels, _taken(answers.said, both), classes)
    return difference(name, ours, estimate(name, labels, theirs, classes))


def _slice_column(answers: _Answers, column: str) -> pl.Series:
    for source in (answers.rows, answers.features):
        if column in source.columns:
            return source[column]
    raise DataError(
        f"there is no column {column!r} to slice by", hint=f"there are {', '.join(answers.rows.columns[:20])}"
    )


def _groups(series: pl.Series) -> list[tuple[str, NDArray[np.bool_]]]:
    """The rows of each value, the most frequent first; numbers with many values by quartile."""
    if series.dtype.is_numeric() and series.n_unique() > _MOST_SEGMENTS:
        values = series.cast(pl.Float64).to_numpy()
        edges = np.unique(np.nanquantile(values, _QUARTILES))
        place = np.digitize(values, edges, right=True)
        labels = [f"<= {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in zip(edges, edges[1:], strict=False)), f"> {edges[-1]:g}"]
        groups = [(label, (place == bin_) & ~np.isnan(values)) for bin_, label in enumerate(labels)]
    else:
        text = series.cast(pl.String)
        top = text.drop_nulls().value_counts(sort=True).to_series(0).head(_MOST_SEGMENTS).to_list()
        groups = [(value, (text == value).fill_null(value=False).to_numpy()) for value in top]
    return [(label, inside) for label, inside in groups if inside.sum() >= _FEWEST_SEGMENT_ROWS]


def _calibration(answers: _Answers) -> CalibrationReport | None:
    score, classes = answers.said.score, answers.judged.classes
    if score is None or classes is None or "log_loss" not in answers.judged.names:
        return None
    codes = label_codes(answers.labels, classes)
    if len(classes) == 2:  # noqa: PLR2004
        made = Calibration.of(score[:, 1], codes == 1)
    else:
        made = Calibration.of(score.max(axis=1), codes == score.argmax(axis=1))
    size = len(made.counts)
    bins = tuple(
        CalibrationBin(
            low=place / size,
            high=(place + 1) / size,
            rows=rows,
            predicted=made.score_sums[place] / rows if rows else None,
            observed=made.positives[place] / rows if rows else None,
        )
        for place, rows in enumerate(made.counts)
    )
    return CalibrationReport(error=made.error, bins=bins)


def _leaks(answers: _Answers) -> tuple[Leak, ...]:
    judged = answers.judged
    encoder = judged.model.manifest.encoder
    if encoder is None:
        encoder = fit_encoder(answers.features, exclude=judged.spec.declared)
    return find_leaks(answers.features, answers.labels, encoder, judged.classes)


def _order_warnings(train: pl.DataFrame, test: pl.DataFrame, candidate: Model) -> list[str]:
    spec = candidate.manifest.schema.spec
    found = []
    if train[spec.time].max() >= test[spec.time].min():  # type: ignore[operator]
        found.append(
            f"training rows reach to {train[spec.time].max()} and test rows begin at {test[spec.time].min()}: the model "
            "has seen the future of its test rows, so its test metrics are too good"
        )
    if spec.key:
        shared = test.select(spec.key).join(train.select(spec.key), on=spec.key, how="semi").height
        if shared:
            found.append(f"{shared:,} test rows are training rows too (same {', '.join(spec.key)})")
    return found


def _check_metric(name: str, candidate: Model) -> None:
    from homeostat.core.errors import LoopError

    found = find_metric(name)
    task = candidate.signature.task
    if found.task != task:
        raise LoopError(
            f"{name!r} is a metric for {found.task}, and the target makes this {task}",
            hint=f"choose one of {', '.join(metrics_for(task))}",
        )
    if found.probabilities and candidate.signature.outputs == ("label", "score"):
        raise LoopError(
            f"{name!r} needs probabilities, and {candidate.manifest.estimator.kind} has no predict_proba",
            hint="choose accuracy or roc_auc, or wrap it in sklearn's CalibratedClassifierCV",
        )


def _inputs(model: Model) -> dict[str, str]:
    return {column.name: column.kind for column in model.signature.inputs}


def _rarest(answers: _Answers) -> int:
    assert answers.judged.classes is not None
    codes = label_codes(answers.labels, answers.judged.classes)
    return int(np.bincount(codes[codes >= 0], minlength=len(answers.judged.classes)).min())


def _kappa(name: str, value: float | None, baseline: Baseline | None) -> float | None:
    if baseline is None:
        return None
    return kappa_per(value, baseline.metrics.get(name), 1.0 if find_metric(name).greater_is_better else 0.0)


def _scored(found: Estimate) -> Scored:
    bounds: Any = found.bounds() or (None, None)
    return Scored(value=found.value, low=bounds[0], high=bounds[1])


def _taken(said: Predictions, rows: NDArray[np.bool_]) -> Predictions:
    from homeostat.core.model import Predictions as Made

    return Made(said.value[rows], None if said.score is None else said.score[rows])
