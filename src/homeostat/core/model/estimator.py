"""Getting an estimator ready: checked, cloned, seeded, and given what it needs in front to take codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from homeostat.core.errors import DataError, ModelError
from homeostat.core.model.labelling import THRESHOLDS
from homeostat.core.model.task import Task, task_of_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homeostat.core.model.encoder import Encoder
    from homeostat.core.model.signature import Label

MOST_CLASSES = 100
LARGEST_TARGET = 1e30
"""Squares and sums of larger numbers leave the range of floats."""


def target_of(
    rows: pl.DataFrame, name: str, task: Task | None = None, metric: str | None = None
) -> tuple[NDArray[Any], Task]:
    """The labels as an array, and the task that they make: the estimator's, else what `core.task` says.

    Returns:
        Labels of shape (n,): bool, int, str or float64; and the task.

    Raises:
        DataError: Labels are missing, NaN or infinite, of one class only, or do not suit the task.
    """
    if name not in rows.columns:
        raise DataError(f"target column {name!r} is missing")
    series = rows[name]
    problem = _broken_target(series)
    if problem:
        raise DataError(f"target {name!r} {problem}", hint="train on labelled rows only, with finite labels")
    kind: Task = task or task_of_values(series, metric)[0]
    if kind == "regression":
        if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
            raise DataError(f"target {name!r} has the type {series.dtype}", hint="regression needs numbers")
        numbers = series.cast(pl.Float64).to_numpy()
        largest = float(np.abs(numbers).max())
        if largest > LARGEST_TARGET:
            raise DataError(f"target {name!r} reaches {largest:.3g}", hint="choose a unit that keeps it below 1e30")
        return numbers, kind
    distinct = series.n_unique()
    if distinct < 2:
        raise DataError(
            f"target {name!r} has one class only: {series[0]!r} in all {series.len():,} rows",
            hint="collect rows of another class, or widen the training window",
        )
    if distinct > MOST_CLASSES:
        merge = f"merge the rare ones: keep the {MOST_CLASSES - 1} most frequent and call the rest 'other'"
        way = f"predict its number with metric='mae'; or {merge}" if series.dtype.is_numeric() else merge
        what = f"target {name!r} has {distinct:,} classes; a classifier takes at most {MOST_CLASSES}"
        raise DataError(what, hint=way)
    if series.dtype.is_float():
        if not bool((series == series.floor()).all()):
            raise DataError(f"target {name!r} holds fractions", hint="a classifier needs classes; use a regressor")
        series = series.cast(pl.Int64)
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    values = series.to_numpy()
    return (values.astype(str) if series.dtype == pl.String else values), kind


def classes_of(target: NDArray[Any]) -> tuple[Label, ...]:
    """The classes, sorted, as plain values."""
    return tuple(np.unique(target).tolist())


def default_estimator(task: Task, seed: int) -> Any:
    """What a Loop without a model trains: histogram gradient boosting, 100 rounds, without a random held-out part."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    return kind(max_iter=100, early_stopping=False, random_state=seed)


def task_of(estimator: Any) -> Task | None:
    """The task of an estimator, or None when there is no estimator.

    Raises:
        ModelError: It is no scikit-learn classifier or regressor.
    """
    if estimator is None:
        return None
    check_estimator(estimator)
    from sklearn.base import is_classifier, is_regressor

    try:
        if is_classifier(estimator):
            return "classification"
        if is_regressor(estimator):
            return "regression"
    except Exception as error:  # tags of estimators that were never meant for scikit-learn fail in any way
        raise ModelError(f"{type(estimator).__name__} does not say whether it classifies: {error}") from error
    raise ModelError(
        f"{type(estimator).__name__} is neither a classifier nor a regressor",
        hint="derive it from sklearn.base.ClassifierMixin or RegressorMixin, before BaseEstimator",
    )


