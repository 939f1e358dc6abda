"""What events carry of measurements: signals, scores on matured labels, and what the judge makes of pairs."""

from __future__ import annotations

from typing import Literal

import msgspec

SignalKind = Literal[
    "new_data",
    "schema_skew",
    "value_drift",
    "prediction_drift",
    "concept_drift",
    "performance_drop",
    "staleness",
    "service_fault",
]
Verdict = Literal["promote", "roll_back", "continue", "inconclusive"]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A typed observation.

    Attributes:
        subject: The column, metric or service that it is about.
        value: The measured distance, score, age in seconds, or count.
        noise: What the value would be by chance alone at this sample size.
        q_value: False-discovery-adjusted probability (0..1) of such a value by chance, across the columns of the block.
        statistic: Of drift: what the distance was measured by (`homeostat.core.stats.drift`).
        alarmed: Whether the monitor's own threshold was passed.
    """

    kind: SignalKind
    subject: str
    value: float | None
    n: int
    noise: float | None = None
    q_value: float | None = None
    threshold: float | None = None
    alarmed: bool = False
    detail: str = ""
    statistic: str | None = None


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """A version's score on matured labels, with its interval and what the baselines made of the same rows.

    Attributes:
        kappa_per: (score - persistence) / (perfect - persistence); below zero, repeating the last label is better.
        reference: The same metric when the version was accepted.
    """

    version: int
    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    reference: float | None = None
    persistence: float | None = None
    majority: float | None = None
    kappa_per: float | None = None
    greater_is_better: bool = True


class ArmOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the rows that an arm answered itself, each weighted by one over the probability of that arm.

    Attributes:
        loss: Weighted mean loss (0..1), free of when the arm got how much traffic; None without a row.
        weight: How many rows of equal weight would say as much.
    """

    version: int
    rows: int
    loss: float | None
    weight: float


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge makes of all matured pairs of a trial so far.

    Attributes:
        pairs: Rows on which both versions were scored and whose label has matured, as far as the judge looks at them.
        matured: All such rows, also those beyond the judge's horizon.
        e_harm: Evidence (an e-value, 1 = none) that the challenger is worse by more than the tolerated margin.
        e_benefit: Evidence that the challenger is not worse by more than the margin.
        difference: Mean per-row loss of the challenger minus the champion's; negative is better.
        low, high: Anytime-valid interval of the difference.
        guardrails: Checks that can only stop a trial.
        arms: Of a trial with randomised arms: what came of each arm's own rows, the champion first.
    """

    champion: int
    challenger: int
    pairs: int
    verdict: Verdict
    reason: str
    e_harm: float
    e_benefit: float
    difference: float | None
    low: float | None
    high: float | None
    guardrails: tuple[Signal, ...] = ()
    matured: int = 0
    arms: tuple[ArmOutcome, ...] = ()
