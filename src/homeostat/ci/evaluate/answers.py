"""A model's predictions of labelled rows, and what can be read from them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from homeostat.ci.evaluate.report import CalibrationBin, CalibrationReport, Scored
from homeostat.core.model.signature import Predictions
from homeostat.core.stats.losses import label_codes
from homeostat.core.stats.metrics import Estimate, estimate, metrics_for
from homeostat.core.stats.metrics import metric as find_metric
from homeostat.core.stats.profile import Calibration

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.model.bundle import Model


class Answers:
    """A model's predictions of labelled rows.

    Attributes:
        features: What the model saw of them.
        labels: The truth, shape (n,).
        names: The metrics that make sense for this model.
    """

    def __init__(self, model: Model, rows: pl.DataFrame) -> None:
        self.model, self.rows = model, rows
        self.spec = model.manifest.schema.spec
        self.classes = model.signature.classes
        self.target = str(self.spec.target)
        self.features = model.featurize(rows)
        self.said = model.predict_features(self.features)
        self.labels = rows[self.target].to_numpy()
        self.names = [
            name
            for name in metrics_for(model.signature.task)
            if model.signature.outputs != ("label", "score") or not find_metric(name).probabilities
        ]

    def estimates(self) -> dict[str, Estimate]:
        """Every metric of the task."""
        return {name: estimate(name, self.labels, self.said, self.classes) for name in self.names}

    def within(self, name: str, rows: NDArray[np.bool_], said: Predictions | None = None) -> Estimate:
        """A metric on some of the rows, or of others' predictions of exactly those rows."""
        return estimate(name, self.labels[rows], taken(self.said, rows) if said is None else said, self.classes)

    def rarest_class(self) -> int | None:
        """Rows of the rarest class; None for regression."""
        if self.classes is None:
            return None
        codes = label_codes(self.labels, self.classes)
        return int(np.bincount(codes[codes >= 0], minlength=len(self.classes)).min())

    def calibration(self) -> CalibrationReport | None:
        """Whether scores are probabilities; None when they are not meant to be."""
        score = self.said.score
        if score is None or self.classes is None or "log_loss" not in self.names:
            return None
        codes = label_codes(self.labels, self.classes)
        if len(self.classes) == 2:
            made = Calibration.of(score[:, 1], codes == 1)
        else:
            made = Calibration.of(score.max(axis=1), codes == score.argmax(axis=1))
        return CalibrationReport(error=made.error, bins=_bins(made))


def taken(said: Predictions, rows: NDArray[np.bool_]) -> Predictions:
    """The predictions of some of the rows."""
    return Predictions(said.value[rows], None if said.score is None else said.score[rows])


def scored(found: Estimate) -> Scored:
    """A metric with its interval."""
    low, high = found.bounds() or (None, None)
    return Scored(value=found.value, low=low, high=high)


def _bins(made: Calibration) -> tuple[CalibrationBin, ...]:
    size = len(made.counts)
    return tuple(
        CalibrationBin(
            low=place / size,
            high=(place + 1) / size,
            rows=rows,
            predicted=made.score_sums[place] / rows if rows else None,
            observed=made.positives[place] / rows if rows else None,
        )
        for place, rows in enumerate(made.counts)
    )
