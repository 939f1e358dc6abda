"""Candidate against champion and baselines: always on the same rows, which are new to both."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from homeostat.ci.evaluate.answers import Answers, scored, taken
from homeostat.ci.evaluate.baselines import constant, persistence, simple
from homeostat.ci.evaluate.report import Baseline, Segment
from homeostat.core.errors import DataError, ModelError
from homeostat.core.model.bundle import Bundle, Model
from homeostat.core.stats.metrics import Difference, Estimate, difference, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from homeostat.core.model.features import Features
    from homeostat.core.model.signature import Predictions

MOST_SEGMENTS = 50
FEWEST_SEGMENT_ROWS = 30
_QUARTILES = (0.25, 0.5, 0.75)


class Compared(NamedTuple):
    """Candidate and champion on the same rows.

    Attributes:
        new: Which rows came after everything that the champion learned from; shape (n,).
        said: The champion's predictions of those.
        whole: The comparison on all of them.
    """

    new: NDArray[np.bool_]
    said: Predictions | None
    whole: Difference | None
    warnings: tuple[str, ...]


def compare(champion: Model | Bundle, answers: Answers, name: str, features: Features | None) -> Compared:
    """Score the champion on the rows that came after everything it learned from."""
    until = champion.manifest.lineage.window_end
    times = answers.rows[answers.spec.time]
    new = np.ones(len(times), dtype=bool) if until is None else (times > until).to_numpy()
    signature = champion.manifest.signature
    if signature.task != answers.model.signature.task or signature.classes != answers.classes:
        return _apart(new, "the champion predicts other classes, so it was not compared")
    if not new.any():
        return _apart(new, "the champion was trained on all of the test rows, so it was not compared")
    try:
        model = champion.model(features, trusted=answers.model.trusted) if isinstance(champion, Bundle) else champion
        said = model.predict(answers.rows.filter(new))
    except (DataError, ModelError) as error:
        return _apart(new, f"the champion cannot be compared: {error.what}")
    gain = difference(name, answers.within(name, new), answers.within(name, new, said))
    return Compared(new, said, gain, ())


def baselines(train: pl.DataFrame, answers: Answers, name: str, ours: Estimate) -> tuple[Baseline, ...]:
    """The constant answer, the last known label and a simple model, on the candidate's test rows."""
    spec, classes = answers.spec, answers.classes
    target, rows = train[answers.target].to_numpy(), answers.rows
    said = {
        "mean" if classes is None else "majority": constant(target, rows.height, classes, median=name == "mae"),
        "persistence": persistence(train, rows, spec, classes),
    }
    try:
        features = answers.model.featurize(train)
        said["simple"] = simple(features, target, answers.features, classes, exclude=spec.declared)
    except (DataError, ModelError):
        pass  # features that no linear model can take, such as text alone, have no simple baseline
    found = []
    for baseline, predictions in said.items():
        estimates = {key: estimate(key, answers.labels, predictions, classes) for key in answers.names}
        metrics = {key: made.value for key, made in estimates.items()}
        found.append(Baseline(name=baseline, metrics=metrics, gain=difference(name, ours, estimates[name])))
    return tuple(found)


def segments(answers: Answers, columns: Sequence[str], name: str, compared: Compared | None) -> tuple[Segment, ...]:
    """The metric within each value of each column, against the champion where there is one.

    Raises:
        DataError: A column is neither in the raw rows nor in the features.
    """
    return tuple(
        Segment(
            column=column,
            value=value,
            rows=int(inside.sum()),
            scored=scored(answers.within(name, inside)),
            gain=_segment_gain(answers, inside, name, compared),
        )
        for column in columns
        for value, inside in _groups(_slice_column(answers, column))
    )


def _segment_gain(
    answers: Answers, inside: NDArray[np.bool_], name: str, compared: Compared | None
) -> Difference | None:
    if compared is None or compared.said is None:
        return None
    both = inside & compared.new
    theirs = taken(compared.said, both[compared.new])
    return difference(name, answers.within(name, both), answers.within(name, both, theirs))


def _slice_column(answers: Answers, column: str) -> pl.Series:
    for source in (answers.rows, answers.features):
        if column in source.columns:
            return source[column]
    known = ", ".join(answers.rows.columns[:20])
    raise DataError(f"there is no column {column!r} to slice by", hint=f"there are {known}")


def _groups(series: pl.Series) -> list[tuple[str, NDArray[np.bool_]]]:
    """The rows of each value, the most frequent first; numbers with many values by quartile."""
    groups: list[tuple[str, NDArray[Any]]]
    if series.dtype.is_numeric() and series.n_unique() > MOST_SEGMENTS:
        values = series.cast(pl.Float64).to_numpy()
        edges = np.unique(np.nanquantile(values, _QUARTILES)).tolist()
        inner = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
        place = np.digitize(values, edges, right=True)
        labels = [f"<= {edges[0]:g}", *inner, f"> {edges[-1]:g}"]
        groups = [(label, (place == part) & ~np.isnan(values)) for part, label in enumerate(labels)]
    else:
        text = series.cast(pl.String)
        counts = text.drop_nulls().value_counts(sort=True)
        top = sorted(zip(counts.to_series(0), counts.to_series(1), strict=True), key=lambda pair: (-pair[1], pair[0]))
        groups = [(value, (text == value).fill_null(value=False).to_numpy()) for value, _ in top[:MOST_SEGMENTS]]
    return [(label, inside) for label, inside in groups if inside.sum() >= FEWEST_SEGMENT_ROWS]


def _apart(new: NDArray[np.bool_], warning: str) -> Compared:
    return Compared(new, None, None, (warning,))
