"""What an evaluation found, as plain values: everything that a gate may look at, and nothing that it would compute."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from homeostat.core.errors import IntegrityError
from homeostat.core.stats.metrics import Difference
from homeostat.core.text import records


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """A metric on the test rows, with its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """Something simple that the candidate should beat.

    Attributes:
        name: `majority` or `mean`, `persistence` (the last known label), `simple` (logistic or ridge regression).
        gain: How much better the candidate is, by the Loop's metric.
    """

    name: str
    metrics: dict[str, float | None]
    gain: Difference


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one value of a column.

    Attributes:
        column, value: Which rows; numbers are cut at their quartiles.
        gain: Candidate against champion on those that are new to the champion.
    """

    column: str
    value: str
    rows: int
    scored: Scored
    gain: Difference | None = None


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Rows whose score lies in one of ten bins: the mean score, and how often the class came true."""

    low: float
    high: float
    rows: int
    predicted: float | None
    observed: float | None


class CalibrationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether scores are probabilities.

    Attributes:
        error: Expected calibration error, 0..1 (Naeini, Cooper and Hauskrecht, AAAI 2015).
        bins: Ten bins of the positive class's score; of the best class's score for more than two classes.
    """

    error: float | None
    bins: tuple[CalibrationBin, ...]


class Behaved(msgspec.Struct, frozen=True, kw_only=True):
    """A declared behaviour and how many rows kept to it.

    Attributes:
        violations: Rows that did otherwise.
        allowed: Largest share of violations (0..1) that passes.
    """

    name: str
    kind: Literal["invariance", "directional"]
    rows: int
    violations: int
    allowed: float
    passed: bool
    detail: str


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that knows too much. `strength` is the share of the target (0..1) that it tells alone."""

    feature: str
    strength: float
    detail: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known about a candidate before it is deployed.

    Attributes:
        classes: The labels, as text.
        train, test: Metric name to value. Training metrics are taken on at most 50,000 evenly spaced rows.
        rarest_class: Test rows of the rarest class; None for regression.
        train_until, test_from, test_until: Event times of the last training row and of the test rows.
        scored: The test metrics with intervals.
        baselines: Trivial and simple models on the same rows.
        kappa_per: Where the candidate is between persistence (0) and perfection (1).
        champion: Champion and candidate on the same rows, all of them new to both; None without a champion.
        calibration: None when the scores are no probabilities.
        inputs: Request columns and their kinds; `champion_inputs` are the champion's, and `accepted_inputs` what they
            became by changes of the schema that people accepted since.
        problems: Why the candidate cannot be judged at all; nothing with a problem passes.
    """

    task: str
    metric: str
    classes: tuple[str, ...] | None
    train: dict[str, float | None]
    test: dict[str, float | None]
    train_rows: int
    test_rows: int
    rarest_class: int | None = None
    train_until: datetime | None = None
    test_from: datetime | None = None
    test_until: datetime | None = None
    scored: dict[str, Scored] = {}
    baselines: tuple[Baseline, ...] = ()
    kappa_per: float | None = None
    champion: Difference | None = None
    champion_version: int | None = None
    slices: tuple[Segment, ...] = ()
    calibration: CalibrationReport | None = None
    behaviours: tuple[Behaved, ...] = ()
    leaks: tuple[Leak, ...] = ()
    inputs: dict[str, str] = {}
    champion_inputs: dict[str, str] | None = None
    accepted_inputs: dict[str, str] | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces."""
        return records.to_json(self)

    @staticmethod
    def from_json(data: bytes) -> Evaluation:
        """The inverse of `to_json`."""
        return records.from_json(data, Evaluation, IntegrityError, "this is no evaluation")
