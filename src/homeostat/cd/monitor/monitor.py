"""The monitor: turns a block of requests, their matured labels and the server's counts into typed signals.

Pure: everything that it looks at is passed in, it never looks at a label before its time, and the same block gives the
same `Observed` live and in a replay.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from homeostat.cd.deploy.evidence import excess
from homeostat.cd.labels.maturity import labelled_between
from homeostat.cd.monitor.performance import Champion, Outcomes, Window, as_predictions, finite_rows, measure
from homeostat.core.events import Judgement, Observed, Performance, Signal, SignalKind
from homeostat.core.stats.drift import DriftConfig, compare, drift
from homeostat.core.stats.metrics import greater_is_better
from homeostat.core.stats.profile import Profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Champion", "MonitorConfig", "Outcomes", "ServiceCounts", "Window", "observe"]


class MonitorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When an observation is an alarm.

    Attributes:
        drift: Thresholds for the distributions of inputs and predictions.
        window: Which labelled rows performance is measured on.
        minimum_labels: Fewer labelled rows than this never alarm.
        drop: How far the good end of the interval may fall below the reference, in units of the metric.
        stale_after: Age of the champion that is an alarm; None for never.
        silent_after: Age of the newest row that is an alarm; None for never.
        errors: Share (0..1) of failed requests that is no fault.
        invalid: Share of rows answered with NaN, infinity or nothing that is no fault.
        refused: Share of requests refused because of their schema that is no fault.
        latency: Seconds at the 99th percentile that are no fault; None for any.
        alpha: Chance (0..1) of a false alarm of each service count in each block.
    """

    drift: DriftConfig = DriftConfig()
    window: Window = Window()
    minimum_labels: int = 300
    drop: float = 0.02
    stale_after: timedelta | None = timedelta(days=90)
    silent_after: timedelta | None = None
    errors: float = 0.01
    invalid: float = 0.001
    refused: float = 0.02
    latency: float | None = None
    alpha: float = 0.001


class ServiceCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What the server counted since the last observation.

    Attributes:
        requests: All requests, also those that failed.
        rows: All rows of requests that were answered, or failed because a row had no answer.
        errors: Requests that failed by our fault.
        refused: Requests refused because of their schema.
        invalid: Rows answered with NaN, infinity or nothing; not those that the champion answered instead.
        latency: Seconds at the 99th percentile, where measured.
        answers: By version, while units are divided: its answers since the server started, as in
            `homeostat.cd.deploy.guardrails.ArmCounts`.
    """

    requests: int = 0
    rows: int = 0
    errors: int = 0
    refused: int = 0
    invalid: int = 0
    latency: float | None = None
    answers: dict[int, dict[float, int]] = {}


def observe(
    loop: str,
    now: datetime,
    champion: Champion | None,
    *,
    rows: pl.DataFrame | None = None,
    predictions: NDArray[Any] | None = None,
    values: NDArray[Any] | None = None,
    asked: NDArray[np.bool_] | None = None,
    fresh: int | None = None,
    outcomes: Outcomes | None = None,
    service: ServiceCounts | None = None,
    since: datetime | None = None,
    newest: datetime | None = None,
    trainable: int = 0,
    judgement: Judgement | None = None,
    source_version: str | None = None,
    config: MonitorConfig | None = None,
) -> Observed:
    """Look at everything since the last observation.

    Args:
        loop: Name of the Loop.
        now: Time on its clock; no label with a later `label_time` is looked at.
        champion: What is known of the champion; None while there is none.
        rows: Raw inputs of the block's requests, after those of earlier ones that were too few to compare.
        predictions: The champion's output on `rows`: scores (n, classes) or values (n,).
        values: The labels that it gave `rows`, shape (n,); by default the classes that score highest.
        asked: On which of `rows` the champion had to predict, shape (n,); all by default.
        fresh: How many of `rows` came since the last observation; all by default.
        outcomes: The recent requests with their labels, enough for `config.window.rows` matured ones.
        service: What the server counted.
        since: Time of the last observation, for the number of labels that arrived after it.
        newest: Newest event time seen.
        trainable: Rows of the training table whose label has matured.
        judgement: The judge's view of the running trial, passed on.
        source_version: Version of the upstream source, passed on.
        config: Thresholds.

    Returns:
        A signal for all that was looked at, alarmed or not, and a `Performance` per version, the champion's first.
    """
    rule, came = config or MonitorConfig(), _came(rows, fresh)
    labels, performance = _measured(champion, outcomes, since, now, rule)
    inputs = _input_signals(champion, rows, predictions, values, asked, rule)
    others = [*_age_signals(champion, newest, now, rule), *_service_signals(service, rule)]
    others += _new_data_signals(rows=came, labels=labels)
    return Observed(
        loop=loop,
        now=now,
        rows=came,
        labelled=labels,
        trainable=trainable,
        newest=newest,
        signals=(*inputs, *_performance_signals(champion, performance, rule), *others),
        performance=tuple(performance),
        judgement=judgement,
        source_version=source_version,
    )


def _came(rows: pl.DataFrame | None, fresh: int | None) -> int:
    if fresh is not None:
        return fresh
    return 0 if rows is None else rows.height


def _measured(
    champion: Champion | None, outcomes: Outcomes | None, since: datetime | None, now: datetime, rule: MonitorConfig
) -> tuple[int, list[Performance]]:
    """How many labels arrived, and how well each version did."""
    if outcomes is None:
        return 0, []
    performance = [] if champion is None else measure(champion, outcomes, now, rule.window)
    return labelled_between(outcomes.label_times, since, now), performance


def _new_data_signals(**counts: int) -> list[Signal]:
    return [Signal(kind="new_data", subject=name, value=float(count), n=count) for name, count in counts.items()]


def _input_signals(
    champion: Champion | None,
    rows: pl.DataFrame | None,
    predictions: NDArray[Any] | None,
    values: NDArray[Any] | None,
    asked: NDArray[np.bool_] | None,
    rule: MonitorConfig,
) -> list[Signal]:
    if champion is None or champion.profile is None or rows is None:
        return []
    reference = champion.profile
    output = None
    if predictions is not None and reference.prediction is not None:
        chosen = slice(None) if asked is None else asked
        output = _output(predictions[chosen], champion.classes, None if values is None else values[chosen])
    block = Profile.of(rows, edges_from=reference, prediction=output)
    signals = drift(reference, block, rule.drift)
    if reference.prediction is not None and block.prediction is not None:
        pair = {"prediction": (reference.prediction, block.prediction)}
        signals += compare(pair, kind="prediction_drift", config=rule.drift)
    return signals


def _output(predictions: NDArray[Any], classes: tuple[Any, ...] | None, values: NDArray[Any] | None) -> pl.Series:
    """What of a prediction is profiled: a number, the second class's score, or of more classes the answered one."""
    if classes is None or predictions.ndim == 1 or len(classes) == 2:
        return pl.Series(predictions if predictions.ndim == 1 else predictions[:, -1])
    said = as_predictions(np.nan_to_num(predictions), classes, values).value.tolist()
    return pl.Series([label if known else None for label, known in zip(said, finite_rows(predictions), strict=True)])


