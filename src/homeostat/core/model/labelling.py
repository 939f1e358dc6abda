"""Who names the class of a row: the estimator's own `predict`, or a rule on the scores that is known to say the same.

The class with the highest score is not always what an estimator answers: a threshold may be set on one class, a rule
may be written by hand, probabilities may be fitted apart from the decision. Labels follow from scores only where the
estimator's own code makes them so, and where every row of the proof agrees; otherwise the model names them itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from homeostat.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TIE = 1e-6
"""Scores of a converted model that are closer than this are equal in the estimator: float32 parts them by chance."""

_HIGHEST = frozenset(
    {
        "AdaBoostClassifier",
        "BaggingClassifier",
        "BernoulliNB",
        "CalibratedClassifierCV",
        "CategoricalNB",
        "ComplementNB",
        "DecisionTreeClassifier",
        "ExtraTreeClassifier",
        "ExtraTreesClassifier",
        "GaussianNB",
        "GradientBoostingClassifier",
        "HistGradientBoostingClassifier",
        "KNeighborsClassifier",
        "LabelPropagation",
        "LabelSpreading",
        "LinearDiscriminantAnalysis",
        "LogisticRegression",
        "LogisticRegressionCV",
        "MLPClassifier",
        "MultinomialNB",
        "QuadraticDiscriminantAnalysis",
        "RandomForestClassifier",
        "VotingClassifier",
        "LGBMClassifier",
        "XGBClassifier",
        "XGBRFClassifier",
        "TorchClassifier",
    }
)
"""Classifiers whose `predict` is written as the class of the highest probability, or as something that orders alike."""

_MAKERS = frozenset({"sklearn", "xgboost", "lightgbm", "homeostat"})
THRESHOLDS = frozenset({"FixedThresholdClassifier", "TunedThresholdClassifierCV"})
"""What scikit-learn calls the classifiers that put a threshold on another one."""


class Labelling(msgspec.Struct, frozen=True, kw_only=True):
    """How the labels of a classifier come about.

    Attributes:
        by: `highest`: the class that scores highest, of equals the first. `threshold`: of two classes the one at
            `place` when its score is at least `at`, else the other. `model`: the model names them itself.
        place: Which class has the threshold.
        tie: Scores that are closer than this count as equal.
    """

    by: Literal["highest", "threshold", "model"] = "highest"
    place: int = 1
    at: float = 0.5
    tie: float = 0.0

    def places(self, scores: NDArray[np.float64]) -> NDArray[np.intp]:
        """The class of each row by its place, from scores of shape (n, classes)."""
        if self.by == "threshold":
            return np.where(scores[:, self.place] >= self.at, self.place, 1 - self.place)
        if scores.shape[1] == 2:
            return (scores[:, 1] - scores[:, 0] > self.tie).astype(np.intp)
        if not self.tie:
            return np.asarray(scores.argmax(axis=1))
        return np.asarray((scores >= scores.max(axis=1, keepdims=True) - self.tie).argmax(axis=1))

    def check(self, classes: Sequence[Any] | None) -> None:
        """Refuse one that no model with these classes has."""
        fits = math.isfinite(self.at) and 0 <= self.tie <= TIE
        if self.by == "threshold":
            fits = fits and classes is not None and len(classes) == 2 and self.place in (0, 1)
        if not fits:
            raise ModelError(f"the model's labels cannot follow from {self}", hint="train the version again")


class Output(msgspec.Struct, frozen=True, gc=False):
    """What a runtime makes of rows.

    Attributes:
        scores: Scores of shape (n, classes), or values of shape (n,) for regression.
        places: The class of each row by its place, shape (n,), where the model names it; None where it follows.
    """

    scores: NDArray[np.float64]
    places: NDArray[np.intp] | None = None


def places_of(given: Any, classes: Sequence[Any], who: str) -> NDArray[np.intp]:
    """The place of each label among the classes.

    Args:
        given: Labels as `predict` gives them, shape (n,) or (n, 1).
        classes: The classes.
        who: Whose labels they are, for the error.
    """
    labels = np.asarray(given)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ModelError(f"predict of {who} gives an array of shape {labels.shape}", hint="give one label for each row")
    labels = np.asarray(labels.tolist()) if labels.dtype == object else labels
    known = np.asarray(classes)
    alike = (known.dtype.kind == "U") == (labels.dtype.kind == "U") and labels.dtype != object
    order = np.argsort(known)
    if alike:
        found = order[np.clip(np.searchsorted(known, labels, sorter=order), 0, len(known) - 1)]
        strange = known[found] != labels
    else:
        found, strange = np.zeros(len(labels), dtype=np.intp), np.ones(len(labels), dtype=bool)
    if strange.any():
        shown, known_as = repr(labels[strange].tolist()[0])[:60], ", ".join(map(repr, classes[:8]))
        what = f"predict of {who} gives {shown}, which is none of the classes {known_as}"
        raise ModelError(what, hint="let it answer with labels of the target alone")
    return found


def decider(estimator: Any) -> Any:
    """The fitted estimator whose `predict` is the last word: behind the steps of a pipeline, a search or a stack."""
    from sklearn.pipeline import Pipeline

    found = estimator
    while True:
        if isinstance(found, Pipeline):
            found = found.steps[-1][1]
        elif _maker(found) == "sklearn" and hasattr(found, "best_estimator_"):
            found = found.best_estimator_
        elif type(found).__name__ == "StackingClassifier" and _maker(found) == "sklearn":
            found = found.final_estimator_
        else:
            return found


def takes_highest(estimator: Any) -> bool:
    """Whether a fitted classifier's labels are, by its own code, the classes with the highest probability."""
    last = decider(estimator)
    return type(last).__name__ in _HIGHEST and _maker(last) in _MAKERS and getattr(last, "voting", "soft") == "soft"