def check_estimator(estimator: Any) -> None:
    """Refuse what cannot be trained.

    Raises:
        ModelError: It is a class, or it lacks `fit` or `get_params`. Some have `predict` only once they are fitted.
    """
    if isinstance(estimator, type):
        raise ModelError(
            f"the model is the class {estimator.__name__}", hint=f"pass an instance: {estimator.__name__}()"
        )
    lacking = [name for name in ("fit", "get_params") if not callable(getattr(estimator, name, None))]
    if lacking:
        raise ModelError(
            f"the model, a {type(estimator).__name__}, has no {' and no '.join(lacking)}",
            hint="pass a scikit-learn estimator, or None for a sensible default",
        )


def trusted_types(estimator: Any) -> tuple[str, ...]:
    """The classes of an estimator, or of several, and of all in its parameters, to vouch for in loading a bundle."""
    found: set[str] = set()
    pending = [estimator]
    while pending:
        value = pending.pop()
        if isinstance(value, (list, tuple)):
            pending.extend(value)
        elif hasattr(value, "get_params") and not isinstance(value, type):
            found.add(f"{type(value).__module__}.{type(value).__qualname__}")
            pending.extend(value.get_params(deep=False).values())
    return tuple(sorted(found))


def seeded_clone(estimator: Any, seed: int) -> Any:
    """An unfitted copy whose every `random_state` that was None is `seed`; the original stays as it is."""
    from sklearn.base import clone

    try:
        copy = clone(estimator)
    except (TypeError, RuntimeError, ValueError) as error:
        raise ModelError(f"{type(estimator).__name__} cannot be cloned: {error}") from error
    params = cast("dict[str, Any]", copy.get_params(deep=True))
    unset = {
        name: seed
        for name, value in params.items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return copy.set_params(**unset) if unset else copy


def wants_table(estimator: Any) -> bool:
    """Whether it takes a table by column names (a ColumnTransformer or something of skrub comes first)."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    first = estimator
    while isinstance(first, Pipeline):
        first = first.steps[0][1]
    return isinstance(first, ColumnTransformer) or type(first).__module__.partition(".")[0] == "skrub"


def takes_missing(estimator: Any) -> bool:
    """Whether it can be fitted on NaN: by its tags, or because an imputer comes first."""
    from sklearn.pipeline import Pipeline
    from sklearn.utils import get_tags

    while type(estimator).__name__ in THRESHOLDS and hasattr(estimator, "estimator"):
        estimator = estimator.estimator  # its tags do not say what the estimator within takes
    for step in (step for _, step in estimator.steps) if isinstance(estimator, Pipeline) else (estimator,):
        if "Imputer" in type(step).__name__:
            return True
        if step != "passthrough" and not get_tags(step).input_tags.allow_nan:
            return False
    return True


def prepared(estimator: Any, encoder: Encoder) -> Any:
    """The estimator with what it needs in front to take codes.

    One that takes NaN (histogram gradient boosting, trees) reads the codes as they are. For any other, categories are
    one-hot encoded, missing numbers become the median, and numbers are standardised; all fitted on training rows only.
    """
    if takes_missing(estimator):
        return estimator
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    category = list(encoder.categorical)
    number = [place for place in range(len(encoder.codes)) if place not in set(category)]
    missing = SimpleImputer(strategy="constant", fill_value=-1.0)
    one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    parts = [
        ("category", Pipeline([("missing", missing), ("one_hot", one_hot)]), category),
        ("number", Pipeline([("missing", median), ("scale", StandardScaler())]), number),
    ]
    return Pipeline([("prepare", ColumnTransformer([part for part in parts if part[2]])), ("model", estimator)])


def _broken_target(series: pl.Series) -> str | None:
    nulls = series.null_count()
    if not series.len():
        return "has no rows"
    if nulls:
        return "is null in every row" if nulls == series.len() else f"is null in {nulls:,} of {series.len():,} rows"
    if series.dtype.is_float() and not series.is_finite().all():
        return f"holds NaN or infinity in {int((~series.is_finite()).sum()):,} of {series.len():,} rows"
    if not (series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum)):
        return f"has the type {series.dtype}, which is no label"
    return None
