"""What a replay found, as plain values."""

from __future__ import annotations

from datetime import datetime

import msgspec

from homeostat.core.stats.prequential import StreamReport


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of history under a policy.

    Attributes:
        loss: Mean loss per row, 0..1: the Brier score, or the absolute error over the spread of the target.
        value: The Loop's metric on the block; None where it is undefined.
    """

    start: datetime
    end: datetime
    rows: int
    loss: float
    value: float | None
    version: int


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """A decision to retrain, when and why."""

    time: datetime
    policy: str
    reason: str


class PolicyResult(msgspec.Struct, frozen=True, kw_only=True):
    """A policy on this history.

    Attributes:
        report: Its metric beside persistence and majority, over all played rows.
        held_back: The same over the last 40 % of the blocks.
        loss: Mean loss per row over all played rows.
    """

    name: str
    label: str
    report: StreamReport
    held_back: StreamReport
    retrains: int
    train_seconds: float
    loss: float
    blocks: tuple[Block, ...]
    fires: tuple[Firing, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The policy that was best on the first 60 % of the blocks, held against never retraining on the rest.

    Attributes:
        difference: Mean loss per row on the held-back blocks, minus that of `never`; below zero it is better.
        low, high: 95 % interval by a moving-block bootstrap over blocks of history.
        evidence: Whether the interval excludes zero.
    """

    chosen: str
    difference: float
    low: float
    high: float
    evidence: bool
    verdict: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Every policy on the same history.

    Attributes:
        start, end: Event times played; everything before `start` trained the first model.
        block: How often the monitor looked and the policies decided.
        results: One per policy, best first by loss.
    """

    loop: str
    metric: str
    start: datetime
    end: datetime
    block: str
    rows: int
    results: tuple[PolicyResult, ...]
    comparison: Comparison
