"""Evaluate a candidate beyond one number: slices, calibration, intervals, baselines, champion, behaviour, leaks."""

from homeostat.ci.evaluate.behaviour import Behaviour, directional, invariant
from homeostat.ci.evaluate.evaluate import evaluate
from homeostat.ci.evaluate.report import Baseline, Behaved, Evaluation, Leak, Scored, Segment

__all__ = [
    "Baseline",
    "Behaved",
    "Behaviour",
    "Evaluation",
    "Leak",
    "Scored",
    "Segment",
    "directional",
    "evaluate",
    "invariant",
]