def _performance_signals(
    champion: Champion | None, performance: list[Performance], rule: MonitorConfig
) -> list[Signal]:
    """One `performance_drop` for the champion: alarmed when even the good end of its interval is out of tolerance."""
    own = next((one for one in performance if champion is not None and one.version == champion.version), None)
    if own is None or own.value is None or own.low is None or own.high is None:
        return []
    sign = 1.0 if greater_is_better(own.metric) else -1.0
    limit = None if own.reference is None else own.reference - sign * rule.drop
    best = own.high if sign > 0 else own.low
    alarmed = limit is not None and own.n >= rule.minimum_labels and sign * (best - limit) < 0
    reference = "unknown" if own.reference is None else f"{own.reference:.4g}"
    return [
        Signal(
            kind="performance_drop",
            subject=own.metric,
            value=own.value,
            noise=(own.high - own.low) / 2,
            n=own.n,
            threshold=limit,
            alarmed=alarmed,
            detail=f"{own.value:.4g} [{own.low:.4g}, {own.high:.4g}] on {own.n} labels; at acceptance {reference}",
        )
    ]


def _age_signals(
    champion: Champion | None, newest: datetime | None, now: datetime, rule: MonitorConfig
) -> list[Signal]:
    known = champion.since if champion is not None else None
    aged = (("champion", known, rule.stale_after), ("data", newest, rule.silent_after))
    return [
        Signal(
            kind="staleness",
            subject=subject,
            value=(now - moment).total_seconds(),
            n=0,
            threshold=None if limit is None else limit.total_seconds(),
            alarmed=limit is not None and now - moment > limit,
            detail=f"the newest row that the {subject} knows is from {moment:%Y-%m-%d %H:%M}",
        )
        for subject, moment, limit in aged
        if moment is not None
    ]


def _service_signals(service: ServiceCounts | None, rule: MonitorConfig) -> list[Signal]:
    if service is None:
        return []
    signals = [
        _rate("service_fault", "errors", (service.errors, service.requests), rule.errors, rule.alpha),
        _rate("service_fault", "invalid", (service.invalid, service.rows), rule.invalid, rule.alpha, of="rows"),
        _rate("schema_skew", "refused", (service.refused, service.requests), rule.refused, rule.alpha),
    ]
    if service.latency is not None:
        slow = rule.latency is not None and service.latency > rule.latency
        signals.append(
            Signal(
                kind="service_fault",
                subject="latency",
                value=service.latency,
                n=service.requests,
                threshold=rule.latency,
                alarmed=slow,
                detail=f"{service.latency * 1e3:.1f} ms at the 99th percentile",
            )
        )
    return signals


def _rate(
    kind: SignalKind, subject: str, counted: tuple[int, int], tolerated: float, alpha: float, *, of: str = "requests"
) -> Signal:
    failures, trials = counted
    share = failures / trials if trials else 0.0
    return Signal(
        kind=kind,
        subject=subject,
        value=share,
        n=trials,
        threshold=tolerated,
        alarmed=trials > 0 and excess(failures, trials, tolerated) >= 1 / alpha,
        detail=f"{failures} of {trials} {of}",
    )
