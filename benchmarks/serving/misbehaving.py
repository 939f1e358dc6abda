"""Models that answer well until a request comes whose last number is the sentinel: what a bad shadow is."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

TRUSTED = tuple(f"benchmarks.serving.misbehaving.{name}" for name in ("Sleeper", "Crasher", "Killer"))
_BEYOND = 5.0
"""In standard deviations of the last number: no training row is there, every row with the sentinel is."""


class Sleeper(LogisticRegression):
    """Takes five seconds."""

    def predict_proba(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Scores, some time."""
        if (np.asarray(X)[:, -1] > _BEYOND).any():
            time.sleep(5)
        return super().predict_proba(X)


class Crasher(LogisticRegression):
    """Raises."""

    def predict_proba(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Scores, or not."""
        if (np.asarray(X)[:, -1] > _BEYOND).any():
            raise MemoryError("this model is out of memory")
        return super().predict_proba(X)


class Killer(LogisticRegression):
    """Ends the process that it is in, as a fault in C code does, or a machine that is out of memory."""

    def predict_proba(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Scores, or not."""
        if (np.asarray(X)[:, -1] > _BEYOND).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict_proba(X)