def without_threshold(estimator: Any, classes: Sequence[Any] | None) -> tuple[Any, Labelling | None]:
    """The estimator whose probabilities these are, and the threshold that scikit-learn puts on them, if it does.

    Returns:
        The estimator itself and None, unless it is, or ends in, a `FixedThresholdClassifier` or a
        `TunedThresholdClassifierCV` with a threshold on a probability.
    """
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, Pipeline):
        *front, (name, last) = estimator.steps
        inner, rule = without_threshold(last, classes)
        return (estimator, None) if rule is None else (Pipeline([*front, (name, inner)]), rule)
    if _maker(estimator) == "sklearn" and hasattr(estimator, "best_estimator_"):
        inner, rule = without_threshold(estimator.best_estimator_, classes)
        return (estimator, None) if rule is None else (inner, rule)
    named = type(estimator).__name__ in THRESHOLDS and _maker(estimator) == "sklearn"
    if classes is None or not named or estimator.response_method == "decision_function":
        return estimator, None
    inner = getattr(estimator, "estimator_", estimator.estimator)
    if not hasattr(inner, "predict_proba"):
        return estimator, None
    # A threshold below this one leaves the probabilities as they are.
    return without_threshold(inner, classes)[0], _threshold_of(estimator, classes)


def _threshold_of(estimator: Any, classes: Sequence[Any]) -> Labelling:
    tuned = hasattr(estimator, "best_threshold_")
    # scikit-learn itself asks its scorer for the class in the same way.
    positive = estimator._curve_scorer._get_pos_label() if tuned else estimator.pos_label  # noqa: SLF001
    at = estimator.best_threshold_ if tuned else estimator.threshold
    positive = estimator.classes_[-1] if positive is None else positive
    place = int(places_of([positive], classes, type(estimator).__name__)[0])
    return Labelling(by="threshold", place=place, at=0.5 if at == "auto" else float(at))


def _maker(estimator: Any) -> str:
    return type(estimator).__module__.partition(".")[0]
