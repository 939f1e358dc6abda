"""Write src/homeostat/core/model/safe_types.txt: the exact classes and functions that a stored estimator may name.

Run it after an upgrade of scikit-learn, and read what changed (`git diff`) before it is committed: whatever stands in
that file can be built from the bytes of a stranger. A class gets in by being an estimator of scikit-learn, or by
standing in one of the modules below whose classes hold numbers and settings; a function by being a ufunc, a metric, a
score of features or one of the few below. None of them opens a file, starts a process or runs text.
"""

from __future__ import annotations

import inspect
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

OUT = Path(__file__).resolve().parents[1] / "src" / "homeostat" / "core" / "model" / "safe_types.txt"

HELD = (
    "sklearn._loss.link",
    "sklearn._loss.loss",
    "sklearn.calibration",
    "sklearn.cluster._bisect_k_means",
    "sklearn.ensemble._hist_gradient_boosting.binning",
    "sklearn.ensemble._hist_gradient_boosting.predictor",
    "sklearn.gaussian_process._gpc",
    "sklearn.gaussian_process.kernels",
    "sklearn.impute._iterative",
    "sklearn.metrics._dist_metrics",
    "sklearn.metrics._scorer",
    "sklearn.model_selection._split",
    "sklearn.multiclass",
    "sklearn.neighbors._ball_tree",
    "sklearn.neighbors._kd_tree",
    "sklearn.neural_network._stochastic_optimizers",
    "sklearn.utils._metadata_requests",
)
"""Modules whose concrete classes are parts of fitted estimators."""

ALSO = (
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "polars.datatypes.classes.Date",
    "polars.datatypes.classes.Datetime",
    "polars.datatypes.classes.Duration",
    "polars.datatypes.classes.Time",
    "scipy.interpolate._bsplines.BSpline",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor",
    "xgboost.sklearn.XGBRegressor",
)

SKRUB = (
    "_apply_to_cols ApplyToCols",
    "_apply_to_each_col ApplyToEachCol",
    "_apply_to_sub_frame ApplyToSubFrame",
    "_check_input CheckInputDataFrame",
    "_clean_categories CleanCategories",
    "_clean_null_strings CleanNullStrings",
    "_datetime_encoder DatetimeEncoder _CircularEncoder _SplineEncoder",
    "_drop_uninformative DropUninformative",
    "_duration_to_float DurationToFloat",
    "_gap_encoder GapEncoder",
    "_minhash_encoder MinHashEncoder",
    "_select_cols Drop DropCols SelectCols",
    "_similarity_encoder SimilarityEncoder",
    "_squashing_scaler SquashingScaler _MinMaxScaler",
    "_string_encoder StringEncoder",
    "_table_vectorizer Cleaner PassThrough ShortReprDict TableVectorizer",
    "_to_categorical ToCategorical",
    "_to_datetime ToDatetime",
    "_to_float ToFloat",
    "_to_str ToStr",
    "_utils LRUDict",
    "selectors._base All And Cols Filter Inv NameFilter Or Sub XOr",
)

FUNCTIONS = (
    "numpy.max",
    "numpy.mean",
    "numpy.median",
    "numpy.min",
    "numpy.sum",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.cluster._kmeans._kmeans_single_elkan",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_oneway",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.feature_selection._univariate_selection.r_regression",
    "sklearn.utils.validation.check_array",
    "skrub._dataframe._common.is_any_date",
    "skrub._dataframe._common.is_bool",
    "skrub._dataframe._common.is_categorical",
    "skrub._dataframe._common.is_duration",
    "skrub._dataframe._common.is_float",
    "skrub._dataframe._common.is_integer",
    "skrub._dataframe._common.is_numeric",
    "skrub._dataframe._common.is_string",
    "skrub._table_vectorizer._created_by_predicate",
    "skrub.selectors._selectors._cardinality_below",
)

NOT = (
    "ArrayAPI",
    "Base",
    "BinaryTree",
    "Consumer",
    "Display",
    "Heap",
    "Mixin",
    "PyFunc",
    "_Base",
    "_RepeatedSplits",
    "_MetadataRequester",
)
"""Parts of the names of classes in those modules that no estimator holds, and of one that calls any function."""


def own(module: ModuleType) -> list[type]:
    """The classes that a module itself defines, without abstract ones and enumerations."""
    held = [(name, value) for name, value in vars(module).items() if isinstance(value, type)]
    own = [(name, value) for name, value in held if (value.__module__, value.__qualname__) == (module.__name__, name)]
    return [value for name, value in own if not inspect.isabstract(value) and not any(part in name for part in NOT)]


def named(value: Any) -> str:
    """The exact name of a class or a function."""
    return f"{value.__module__}.{value.__qualname__}"


def classes() -> set[str]:
    """Every class that may be built as an object."""
    import_module("sklearn.experimental.enable_halving_search_cv")
    import_module("sklearn.experimental.enable_iterative_imputer")
    from sklearn.utils import all_estimators

    found = {named(one) for _, one in all_estimators()} | set(ALSO)
    for name in HELD:
        found |= {named(one) for one in own(import_module(name))}
    for line in SKRUB:
        module, *names = line.split()
        found |= {f"skrub.{module}.{name}" for name in names}
    return found - {"sklearn.cluster._birch.Birch"}  # skops has no form for it


def losses() -> set[str]:
    """Compiled losses, which are built from a few numbers."""
    import sklearn._loss._loss as compiled
    import sklearn.linear_model._sgd_fast as descent

    found = {named(one) for one in own(compiled) if one.__name__.startswith("Cy") and one.__name__ != "CyLossFunction"}
    return found | {named(one) for one in own(descent) if one.__name__ not in ("Classification", "Regression")}


def functions() -> set[str]:
    """Every function that may be referred to: none is called while a model is loaded."""
    import scipy.special
    import sklearn.metrics
    from skops.io._utils import get_module  # what skops will call them

    found = {f"numpy.{value.__name__}" for value in vars(np).values() if isinstance(value, np.ufunc)}
    special = [value for value in vars(scipy.special).values() if isinstance(value, np.ufunc)]
    found |= {f"{get_module(value)}.{value.__name__}" for value in special}
    scores = [name for name in sklearn.metrics.__all__ if name.endswith(("_score", "_loss", "_error", "_deviance"))]
    found |= {named(getattr(sklearn.metrics, name)) for name in scores}
    return found | set(FUNCTIONS)


def by_module(names: set[str]) -> list[str]:
    """One line per module with the names that it holds."""
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        module, _, last = name.rpartition(".")
        found.setdefault(module, []).append(last)
    return [f"{module}: {' '.join(last)}" for module, last in found.items()]


def text() -> str:
    """The content of the file."""
    parts = {"classes": classes(), "losses": losses(), "functions": functions()}
    lines = ["# Written by tools/model_types.py; one module a line, below the kind of its names."]
    for kind, names in parts.items():
        lines += ["", f"[{kind}]", *by_module(names)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    OUT.write_text(text(), encoding="utf-8")
    print(f"{OUT}: {len(classes())} classes, {len(losses())} losses, {len(functions())} functions")
